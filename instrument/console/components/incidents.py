"""What went wrong."""

from nicegui import ui

from instrument.console.panel import panel


def incidents() -> ui.element:
    """What went wrong since the console was started, the newest first."""
    return panel("incidents")
