"""What a model sees, as a picture."""

from nicegui import ui

from instrument.console.panel import panel


def model_map(output: str | None = None) -> ui.element:
    """The examples of an output in two dimensions, what its model says around them, and where the performer is now.

    Without `output`, one chooses among those of the patch. It fills whatever box it is given.
    """
    return panel("model-map", output=output)
