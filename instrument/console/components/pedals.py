"""The pedals."""

from nicegui import ui

from instrument.console.panel import panel


def pedals() -> ui.element:
    """What pedals, keys and knobs of MIDI controllers do, and what learns, changes and removes them."""
    return panel("pedals")
