"""Where what is recognised is sent: routes, scenes, and what really leaves."""

from instrument.console.components.routes import routes
from instrument.console.components.scenes import scenes
from instrument.console.components.sent import sent


def map_page() -> None:
    """Scenes above the table of routes, and every message that leaves below."""
    scenes()
    routes()
    sent()
