"""Where what is recognised is sent: routes, scenes, pedals, and what really leaves."""

from instrument.console.components.pedals import pedals
from instrument.console.components.routes import routes
from instrument.console.components.scenes import scenes
from instrument.console.components.sent import sent


def map_page() -> None:
    """Scenes and pedals above the table of routes, and every message that leaves below."""
    scenes()
    pedals()
    routes()
    sent()
