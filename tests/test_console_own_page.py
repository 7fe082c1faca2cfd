"""Pages of one's own: what a file must have, that it is run only when it is named, and the wizard."""

from pathlib import Path

import pytest
from browsing import FAINT_TEXTS, NAMELESS, Program, chromium, open_page
from clients import require_client, wait_until
from typer.testing import CliRunner

from instrument.cli import app
from instrument.console.own_page import OwnPageError, own_page
from instrument.console.pages import PAGES
from instrument.projects import new_project, patches_folder

HEAD = "from instrument.console.frame import Page\n"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_makes_its_page(tmp_path: Path) -> None:
    page = own_page(written(tmp_path, HEAD + 'PAGE = Page(path="/mine", title="Mine", build=lambda: None)'), PAGES)
    assert (page.path, page.title) == ("/mine", "Mine")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1\ny = undefined\n", "mine.py, line 2: NameError"),
        ("def f(:\n", "mine.py, line 1: SyntaxError"),
        ("import no_such_module\n", "line 1: ModuleNotFoundError"),
        ("PAGE = 3\n", "PAGE is 3; wanted: PAGE = Page"),
        ("", "PAGE is None"),
        (HEAD + 'PAGE = Page(path="/", title="Mine", build=lambda: None)', "path '/'; allowed: one that begins with /"),
        (HEAD + 'PAGE = Page(path="mine", title="Mine", build=lambda: None)', "path 'mine'; allowed"),
    ],
)
def test_a_file_that_makes_none_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(OwnPageError, match=complaint):
        own_page(written(tmp_path, text), PAGES)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--page", "nowhere.py"], "no such Python file"), (["--page", __file__, "--headless"], "--headless leaves out")],
)
def test_a_page_that_cannot_be_shown_is_said_before_anything_starts(options: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, ["play", *options])
    assert result.exit_code == 2
    assert complaint in result.output


def test_a_page_is_run_when_it_is_named_and_never_because_it_lies_in_a_project(tmp_path: Path) -> None:
    require_client("chromium")
    project = new_project(tmp_path / "piece", "three-postures")
    marker = tmp_path / "was run"
    trap = f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
    for name in ("page", "pages", "console", "instrument", "conftest", "sitecustomize"):
        (project.folder / f"{name}.py").write_text(trap, encoding="utf-8")
    broken = written(tmp_path, "raise RuntimeError('oh')")
    example = patches_folder() / "three-postures" / "first_steps.py"
    pages = ("--page", str(example), "--page", str(broken))
    with Program(project.folder, "--source", "demo", *pages) as program, chromium() as browser:
        page = open_page(browser, program.url)
        page.get_by_role("link", name="First steps").click()
        heading = page.get_by_role("heading")
        heading.filter(has_text="See yourself").wait_for()
        assert page.get_by_role("button", name="Back").is_disabled()
        page.get_by_role("button", name="Next").focus()
        page.keyboard.press("Enter")
        heading.filter(has_text="Show three postures").wait_for()
        page.get_by_text("Step 2 of 3").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "Show three postures"
        page.locator(".card[data-name=up]").wait_for()
        assert page.evaluate(FAINT_TEXTS) == []
        assert page.evaluate(NAMELESS) == []
        page.get_by_role("button", name="Next").click()
        page.locator("instrument-recognised[data-said=up]").wait_for()
        page.get_by_role("button", name="Back").click()
        page.locator(".card[data-name=up]").wait_for()
        page.close()
        said = "a page is left out: " + f"{broken}, line 1: RuntimeError: oh"
        wait_until(lambda: any(said in line for line in program.lines), "why the other page is left out")
    assert not marker.exists()
