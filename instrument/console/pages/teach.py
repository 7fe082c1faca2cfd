"""Where the instrument is shown what each posture should do."""

from nicegui import ui

from instrument.console.components.camera_view import camera_view
from instrument.console.components.class_cards import class_cards
from instrument.console.components.coaching import coaching
from instrument.console.components.model_map import model_map
from instrument.console.components.movements import movements
from instrument.console.components.recognised import recognised
from instrument.console.components.takes_strip import takes_strip
from instrument.console.components.training import training


def teach() -> None:
    """The performer, cards to hold for recording, what came of it, and every take."""
    camera_view()
    with ui.element("section").classes("teach-said"):
        recognised()
        movements()
    class_cards()
    coaching()
    takes_strip()
    with ui.element("section").classes("teach-side"):
        model_map()
        training()
