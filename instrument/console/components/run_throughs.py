"""Recording whole run-throughs, and choosing one."""

from nicegui import ui

from instrument.console.panel import panel


def run_throughs() -> ui.element:
    """Buttons that record, and every performance and rehearsal there is, to look through or delete."""
    return panel("run-throughs")
