"""What is being learned."""

from nicegui import ui

from instrument.console.panel import panel


def training() -> ui.element:
    """The training under way, how the loss fell, how well takes it had not learned from are known, what is confused."""
    return panel("training")
