"""When something that is seen counts as meant: at once when it is familiar, and until all has been strange for a while.

One frame in twenty of a held gesture is as strange as what `reject` keeps out; a note must not stutter for it. Nor
must a strange frame pass for something else meanwhile: what was familiar last counts on.
"""

import math
from typing import Generic, TypeVar

RELEASE_S = 0.12
"""How long it must be strange before it is none of the classes."""

Said = TypeVar("Said")


class Gate(Generic[Said]):
    """Keeps to what was familiar last. Nothing is meant to begin with."""

    def __init__(self) -> None:
        self._meant: Said | None = None
        self._familiar_at_s = -math.inf

    def update(self, said: Said, now_s: float, *, is_familiar: bool) -> Said | None:
        """What counts, having seen that at that time: it, or what was familiar just before, or nothing."""
        if is_familiar:
            self._meant, self._familiar_at_s = said, now_s
        elif not 0.0 <= now_s - self._familiar_at_s < RELEASE_S:
            self._meant = None
        return self._meant
