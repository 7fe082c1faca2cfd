"""What is looked at while playing, from three metres."""

from instrument.console.components.camera_view import camera_view
from instrument.console.components.recognised import recognised


def stage() -> None:
    """The performer, what is recognised, and every control."""
    camera_view()
    recognised()
