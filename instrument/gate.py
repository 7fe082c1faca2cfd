"""When something that is seen counts as meant: at once when it is familiar, and until it has been strange for a while.

One frame in twenty of a held gesture is as strange as what `reject` keeps out; a note must not stutter for it.
"""

RELEASE_S = 0.12
"""How long it must be strange before it is none of the classes."""


class Gate:
    """Open while what is seen is meant. Shut to begin with."""

    def __init__(self, least: float) -> None:
        self._least = least
        self._familiar_at_s: float | None = None

    def update(self, familiarity: float, now_s: float) -> bool:
        """Whether it is open, having seen something that familiar at that time."""
        if familiarity >= self._least:
            self._familiar_at_s = now_s
            return True
        if self._familiar_at_s is not None and not 0.0 <= now_s - self._familiar_at_s < RELEASE_S:
            self._familiar_at_s = None
        return self._familiar_at_s is not None
