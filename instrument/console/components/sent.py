"""What leaves."""

from nicegui import ui

from instrument.console.panel import panel


def sent() -> ui.element:
    """Every message that is sent, by destination, with its newest values and how often it goes."""
    return panel("sent")
