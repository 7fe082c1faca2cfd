"""Figures and states as text a person reads in a terminal."""

import datetime
import json
import platform
import string
import struct
from collections.abc import Callable, Sequence
from typing import Any

from instrument.health import COUNTED
from instrument.patch import NO_CLASS
from instrument.takes import Take, target_text
from instrument.words import counted

_LETTERS = string.ascii_lowercase
_ACROSS, _UP = 2, 4
"""So many places of a picture to a letter."""


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
    if (delay_ms := source.get("delay_ms")) is not None:
        lines.append(f"  phone     its pictures are {delay_ms:.0f} ms old when they come")
    if any(status.get("restarts", {}).values()):
        lines.append(f"  restarts  {', '.join(f'{name} {count}' for name, count in status['restarts'].items())}")
    if status["recording"]["state"] != "idle":
        lines.append(f"  {status['recording']['state']}, {status['recording']['frames']} frames")
    if status["patch_problem"]:
        lines.append(f"  PROBLEM   the patch before this edit plays on: {status['patch_problem']}")
    for problem in status["takes"]["problems"]:
        lines.append(f"  PROBLEM   {problem}")
    for output in status["outputs"]:
        state = (", ".join(output["classes"]) or "runs") if output["running"] else f"silent: {output['why_not']}"
        advice = status.get("coaching", {}).get(output["name"], {}).get("advice", ())
        if output["running"] and any(one["kind"] == "refused" for one in advice):
            state += ", as before the takes changed"
        lines.append(f"  output    {output['name']} ({output['kind']}): {state}{_how_it_runs(output)}")
        if output["note"]:
            lines.append(f"            {output['note']}")
        if output.get("least_familiarity") is not None:
            told = output.get("rehearsal") or {"text": "by default; `rehearse` finds how strict to be"}
            lines.append(
                f"            none of these below familiarity {output['least_familiarity']:.2f}: {told['text']}"
            )
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
    for name, found in status.get("coaching", {}).items():
        lines += [f"  score     {name}: {told}" for told in _scored(found)]
        lines += [f"  advice    {name}: {one['text']}" for one in found.get("advice", [])]
    if total := status["latency"].get("total"):
        beyond = status["latency"]["beyond_tracking"]
        lines.append(
            f"  latency   {total['p50_ms']:.1f} ms from frame to datagram (99 %: {total['p99_ms']:.1f}), "
            f"of which {beyond['p50_ms']:.2f} ms beyond tracking"
        )
    for kind, count in (status["dropped_messages"] | status["errors"]).items():
        lines.append(f"  faults    {kind}: {count}")
    return "\n".join(lines)


def _scored(found: dict[str, Any]) -> list[str]:
    """The score of one output by take, with that by frame beside it; nothing where there is none."""
    by_take, by_frame = found.get("by_take"), found.get("by_frame")
    if not by_take:
        return [f"none; {found['not_scored']}"] if "not_scored" in found else []
    pieces = "parts of takes" if by_take.get("split") == "blocks" else "takes"
    score = f"{_score(by_take)} {'of' if by_take.get('of') == 'takes' else 'in'}"
    beside = ""
    if by_frame:
        flatters = ", which flatters" if by_frame["warning"] else ""
        beside = f" ({_score(by_frame)} in single frames held out{flatters})"
    return [f"{score} {pieces} it had not learned from{beside}"]


def _score(score: dict[str, Any]) -> str:
    if "accuracy" not in score:
        return f"{score['rmse']:g} off"
    return f"{score['accuracy']:.0%}" if score.get("of") == "takes" else f"{score['accuracy']:.0%} right"


def report_text(report: dict[str, Any]) -> str:
    """`status`, `health` and, where they are known, `incidents`; and on what it plays, for who was not there."""
    system = f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"
    health, status = report["health"], report["status"]
    written = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    parts = [f"{written}  {system}", status_text(status) if status else f"the engine does not answer: {report['why']}"]
    parts.append(health_text(health["keys"], health["rows"]))
    if incidents := health.get("incidents"):
        lines = [f"  {_time_of_day(at_s)}  {kind.replace('_', ' ')} {what}".rstrip() for at_s, kind, what in incidents]
        parts.append("\n".join(["what went wrong", *lines]))
    return "\n\n".join(parts)


def _time_of_day(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s).astimezone().isoformat(sep=" ", timespec="seconds")


def health_text(keys: Sequence[str], rows: Sequence[Sequence[float | None]]) -> str:
    """The last hour, summed up: stages, what was counted, and how much memory has grown."""
    columns = {key: [one for row in rows if (one := row[index]) is not None] for index, key in enumerate(keys)}
    if not columns["at_s"]:
        return "nothing yet: the first row comes after a few seconds"
    minutes = (columns["at_s"][-1] - columns["at_s"][0]) / 60
    lines = ["the last minute" if minutes < 1.5 else f"the last {minutes:.0f} minutes"]
    lines.append(f"  {'ms'.ljust(16)}{'median'.rjust(10)}{'99 %'.rjust(10)}{'jitter'.rjust(10)}")
    for stage in (key.removesuffix("_p50") for key in keys if key.endswith("_p50")):
        if p50 := columns[f"{stage}_p50"]:
            figures = (sorted(p50)[len(p50) // 2], max(columns[f"{stage}_p99"]), max(columns[f"{stage}_jitter"]))
            lines.append(f"  {stage.ljust(16)}" + "".join(f"{one:10.2f}" for one in figures))
    for name in COUNTED:
        lines.append(f"  {name.replace('_', ' ').ljust(26)}{sum(columns[name]):10.0f}")
    for name in ("rate_hz", "tracked", "memory_mb", "trainer_mb", "console_mb"):
        if values := columns[name]:
            lines.append(f"  {name.ljust(26)}{values[0]:10.2f} at first, {values[-1]:.2f} now")
    return "\n".join(lines)


def training_text(summary: dict[str, Any]) -> str:
    """What came of a training: for each output what it learned from, how well, and what to know."""
    lines = [f"trained in {summary['seconds']:.2f} s"]
    for name, one in summary["outputs"].items():
        learned = "trained"  # with many outputs the rest had no room in the message
        if "examples" in one:
            learned = counted(one["examples"], "example")
        if "takes" in one:
            learned += f" in {counted(one['takes'], 'take')}"
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
        targets = ", ".join(f"{name} = {target_text(target)}" for name, target in row["targets"].items()) or row["kind"]
        lines.append(f"{row['id']:6d}  {row['frames']:6d}  {row['seconds']:7.2f}  {row['tracked']:7.0%}  {targets}")
    return "\n".join(lines)


def run_through_text(found: dict[str, Any]) -> str:
    """What models say along a recording, for people: spans of what was seen, and how often something began."""
    minutes = max(found["seconds"] / 60, 1e-9)
    lines = [f"{found['kind']} {found['take']}, {found['seconds']:.1f} s"]
    for output in found["outputs"]:
        for which in ("now", "before"):
            one = output[which]
            if (
                which == "before"
                and one is not None
                and one | {"model": None} == (output["now"] or {}) | {"model": None}
            ):
                lines.append(f"{output['name']}, before: the same")
            elif one is None:
                lines.append(f"{output['name']}, {which}: no {'other ' * (which == 'before')}model")
            elif "reason" in one:
                lines.append(f"{output['name']}, {which}: {one['reason']}")
            elif "curve" in one:
                values = [value for _, value in one["curve"] if value is not None]
                shown = f"{min(values):.2f} to {max(values):.2f}" if values else "nobody in view"
                lines.append(f"{output['name']}, {which}: {shown}")
            else:
                count = one["triggers"]
                lines.append(f"{output['name']}, {which}: {counted(count, 'trigger')}, {count / minutes:.1f} a minute")
                lines += [
                    f"  {start:8.2f} .. {end:.2f} s  {name}"
                    for start, end, name in one["spans"]
                    if name not in (None, NO_CLASS)
                ]
    return "\n".join(lines)


def take_row(take: Take) -> dict[str, Any]:
    """A take as it is listed."""
    return {
        "id": take.id,
        "kind": take.kind,
        "targets": dict(take.targets),
        "frames": take.frame_count,
        "trim": take.trim,
        "seconds": round(take.duration_s, 2),
        "tracked": round(take.tracked_fraction, 3),
        "source": take.source,
        "created_at": take.created_at,
    }


_SENTENCES = {
    "/instrument/record/stop": "take {0}: {1} frames",
    "/instrument/record/timed": "take {0}: {1} frames",
    "/instrument/record": "recording {0}; `record stop` ends it",
    "/instrument/takes/cut": "take {0}: {1} frames; `undo` takes it out again",
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
        "/instrument/health": lambda found: health_text(found["keys"], found["rows"]),
        "/instrument/train": training_text,
        "/instrument/takes": takes_text,
    }
    if address in _SENTENCES and not str(values[:1]).startswith("['nothing to "):
        return _SENTENCES[address].format(*values)
    if address == "/instrument/model/map":
        return map_text(*values)  # type: ignore[arg-type]
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


def map_text(described: str, _: bytes, examples: bytes, regions: bytes) -> str:
    """What a model sees, as a picture of letters (small ones are what it says there, capitals are examples)."""
    found = json.loads(described)
    columns, rows = found["grid"]
    classes = found["classes"]

    def sign(said: int) -> str:
        if not classes:
            return str(said * 10 // 256)
        return _LETTERS[said % len(_LETTERS)] if said < len(classes) else " "

    picture = [
        [sign(regions[2 * (row * columns + column)]) for column in range(0, columns, _ACROSS)]
        for row in range(_UP // 2, rows, _UP)
    ]
    wrong: dict[int, int] = {}
    for x, y, take, shown, said in struct.iter_unpack("<HHHBB", examples):
        if classes:
            picture[y * len(picture) >> 16][x * len(picture[0]) >> 16] = sign(shown).upper()
            wrong[found["takes"][take]] = wrong.get(found["takes"][take], 0) + (shown != said)
    lines = ["|" + "".join(line) + "|" for line in reversed(picture)]
    low, high = found["range"]
    meaning = ", ".join(f"{sign(one)} {name}" for one, name in enumerate(classes)) or f"0 is {low:g}, 9 is {high:g}"
    lines.append(f"{found['output']}: {meaning}")
    lines.append(
        f"{found['examples']} examples of {counted(len(found['takes']), 'take')}; "
        f"what is said at a place is what the model says of {found['agreement']:.0%} of the examples there"
    )
    if taken := [f"{take} ({count} frames)" for take, count in wrong.items() if count]:
        lines.append(f"taken for something else: take {', '.join(taken)}")
    return "\n".join(lines)


def _how_it_runs(output: dict[str, Any]) -> str:
    """Backend, bits and drift of an output that runs."""
    if not output["backend"]:
        return ""
    drift = output["drift"] or {}
    heard = "".join(
        f", {name} drift {drift[key]:.2%}" for name, key in (("rms", "rms"), ("worst", "worst_jump")) if key in drift
    )
    bits = f", {output['bits']} bits" if output["bits"] else ""
    return f" [{output['backend']}{bits}{heard}]"


def evaluation_text(result: dict[str, Any]) -> str:
    """The scores of one output, a screen of them."""
    if "rmse" in result:
        return _values_text(result)
    classes = list(result["classes"])
    of_each = f", {result['few']} of each class learned from" if result["few"] else ""
    groups = ", ".join(result["feature_groups"])
    spread = f"deviation {result['deviation']:.1%}, worst {result['worst']:.1%}"
    tested = [(name, recall) for name, recall in result["recall"].items() if recall is not None]
    of_tested = f" of the {len(tested)} classes tested" if len(tested) < len(classes) else ""
    held_out = f"{result['split']} held out{of_each}; {counted(result['runs'], 'run')} ({spread})"
    lines = [
        f"{result['output']}: {result['examples']} examples of {len(classes)} classes, {groups}",
        f"  {result['accuracy']:.1%} recognised{of_tested}; {held_out}, {result['train_ms']:.0f} ms to train",
    ]
    if beside := result["beside"]:
        lines.append(f"  {beside['accuracy']:.1%} with {beside['split']} held out instead")
    if result["warning"]:
        lines.append(f"    ({result['warning']})")
    curve = ", ".join(f"{one['accuracy']:.1%} from {one['examples']}" for one in result["learning_curve"])
    lines.append(f"  learning curve: {curve} examples")
    width = max(len(name) for name in classes[:12])
    lines.append(f"  {'recall'.rjust(width + 9)}  what each was taken for")
    if len(classes) <= 12:
        columns = [max(len(name), 6) for name in classes]
        names = "  ".join(name.rjust(size) for name, size in zip(classes, columns, strict=True))
        lines.append(f"  {''.rjust(width + 9)}  {names}")
        for name, row in zip(classes, result["confusion"], strict=True):
            cells = "  ".join(str(count).rjust(size) for count, size in zip(row, columns, strict=True))
            recall = result["recall"][name]
            told = "untested" if recall is None else f"{recall:8.1%}"
            lines.append(f"  {name.rjust(width)} {told}  {cells}")
    else:
        worst = sorted(tested, key=lambda item: item[1])[:12]
        lines += [f"  {name} {recall:.1%}" for name, recall in worst]
    return "\n".join([*lines, *(f"  note: {note}" for note in result["notes"])])


def _values_text(result: dict[str, Any]) -> str:
    """The errors of a continuous output."""
    low, high = result["range"]
    beside = result["beside"]
    worst = ", ".join(f"take {one['take']}: {one['rmse']:.3g}" for one in result["worst_takes"])
    lines = [
        (
            f"{result['output']}: {result['examples']} examples in {counted(result['takes'], 'take')}, "
            f"values {low:g}..{high:g}"
        ),
        (
            f"  {result['rmse']:.3g} off (root mean square) with {result['split']} held out, "
            f"{result['train_ms']:.0f} ms to train; always saying the mean is {result['rmse_of_the_mean']:.3g} off"
        ),
        f"  {beside['rmse']:.3g} off with {beside['split']} held out instead",
        *([f"    ({result['warning']})"] if result["warning"] else []),
        f"  worst: {worst}",
    ]
    return "\n".join([*lines, *(f"  note: {note}" for note in result["notes"])])


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
