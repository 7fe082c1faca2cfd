"""The run-through that is looked through."""

from nicegui import ui

from instrument.console.panel import panel


def run_view() -> ui.element:
    """The skeleton at the playhead, what is said there, and playing it back."""
    return panel("run-view")
