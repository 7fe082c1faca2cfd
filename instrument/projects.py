"""Makes projects out of patches, and finds the one to play when none is named."""

import shutil
from pathlib import Path

import platformdirs

from instrument.project import Project

DEFAULT_PATCH = "three-postures"
TAKES_CSV = "takes.csv"
_LEFT_OUT = ("__init__.py", "__pycache__", TAKES_CSV)


class ProjectError(ValueError):
    """A project that cannot be found or made; its text says what to do."""


def patches_folder() -> Path:
    """Where the ready-made patches are."""
    import instrument.patches

    return Path(instrument.patches.__path__[0])


def patch_names() -> list[str]:
    """The ready-made patches there are."""
    return sorted(file.parent.name for file in patches_folder().glob("*/patch.toml"))


def new_project(folder: Path, patch: str) -> Project:
    """A new project made from a ready-made patch (by name) or any folder with a `patch.toml`, takes included.

    Raises ProjectError.
    """
    template = patches_folder() / patch
    if not (template / "patch.toml").is_file():
        template = Path(patch).expanduser()
    if not (template / "patch.toml").is_file():
        raise ProjectError(
            f"no patch '{patch}'; there are: {', '.join(patch_names())}, or give a folder with a patch.toml"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ProjectError(f"{folder} is there already and not empty; choose another name")
    from instrument.exchange import import_takes
    from instrument.takes import TakeStore

    draft = folder.with_name(folder.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(template, draft, ignore=shutil.ignore_patterns(*_LEFT_OUT, "*.sqlite*", "models"))
    project = Project(draft)
    with TakeStore.open(project.takes_file) as store:
        if (template / TAKES_CSV).is_file():
            import_takes(store, template / TAKES_CSV)
    if folder.exists():
        folder.rmdir()
    draft.rename(folder)
    return Project(folder)


def default_project() -> Project:
    """The project played when none is named: made from the default patch on first use."""
    folder = Path(platformdirs.user_data_dir("instrument", appauthor=False)) / DEFAULT_PATCH
    if Project(folder).patch_file.is_file():
        return Project(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return new_project(folder, DEFAULT_PATCH)


def find_project(name: Path | None) -> Project:
    """The project in that folder, the ready-made patch of that name, or the default one.

    Raises ProjectError.
    """
    if name is None:
        return default_project()
    folder = name.expanduser()
    if folder.name == "patch.toml":
        folder = folder.parent
    if not Project(folder).patch_file.is_file():
        hint = f"instrument new {folder} --from PATCH, with PATCH one of {', '.join(patch_names())}"
        raise ProjectError(f"{folder}: no project here (it has no patch.toml); make one with: {hint}")
    return Project(folder.resolve())
