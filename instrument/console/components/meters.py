"""Every control, as a meter."""

from nicegui import ui

from instrument.console.panel import panel


def meters() -> ui.element:
    """What each route sends now, with the curve of its last ten seconds; notes and events flash."""
    return panel("meters")
