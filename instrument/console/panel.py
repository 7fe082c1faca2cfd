"""Puts a component of the console's own into a page: a custom element, drawn by the module of the same name."""

from nicegui import ui


def panel(name: str, **options: str | float | bool | None) -> ui.element:
    """The element `<instrument-NAME>`, drawn by static/NAME.js with `-` as `_`; options become its attributes.

    `mirrored=True` is the attribute `mirrored`, False and None are left out; others are written as text.
    """
    module = name.replace("-", "_")
    ui.add_head_html(f'<script type="module" src="/static/{module}.js"></script>')
    element = ui.element(f"instrument-{name}")
    for key, value in options.items():
        if value is not None and value is not False:
            element.props[key.replace("_", "-")] = "" if value is True else str(value)
    return element
