"""The instrument's processes."""

from nicegui import ui

from instrument.console.panel import panel


def processes() -> ui.element:
    """For engine, trainer and console: their memory, over the hour too, and how often they were started again."""
    return panel("processes")
