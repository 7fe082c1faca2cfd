"""The scenes."""

from nicegui import ui

from instrument.console.panel import panel


def scenes() -> ui.element:
    """Buttons that recall the patch's scenes, and what saves, changes and removes them."""
    return panel("scenes")
