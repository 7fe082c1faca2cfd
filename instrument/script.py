"""A session as a script: a short Python file that trains a project's models again, to the last bit.

Nothing of the project becomes code: the patch and the takes lie beside the script as files. What is put into it are
ids of models, 16 hexadecimal digits, by the names of outputs, in which a patch allows letters, digits, - and _ only.
"""

import platform
from pathlib import Path
from string import Template

import numpy as np

from instrument import __version__
from instrument.exchange import export_takes
from instrument.models.movement_model import load_of_kind
from instrument.patch_file import parse_patch
from instrument.project import Project
from instrument.takes import TakeStore


class ScriptError(ValueError):
    """A script that cannot be written; the text says why and what to do."""


_SCRIPT = Template('''\
"""Trains the models of a session again, from its takes: the same weights, bit for bit.

Made by instrument $instrument with Python $python and numpy $numpy. It needs the instrument, and beside it the takes
(.npz) and the patch (.toml). Other versions, or another kind of processor, may round the last bits differently.
"""

from instrument.kernels.threads import use_one_thread

use_one_thread()  # before numpy is imported: two threads add up in another order, which rounds differently

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from instrument.datasets import FeatureCache, gather, gather_movements, with_inputs_of
from instrument.exchange import import_takes
from instrument.models.movement_model import save_movements
from instrument.models.trained import save_model
from instrument.movement import train_movements
from instrument.patch_file import read_patch
from instrument.takes import TakeStore
from instrument.training import train_output

PLAYED = {
$played}
"""The model each output had when this was written."""

here = Path(__file__).resolve()
models = here.with_name(f"{here.stem}-models")
trained = {}
with TemporaryDirectory() as folder, TakeStore.open(Path(folder) / "takes.sqlite") as store:
    import_takes(store, here.with_suffix(".npz"))
    takes = store.takes(kind="take")  # beside them there may be rehearsals, which show movements what is not meant
    patch = with_inputs_of(read_patch(here.with_suffix(".toml")), takes)
    for name, played in PLAYED.items():
        output = patch.output(name)
        if output.kind == "trigger":
            model = train_movements(patch, output, gather_movements(patch, output, takes, store, FeatureCache()))
            save_movements(model, models / f"{name}.safetensors")
        else:
            dataset = gather(patch, output, takes, store, FeatureCache())  # the features of each frame, and its target
            model = train_output(patch, output, dataset)
            save_model(model, models / f"{name}.safetensors")
        trained[name] = model.model_id
        print(name, model.model_id, "as played" if model.model_id == played else f"differs: {played} was played")

sys.exit(0 if trained == PLAYED else "not as played: takes or patch were changed after the training, or see the top")
''')


def write_script(project: Project, path: Path, *, is_forced: bool = False) -> tuple[Path, ...]:
    """The files written: the script at `path`, and of the same name takes and rehearsals (.npz) and the patch (.toml).

    Raises ScriptError, PatchError, ModelError, TakesError, ExchangeError and OSError.
    """
    if path.suffix != ".py":
        raise ScriptError(f"{path}: allowed: a name that ends in .py")
    takes_file, patch_file = path.with_suffix(".npz"), path.with_suffix(".toml")
    if patch_file.name == "patch.toml":
        raise ScriptError(f"{path}: its patch would be {patch_file}, which is a project's; choose another name")
    there = [str(one) for one in (path, takes_file, patch_file) if one.exists()]
    if there and not is_forced:
        raise ScriptError(f"{', '.join(there)}: there already; choose another name, or --force to overwrite")
    text = project.patch_file.read_text(encoding="utf-8")
    kinds = {one.name: one.kind for one in parse_patch(text, project.patch_file).outputs}
    files = {name: file for name in kinds if (file := project.model_file(name)).exists()}
    played = {name: load_of_kind(kinds[name], file).model_id for name, file in files.items()}
    if not played:
        raise ScriptError(f"{project.folder}: no trained models; play it once, and it trains them")
    with TakeStore.open(project.takes_file, readonly=True) as store, store.snapshot():
        takes, rehearsals = store.takes(kind="take"), store.takes(kind="rehearsal")
        taught = {name for take in takes for name in take.targets}
        if gone := sorted(played.keys() - taught):
            raise ScriptError(
                f"output '{gone[0]}' has a model, but its takes are gone, so nothing can train it again; "
                "`undo` brings them back"
            )
        export_takes(store, takes_file, take_ids=[take.id for take in (*takes, *rehearsals)])
    patch_file.write_text(text, encoding="utf-8")
    script = _SCRIPT.substitute(
        instrument=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        played="".join(f'    "{name}": "{model_id}",\n' for name, model_id in played.items()),
    )
    path.write_text(script, encoding="utf-8")
    return path, takes_file, patch_file
