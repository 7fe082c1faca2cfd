"""What a project will not learn from takes that come out of a file, in plain words, and what to do about it."""

from collections.abc import Iterator, Sequence

from instrument.patch import HAND_FEATURES, NO_CLASS, NUMBER_FEATURES, POSE_FEATURES, Output, Patch
from instrument.takes import Take, WholeTake
from instrument.words import counted

_PARTS = (
    ("pose", POSE_FEATURES, "pose landmarks"),
    ("left_hand", HAND_FEATURES, "hand landmarks"),
    ("numbers", NUMBER_FEATURES, "numbers"),
)


def not_learned(patch: Patch, there: Sequence[Take], takes: Sequence[WholeTake]) -> list[str]:
    """Why some of these takes teach nothing, one line a reason; `there` are the project's takes before them."""
    counts: dict[str, int] = {}
    teaching = [take for take in takes if take.kind == "take"]
    number_count = patch.listen.inputs or next((take.number_count for take in reversed(there) if take.number_count), 0)
    for take in teaching:
        for reason in dict.fromkeys(_reasons(patch, number_count, take)):
            counts[reason] = counts.get(reason, 0) + 1
    return [f"{count} of {len(takes)} takes: {reason}" for reason, count in counts.items()]


def _reasons(patch: Patch, number_count: int, take: WholeTake) -> Iterator[str]:
    outputs = {output.name: output for output in patch.outputs}
    numbers = take.landmarks.numbers
    if patch.listen.is_numbers and numbers is not None:
        if number_count and numbers.shape[1] != number_count:
            yield (
                f"{counted(numbers.shape[1], 'number')} a frame, where this project has {number_count}, and it can "
                "learn from one or the other only; set `inputs` under [listen] in patch.toml to the one that is meant"
            )
        if not take.landmarks.is_tracked.all():
            yield "numbers are missing in some frames, which teach nothing; fill them in and import the file again"
    for name, first in take.targets.items():
        if name not in outputs:
            has = ", ".join(outputs) or "none"
            yield (
                f"no output '{name}'; this patch has: {has}. Name the column as the output it is for and import the "
                f'file again, or add an [[output]] with name = "{name}" to patch.toml'
            )
            continue
        output = outputs[name]
        for part, groups, words in _PARTS:
            if any(group in groups for group in output.features) and getattr(take.landmarks, part) is None:
                yield f"no {words}, from which output '{name}' learns; import them into a project that has these"
        if isinstance(first, str) != (output.kind != "continuous"):
            kind = ("names", "values") if isinstance(first, str) else ("values", "names")
            yield (
                f"{kind[0]} for output '{name}', which is {output.kind} and learns {kind[1]}; "
                "change its `kind` in patch.toml, or the file"
            )
        elif unknown := _unknown_classes(output, take):
            yield (
                f"{unknown} for output '{name}', whose classes are {', '.join(output.classes)}; "
                "add to its `classes` in patch.toml what is to be learned"
            )


def _unknown_classes(output: Output, take: WholeTake) -> str:
    """The classes it teaches which the output does not allow."""
    allowed = {*output.classes, *([NO_CLASS] if output.kind == "trigger" else [])}
    shown = (take.targets[output.name], *take.moving.get(output.name, ()))
    return ", ".join(repr(one) for one in dict.fromkeys(shown) if output.classes and one not in allowed)
