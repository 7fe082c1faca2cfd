"""The camera's picture with the skeleton found in it."""

from nicegui import ui

from instrument.console.panel import panel


def camera_view(*, mirrored: bool = True, blind: bool = False, buttons: bool = True) -> ui.element:
    """The picture, as in a mirror or not; `blind` shows the skeleton alone; with buttons for both and full screen.

    What a viewer chose is remembered by their browser.
    """
    return panel("camera-view", mirrored=mirrored, blind=blind, buttons=buttons)
