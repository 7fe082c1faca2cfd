"""What is looked at while playing, from three metres."""

from instrument.console.components.camera_view import camera_view
from instrument.console.components.meters import meters
from instrument.console.components.movements import movements
from instrument.console.components.recognised import recognised
from instrument.console.components.vitals import vitals


def stage() -> None:
    """The performer, what is recognised, every control, and how it runs."""
    camera_view()
    recognised()
    movements()
    meters()
    vitals()
