"""What can be taught, as cards to press and hold."""

from nicegui import ui

from instrument.console.panel import panel


def class_cards(*, output: str | None = None) -> ui.element:
    """A card for each class, sliders and a pad for continuous outputs: hold a card, or its key 1 to 9, to record.

    With a name, the cards of that output only.
    """
    return panel("class-cards", output=output)
