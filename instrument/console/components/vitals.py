"""How the instrument runs."""

from nicegui import ui

from instrument.console.panel import panel


def vitals() -> ui.element:
    """Latency, frame rate, tracking quality, and each destination with a light that flashes when something is sent."""
    return panel("vitals")
