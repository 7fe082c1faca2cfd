"""One figure over the last hour."""

from nicegui import ui

from instrument.console.panel import panel


def curve(name: str, *columns: str, unit: str = "", kind: str = "level") -> ui.element:
    """A curve of those columns (see instrument/health.py), the second one fainter; the figure itself is the first.

    `name` and `unit` are looked up in the texts, as `curve_NAME` and UNIT. `kind` is `level` as it is, `share` of 1,
    `rate` a second of what was counted, or `count`, whose sum over the hour is shown.
    """
    return panel("curve", figure=name, columns=",".join(columns), unit=unit, kind=kind)
