"""What a take may be recorded for: a class or movement by its name, or a value."""

from collections.abc import Mapping
from contextlib import suppress

from instrument.patch import NO_CLASS, Output, Patch
from instrument.protocol import Value
from instrument.takes import Target


def first_targets(patch: Patch) -> dict[str, Target]:
    """What is recorded until a target is set: the first class, the low end."""
    return {
        output.name: output.low if output.kind == "continuous" else output.classes[0] if output.classes else "1"
        for output in patch.outputs
    }


def still_allowed(patch: Patch, targets: Mapping[str, Target]) -> dict[str, Target]:
    """Those of the targets, by output, that may be recorded with that patch."""
    kept: dict[str, Target] = {}
    for output in patch.outputs:
        target = targets.get(output.name)
        if target is not None and isinstance(target, str) != (output.kind == "continuous"):
            with suppress(ValueError):
                kept[output.name] = checked_target(output, target)
    return kept


def checked_target(output: Output, value: Value) -> Target:
    """The target a value stands for; a class may come as a number.

    Raises ValueError with what is allowed.
    """
    if output.kind != "continuous":
        name = str(value) if isinstance(value, str | bytes) else _number_name(value)
        also = (NO_CLASS,) if output.kind == "trigger" else ()
        if not name or (output.classes and name not in (*output.classes, *also)):
            allowed = ", ".join((*output.classes, *also)) or "any name"
            raise ValueError(f"output '{output.name}': class '{name}'; allowed: {allowed}")
        return name
    if isinstance(value, str | bytes) or not output.low <= value <= output.high:
        raise ValueError(f"output '{output.name}': {value!r}; allowed: a number {output.low:g}..{output.high:g}")
    return float(value)


def wekinator_target(output: Output, value: float) -> Target | None:
    """The target a Wekinator value stands for; None when it is not legal."""
    if output.kind == "continuous":
        return value if output.low <= value <= output.high else None
    if not float(value).is_integer() or value < 1:
        return None
    if not output.classes:
        return _number_name(value)
    return output.classes[int(value) - 1] if value <= len(output.classes) else None


def _number_name(value: float) -> str:
    """What a class is called that came as a number."""
    return str(int(value)) if float(value).is_integer() else f"{value:g}"
