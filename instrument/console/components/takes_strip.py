"""What has been recorded."""

from nicegui import ui

from instrument.console.panel import panel


def takes_strip() -> ui.element:
    """Every take as a strip of skeletons, newest first, to delete; with undo and redo."""
    return panel("takes-strip")
