"""A page of one's own, made of components: play it with

instrument new mine --from three-postures
instrument play mine --page mine/first_steps.py
"""

from nicegui import ui

from instrument.console.components.camera_view import camera_view
from instrument.console.components.class_cards import class_cards
from instrument.console.components.meters import meters
from instrument.console.components.recognised import recognised
from instrument.console.components.wizard import wizard
from instrument.console.frame import Page


def see() -> None:
    ui.label("Step back until your hips are in the picture.")
    camera_view(buttons=False)


def show() -> None:
    ui.label("Two takes of each are enough to begin with.")
    class_cards(output="posture")


def play() -> None:
    ui.label("Move, and hear what you have taught.")
    recognised(output="posture")
    meters()


def first_steps() -> None:
    """The exercise of a first lesson, one thing after the other."""
    wizard({"See yourself": see, "Show three postures": show, "Play": play})


PAGE = Page(path="/first-steps", title="First steps", build=first_steps)
