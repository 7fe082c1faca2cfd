"""A project: a folder with a patch, its takes and its trained models."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Project:
    """The paths of one project; nothing is opened or made by naming them."""

    folder: Path

    @property
    def patch_file(self) -> Path:
        return self.folder / "patch.toml"

    @property
    def takes_file(self) -> Path:
        return self.folder / "takes.sqlite"

    @property
    def models_folder(self) -> Path:
        return self.folder / "models"

    def model_file(self, output: str) -> Path:
        """Where the weights of that output's model are; its JSON stands beside it."""
        return self.models_folder / f"{output}.safetensors"

    def model_before(self, output: str) -> Path:
        """Where the model that output had before its last training is, if it had one."""
        return self.models_folder / f"{output}.before.safetensors"

    def model_map(self, output: str) -> Path:
        """Where the picture of what that output's model sees is, once it has been drawn."""
        return self.models_folder / f"{output}.map.safetensors"
