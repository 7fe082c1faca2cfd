"""What is being learned."""

from nicegui import ui

from instrument.console.panel import panel


def training() -> ui.element:
    """How far the training under way is, and how well the last one did."""
    return panel("training")
