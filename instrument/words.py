"""Counts as they stand in sentences."""


def counted(count: int, noun: str) -> str:
    """`1 take`, `2 takes`, `3 classes`."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"
