"""Projects and videos from this computer."""

from nicegui import ui

from instrument.console.panel import panel
from instrument.console.uploads import MB, MOST_PROJECT_BYTES, MOST_VIDEO_BYTES, VIDEO_KINDS


def uploads() -> ui.element:
    """Sends a project, as a .zip, or a video to the instrument, which then plays or watches it."""
    return panel(
        "uploads",
        project_mb=MOST_PROJECT_BYTES // MB,
        video_mb=MOST_VIDEO_BYTES // MB,
        project_kinds=".zip",
        video_kinds=",".join(VIDEO_KINDS),
    )
