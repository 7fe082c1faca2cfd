"""Where what is recognised is sent: routes, scenes, and what really leaves."""

from nicegui import ui

from instrument.console.components.routes import routes
from instrument.console.components.scenes import scenes
from instrument.console.components.sent import sent


def map_page() -> None:
    """Scenes above the table of routes, and every message that leaves below."""
    ui.add_head_html('<link rel="stylesheet" href="/static/map.css">')
    scenes()
    routes()
    sent()
