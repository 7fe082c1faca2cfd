"""What a moment of the run-through should have been."""

from nicegui import ui

from instrument.console.panel import panel


def run_pin() -> ui.element:
    """Makes takes of the span that is chosen, and tells which takes are to blame for what was said."""
    return panel("run-pin")
