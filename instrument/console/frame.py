"""What every page has around it: the bar with the pages and the state of the instrument, texts and styles."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nicegui import ui

from instrument.console.panel import panel
from instrument.console.texts import TEXTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the console; `build` makes its components, in order."""

    path: str
    title: str
    build: Callable[[], None]


def framed(page: Page, pages: Sequence[Page]) -> Callable[[], None]:
    """A function that makes the whole page: the bar, then what `build` makes inside `<main>`."""

    def make() -> None:
        texts = json.dumps(TEXTS).replace("<", "\\u003c")
        ui.add_head_html(f'<script type="application/json" id="instrument-texts">{texts}</script>')
        for style in ("console", "teach", "map", "model_map"):
            ui.add_head_html(f'<link rel="stylesheet" href="/static/{style}.css">')
        with ui.element("header").classes("bar"):
            ui.link(TEXTS["skip"], "#content").classes("skip")
            panel("project-name")
            panel("scene-name")
            with ui.element("nav").props(f'aria-label="{TEXTS["pages"]}"'):
                for one in pages:
                    link = ui.link(one.title, one.path)
                    if one is page:
                        link.props('aria-current="page"')
            panel("state-line")
            panel("sound-button")
            panel("panic-button")
            panel("pedal-sign")
        with ui.element("main").props('id="content"').classes(f"page page-{page.title.lower()}"):
            page.build()

    return make
