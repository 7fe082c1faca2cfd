"""One thing after the other."""

from collections.abc import Callable, Mapping
from html import escape

from nicegui import ui

from instrument.console.panel import panel


def wizard(steps: Mapping[str, Callable[[], object]]) -> ui.element:
    """Steps by their titles, one seen at a time, with buttons to the next and back; each makes components."""
    with ui.element("section").classes("wizard panel") as whole:
        for title, build in steps.items():
            with ui.element("div").classes("wizard-step"):
                ui.html(f'<h2 class="wizard-title" tabindex="-1">{escape(title)}</h2>', sanitize=False)
                build()
        panel("wizard-steps")
    return whole
