"""Figures and states as text a person reads in a terminal."""

from typing import Any


def status_text(status: dict[str, Any]) -> str:
    """The `status` command's answer, a few lines."""
    source = status["source"]
    is_running = "running" if status["running"] else "not running"
    state = f"{source['state']} {source['detail']}".rstrip()
    counts = f"{source['frames']} in all, {source['dropped']} dropped, lost {source['losses']} times"
    lines = [
        f"{status['patch']}  ({status['project']})",
        f"  {is_running}, up {status['uptime_s']:.0f} s, {status['memory_mb']:.0f} MB, version {status['version']}",
        f"  source    {source['name']}: {state}, {source['rate_hz']} frames a second, {counts}",
    ]
    if status["recording"]["state"] != "idle":
        lines.append(f"  {status['recording']['state']}, {status['recording']['frames']} frames")
    for problem in status["takes"]["problems"]:
        lines.append(f"  PROBLEM   {problem}")
    for output in status["outputs"]:
        state = (", ".join(output["classes"]) or "runs") if output["running"] else f"silent: {output['why_not']}"
        lines.append(f"  output    {output['name']} ({output['kind']}): {state}")
    for name, destination in status["destinations"].items():
        trouble = f"; {destination['reason']}" if destination["reason"] else ""
        lines.append(
            f"  to        {name}: {destination['kind']} {destination['to'] or '(no port)'}, "
            f"{destination['sent']} sent, {destination['dropped']} dropped{trouble}"
        )
    trainer = status["trainer"]
    lines.append(
        f"  trainer   {'ready' if trainer['alive'] else 'not there'}{', training' if trainer['training'] else ''}"
    )
    if total := status["latency"].get("total"):
        beyond = status["latency"]["beyond_tracking"]
        lines.append(
            f"  latency   {total['p50_ms']:.1f} ms from frame to datagram (99 %: {total['p99_ms']:.1f}), "
            f"of which {beyond['p50_ms']:.2f} ms beyond tracking"
        )
    for kind, count in (status["dropped_messages"] | status["errors"]).items():
        lines.append(f"  {kind}: {count}")
    return "\n".join(lines)


def figures_text(figures: dict[str, Any], indent: int = 0) -> str:
    """Nested figures, a line each; rows of equal keys as a table."""
    lines: list[str] = []
    pad = "  " * indent
    for name, value in figures.items():
        if isinstance(value, dict) and value and all(isinstance(row, dict) for row in value.values()):
            columns = list(next(iter(value.values())))
            lines.append(f"{pad}{name.ljust(24)}" + "".join(column.rjust(12) for column in columns))
            for row_name, row in value.items():
                cells = "".join(_cell(row.get(column)).rjust(12) for column in columns)
                lines.append(f"{pad}  {row_name.ljust(22)}{cells}")
        elif isinstance(value, dict):
            lines += [f"{pad}{name}", figures_text(value, indent + 1)]
        else:
            lines.append(f"{pad}{name.ljust(40)} {_cell(value)}")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
