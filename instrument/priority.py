"""Lets the engine go first wherever it and another process of ours both want to run."""

import sys
from contextlib import suppress

NICENESS = 10


def lower_priority() -> None:
    """Gives this process a lower priority; on Linux only threads started afterwards have it too."""
    import psutil

    process = psutil.Process()
    with suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            process.nice(max(process.nice(), NICENESS))
