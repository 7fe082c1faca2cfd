"""The routes as a table to edit."""

from nicegui import ui

from instrument.console.panel import panel


def routes() -> ui.element:
    """Every route of the patch with what it sends now, and an editor for the one picked; edits go into `patch.toml`."""
    return panel("routes")
