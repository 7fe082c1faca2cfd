"""False triggers."""

from nicegui import ui

from instrument.console.panel import panel


def run_strictness() -> ui.element:
    """How often something was seen where nothing was meant, and setting how strict to be by that."""
    return panel("run-strictness")
