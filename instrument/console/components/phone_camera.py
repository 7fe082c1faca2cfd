"""The camera of whatever device shows the page."""

from nicegui import ui

from instrument.console.panel import panel


def phone_camera() -> ui.element:
    """The device's own camera, once it is allowed, sent to the instrument; with its rate and its delay."""
    return panel("phone-camera")
