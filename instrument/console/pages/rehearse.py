"""Where a whole run-through is recorded, looked through, and learned from."""

from nicegui import ui

from instrument.console.components.run_bands import run_bands
from instrument.console.components.run_pin import run_pin
from instrument.console.components.run_strictness import run_strictness
from instrument.console.components.run_throughs import run_throughs
from instrument.console.components.run_view import run_view


def rehearse() -> None:
    """The performer at the playhead, what the models say along the recording, and what should have been."""
    run_view()
    run_bands()
    with ui.element("section").classes("rehearse-side"):
        run_throughs()
        run_pin()
        run_strictness()
