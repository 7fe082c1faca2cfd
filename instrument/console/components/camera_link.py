"""How a phone or another computer gets to this page."""

from nicegui import ui

from instrument.console.panel import panel


def camera_link() -> ui.element:
    """The link as a QR code, with the certificate's fingerprint; or how to start so that there is one."""
    return panel("camera-link")
