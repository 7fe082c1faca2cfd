"""Pages of one's own: a Python file that makes a page of components, run only because somebody named it.

A page is a program. None is ever looked for, least of all in a project, which may be a stranger's.
"""

import importlib.util
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nicegui import ui

from instrument.console.frame import Page


class OwnPageError(ValueError):
    """A file that makes no page; the text says where, what and what to do."""


def own_page(file: Path, others: Sequence[Page]) -> Page:
    """The page that file makes: its `PAGE`. Runs the file.

    Raises OwnPageError.
    """
    spec = importlib.util.spec_from_file_location(f"own_page_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise OwnPageError(f"{file}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise OwnPageError(f"{file}{_line(error, file)}: {type(error).__name__}: {error}") from error
    page = getattr(module, "PAGE", None)
    if not isinstance(page, Page):
        allowed = 'PAGE = Page(path="/mine", title="Mine", build=mine)'
        raise OwnPageError(f"{file}: PAGE is {page!r}; wanted: {allowed}, see docs/own-page.md")
    taken = [one.path for one in others]
    if page.path in taken or not page.path.startswith("/"):
        raise OwnPageError(
            f"{file}: path '{page.path}'; allowed: one that begins with / and is none of {', '.join(taken)}"
        )

    def build() -> None:
        with ui.element("div").classes("own"):
            page.build()

    return replace(page, build=build)


def _line(error: Exception, file: Path) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    return f", line {lines[-1]}" if lines else ""
