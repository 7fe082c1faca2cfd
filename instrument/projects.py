"""Makes projects out of patches, and finds the one to play when none is named."""

import shutil
from pathlib import Path

import platformdirs

from instrument.project import Project

DEFAULT_PATCH = "three-postures"
NUMBERS_PATCH = "wekinator"
TAKES_CSV = "takes.csv"
_LEFT_OUT = ("__init__.py", "__pycache__", TAKES_CSV, "patch.*.toml", "*.sqlite*", "models", "*.new")


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
    if patch not in patch_names():
        template = Path(patch).expanduser()
    if not (template / "patch.toml").is_file():
        there = ", ".join(patch_names())
        raise ProjectError(f"no patch '{patch}'; there are: {there}, or give a folder with a patch.toml")
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir()) or folder == Path.cwd()):
        raise ProjectError(f"{folder} is there already; choose another name")
    from instrument.exchange import ExchangeError
    from instrument.takes import TakesError

    draft = folder.with_name(folder.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        shutil.copytree(template, draft, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        _copy_takes(Project(template), Project(draft))
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except (ExchangeError, TakesError) as error:
        raise ProjectError(f"the takes of {template} cannot be used: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Project(folder)


def _copy_takes(template: Project, made: Project) -> None:
    from instrument.exchange import read_takes
    from instrument.takes import TakeStore

    with TakeStore.open(made.takes_file) as store:
        if (template.folder / TAKES_CSV).is_file():
            store.add(read_takes(template.folder / TAKES_CSV), None)
        elif template.takes_file.is_file():
            with TakeStore.open(template.takes_file, readonly=True) as there:
                store.add((there.whole(take.id) for take in there.takes()), None)


def ready_made_project(patch: str = DEFAULT_PATCH) -> Project:
    """A ready-made patch as a project among the user's data, made on first use and kept from then on."""
    folder = Path(platformdirs.user_data_dir("instrument", appauthor=False)) / patch
    if Project(folder).patch_file.is_file():
        return Project(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return new_project(folder, patch)


def find_project(name: Path | None, *, source: str | None = None) -> Project:
    """The project in that folder, else the ready-made patch of that name; without a name, the one for that source.

    Raises ProjectError.
    """
    if name is None:
        return ready_made_project(NUMBERS_PATCH if source == "osc" else DEFAULT_PATCH)
    folder = name.expanduser()
    if folder.name == "patch.toml":
        folder = folder.parent
    if not folder.exists() and str(name) in patch_names():
        return ready_made_project(str(name))
    if not Project(folder).patch_file.is_file():
        hint = f"instrument new {folder} --from PATCH, with PATCH one of {', '.join(patch_names())}"
        raise ProjectError(f"{folder}: no project here (it has no patch.toml); make one with: {hint}")
    return Project(folder.resolve())
