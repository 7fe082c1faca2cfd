"""The promises the repository makes about itself: what is packaged, who imports whom, what is never committed."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = {"instrument": "instrument", "models": "instrument.models", "kernels": "instrument.kernels"}
"""Top-level folders of code, and the package each is imported as."""


def modules() -> dict[str, Path]:
    """Every module of ours by the name it is imported as."""
    found = {}
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = [package, *file.relative_to(ROOT / folder).with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


def imports(file: Path, *, only_at_import: bool = False) -> set[str]:
    """Names of the modules that a file imports; `only_at_import` leaves out what functions import when called."""
    package = next(name for name, path in modules().items() if path == file)
    if file.name != "__init__.py":
        package = package.rpartition(".")[0]
    names: set[str] = set()
    for node in _nodes(ast.parse(file.read_text(encoding="utf-8")), only_at_import):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return names


def _nodes(node: ast.AST, only_at_import: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        is_deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _is_type_checking(child)
        if not (only_at_import and is_deferred):
            yield child
            yield from _nodes(child, only_at_import)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def loaded_by(module: str) -> set[str]:
    """Everything that importing a module of ours imports, ours followed all the way."""
    ours, seen, waiting = modules(), set(), {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        if name in ours:
            waiting |= imports(ours[name], only_at_import=True) - seen
    return seen


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_every_folder_of_code_is_packaged():
    there = {name.rpartition(".")[0] for name, file in modules().items() if file.name != "__init__.py"}
    there |= {name for name, file in modules().items() if file.name == "__init__.py"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == there | {"instrument.patches"}


def test_every_package_outside_instrument_has_its_folder_named():
    named = PYPROJECT["tool"]["setuptools"]["package-dir"]
    assert {package: named[package] for package in FOLDERS.values()} == {v: k for k, v in FOLDERS.items()}


def test_the_version_is_written_once():
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "instrument.__version__"}


def test_every_requirement_is_pinned():
    project = PYPROJECT["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {_plain(re.match(r"[A-Za-z0-9._-]+", requirement)[0]) for requirement in asked}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_plain(line.partition("==")[0]) for line in lines if "==" in line and not line.startswith("#")}
    assert names - pinned == set()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_second_opencv_is_asked_for():
    text = (ROOT / "pyproject.toml").read_text() + (ROOT / "constraints.txt").read_text()
    assert re.findall(r"^\W*opencv-python\b", text, flags=re.MULTILINE) == []


def test_the_ready_made_patches_are_found_from_an_install():
    assert Path(str(files("instrument.patches"))).resolve() == (ROOT / "patches").resolve()


def test_kernels_imports_nothing_of_ours():
    wrong = {
        (name, used)
        for name, file in modules().items()
        if is_in(name, "instrument.kernels")
        for used in imports(file)
        if is_in(used, "instrument") and not is_in(used, "instrument.kernels") and used != "instrument"
    }
    assert wrong == set()


def test_models_imports_only_kernels():
    wrong = {
        (name, used)
        for name, file in modules().items()
        if is_in(name, "instrument.models")
        for used in imports(file)
        if is_in(used, "instrument")
        and used != "instrument"
        and not is_in(used, "instrument.models")
        and not is_in(used, "instrument.kernels")
    }
    assert wrong == set()


ROOMS = ("signals", "source", "tracker", "smoothing", "features", "predictor", "mapping", "outputs", "engine")
"""The rooms a frame walks through, in order; none imports a later one."""


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_a_later_one(room):
    later = {f"instrument.{name}" for name in ROOMS[ROOMS.index(room) + 1 :]}
    assert imports(modules()[f"instrument.{room}"]) & later == set()


@pytest.mark.parametrize("module", ["instrument.engine", "instrument.trainer", "instrument.supervisor"])
def test_a_machine_without_a_gpu_never_loads_torch(module):
    assert {name for name in loaded_by(module) if is_in(name, "torch") or is_in(name, "triton")} == set()


def test_a_bare_import_of_models_is_a_lint_error():
    code = "import models\nfrom kernels import pack\nimport instrument.models\n"
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--output-format", "concise", "-"]
    run = subprocess.run(command, input=code, cwd=ROOT, capture_output=True, text=True)
    assert [line.split()[0] for line in run.stdout.splitlines() if "TID251" in line] == ["-:1:8:", "-:2:1:"]


def committed_texts() -> Iterator[tuple[str, str]]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listing.stdout.splitlines():
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content[:8000]:
            yield name, content.decode("utf-8", errors="replace")


def test_nothing_committed_names_a_registry_host_or_a_path_of_one_machine():
    hosts = ["pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "deb." + "debian.org"]
    pattern = re.compile("|".join([*map(re.escape, hosts), r"(?<![\w.])/" + "work/(main|shared)", "/ro" + "ot/"]))
    named = [(name, found[0]) for name, text in committed_texts() if (found := pattern.search(text))]
    assert named == []


@pytest.mark.parametrize(
    "module", ["instrument.engine", "instrument.trainer", "instrument.supervisor", "instrument.cli"]
)
def test_only_the_console_loads_what_serves_the_page(module):
    assert {name for name in loaded_by(module) if is_in(name, "nicegui") or is_in(name, "instrument.console")} == set()
