"""Movements: what trigger outputs follow."""

from nicegui import ui

from instrument.console.panel import panel


def movements() -> ui.element:
    """For each trigger output the movement under way, how far it is, and a flash when it counts as played."""
    return panel("movements")
