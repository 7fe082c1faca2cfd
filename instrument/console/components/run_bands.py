"""What the models say along the run-through."""

from nicegui import ui

from instrument.console.panel import panel


def run_bands() -> ui.element:
    """A timeline with a band for each output: the model that plays, and the one before the last training."""
    return panel("run-bands")
