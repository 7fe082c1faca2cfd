"""The camera of the phone or computer that opens this page, for the instrument to watch."""

from instrument.console.components.camera_link import camera_link
from instrument.console.components.phone_camera import phone_camera
from instrument.console.components.recognised import recognised


def camera() -> None:
    """This device's camera, what is recognised in it, and how another device gets here."""
    phone_camera()
    recognised()
    camera_link()
