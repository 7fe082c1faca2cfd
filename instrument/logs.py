"""How the program logs: one place, stderr, short lines. INSTRUMENT_LOG=debug shows traffic too."""

import logging
import os
import sys


def set_up_logging(*, is_quiet: bool = False) -> None:
    """Sets up logging for this process."""
    level = os.environ.get("INSTRUMENT_LOG", "warning" if is_quiet else "info").upper()
    logging.basicConfig(
        stream=sys.stderr,
        level=getattr(logging, level, logging.INFO),
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
        force=True,
    )
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # comes with MediaPipe, and tells of its fonts
