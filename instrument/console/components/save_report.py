"""A report to keep."""

from nicegui import ui

from instrument.console.panel import panel


def save_report() -> ui.element:
    """Saves all that is known of the last hour, as text or JSON."""
    return panel("save-report")
