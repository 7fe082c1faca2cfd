"""Figures and states as text a person reads in a terminal."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from instrument.takes import Take


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
        lines.append(f"  output    {output['name']} ({output['kind']}): {state}{_how_it_runs(output)}")
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


def training_text(summary: dict[str, Any]) -> str:
    """What came of a training: for each output what it learned from, how well, and what to know."""
    lines = [f"trained in {summary['seconds']:.2f} s"]
    for name, one in summary["outputs"].items():
        learned = f"{one.get('examples', '?')} examples in {one.get('takes', '?')} takes"
        score = ""
        if validation := one.get("validation"):
            value = validation["score"]
            is_share = validation["measure"] == "accuracy"
            score = f"; {value:.0%} right" if is_share else f"; {value:.3f} off"
            score += f" on the {validation['examples']} kept apart"
        lines.append(f"  {name}: {learned}{score}")
        lines += [f"    {note}" for note in one.get("notes", ())]
    lines += [f"  {name}: not trained: {reason}" for name, reason in summary["refused"].items()]
    return "\n".join(lines)


def takes_text(rows: Sequence[dict[str, Any]]) -> str:
    """Takes, one a line; `rows` are those of `take_row`."""
    if not rows:
        return "no takes yet"
    lines = ["  take  frames  seconds  tracked  teaches"]
    for row in rows:
        targets = ", ".join(f"{name} = {target}" for name, target in row["targets"].items()) or row["kind"]
        lines.append(f"{row['id']:6d}  {row['frames']:6d}  {row['seconds']:7.2f}  {row['tracked']:7.0%}  {targets}")
    return "\n".join(lines)


def take_row(take: Take) -> dict[str, Any]:
    """A take as it is listed."""
    return {
        "id": take.id,
        "kind": take.kind,
        "targets": dict(take.targets),
        "frames": take.frame_count,
        "seconds": round(take.duration_s, 2),
        "tracked": round(take.tracked_fraction, 3),
        "source": take.source,
        "created_at": take.created_at,
    }


_SENTENCES = {
    "/instrument/record/stop": "take {0}: {1} frames",
    "/instrument/record/timed": "take {0}: {1} frames",
    "/instrument/record": "recording {0}; `record stop` ends it",
    "/instrument/takes/delete": "{0} deleted; `undo` brings back what was",
    "/instrument/takes/delete_last": "{0} deleted; `undo` brings it back",
    "/instrument/takes/delete_all": "{0} deleted; `undo` brings them back",
    "/instrument/undo": "undone: {0}",
    "/instrument/redo": "done again: {0}",
    "/instrument/panic": "silence; `run 1` plays again",
}


def answer_text(address: str, values: Sequence[object]) -> str:
    """What a command answered, as a person reads it."""
    readers: dict[str, Callable[[Any], str]] = {
        "/instrument/status": status_text,
        "/instrument/train": training_text,
        "/instrument/takes": takes_text,
    }
    if address in _SENTENCES:
        return _SENTENCES[address].format(*values)
    parts = []
    for value in values:
        try:
            given = json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else None
        except ValueError:
            given = None
        if given is None:
            parts.append(str(value))
        else:
            parts.append(readers[address](given) if address in readers else json.dumps(given, indent=2))
    return " ".join(parts) or "done"


def _how_it_runs(output: dict[str, Any]) -> str:
    """Backend, bits and drift of an output that runs."""
    if not output["backend"]:
        return ""
    drift = output["drift"] or {}
    heard = "".join(
        f", {name} drift {drift[key]:.2%}" for name, key in (("rms", "rms"), ("worst", "worst_jump")) if key in drift
    )
    return f" [{output['backend']}, {output['bits']} bits{heard}]"


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
