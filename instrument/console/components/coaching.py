"""What to record next."""

from nicegui import ui

from instrument.console.panel import panel


def coaching() -> ui.element:
    """The sentences of advice that come a moment after each training."""
    return panel("coaching")
