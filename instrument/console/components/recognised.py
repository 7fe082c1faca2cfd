"""What is recognised."""

from nicegui import ui

from instrument.console.panel import panel


def recognised(*, output: str | None = None) -> ui.element:
    """The class that output sees, large, and how sure it is; without a name, the patch's first class output."""
    return panel("recognised", output=output)
