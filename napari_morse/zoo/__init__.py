"""Models by name: the shipped ones and the user's own.

Listing reads cards only and loads no torch; `load` loads it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from napari_morse.config import ModelCard
from napari_morse.errors import WeightsError
from napari_morse.io import cards

if TYPE_CHECKING:
    from napari_morse.model.morse import Morse

__all__ = ["BrokenModel", "LoadedModel", "ModelInfo", "available", "broken", "find", "library", "load"]

LIBRARY_VARIABLE = "NAPARI_MORSE_MODELS"
"""Environment variable that moves the user's library."""
SHIPPED = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be loaded."""

    name: str
    """Name of its folder; unique in a listing."""
    folder: Path
    card: ModelCard
    shipped: bool
    """False for the user's own."""

    @property
    def size(self) -> int:
        """Bytes of the weights, 0 when they are missing."""
        path = self.folder / cards.WEIGHTS
        return path.stat().st_size if path.is_file() else 0

    @property
    def dims(self) -> int:
        """2 or 3."""
        return self.card.recipe.backbone.spatial_dims


@dataclass(frozen=True)
class BrokenModel:
    """A folder in the library that cannot be used, and why."""

    name: str
    folder: Path
    shipped: bool
    problem: str
    """One plain sentence and a way out."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model with its network, in evaluation mode on the CPU."""

    info: ModelInfo
    net: Morse
    digest: str
    """sha256 of the card, which pins the weights."""

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        return self.info.card


def library() -> Path:
    """Folder of the user's own models; it need not exist."""
    chosen = os.environ.get(LIBRARY_VARIABLE, "").strip()
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("napari-morse", appauthor=False)) / "models"


def available() -> list[ModelInfo]:
    """Usable models, the shipped ones first, by name. Weights are neither read nor checked here."""
    return [model for model in _listed() if isinstance(model, ModelInfo)]


def broken() -> list[BrokenModel]:
    """Folders among the models that cannot be used."""
    return [model for model in _listed() if isinstance(model, BrokenModel)]


def find(name_or_dir: str | Path) -> ModelInfo:
    """A model by its name (case matters) or by the path of its folder.

    A name wins over a folder of that name in the working directory; ``./name`` means the folder.

    Raises
    ------
    WeightsError
        There is no such model (the message lists those there are), or it cannot be used.
    """
    wanted = os.fspath(name_or_dir)
    for model in _listed():
        if model.name != wanted:
            continue
        if isinstance(model, BrokenModel):
            raise WeightsError(model.problem)
        return model
    # Names first: a folder that happens to stand in the working directory must not change what a script means.
    path = Path(wanted).expanduser()
    if not path.exists():
        names = ", ".join(model.name for model in available()) or "none"
        raise WeightsError(
            f"There is no model “{wanted}”.", f"Known models: {names}. Or give the path of a model folder."
        )
    return _info(path, path.resolve().name, shipped=path.resolve().parent == SHIPPED)


def load(name_or_dir: str | Path | ModelInfo) -> LoadedModel:
    """A model ready to predict, on the CPU.

    Raises
    ------
    WeightsError
        As `find`; or the weights are damaged, tampered with, or of another architecture.
    """
    from napari_morse.io import weights
    from napari_morse.model.morse import Morse

    info = name_or_dir if isinstance(name_or_dir, ModelInfo) else find(name_or_dir)
    card, tensors = weights.load_model(info.folder)
    net = weights.fill(lambda: Morse(card.recipe), tensors, info.name)
    return LoadedModel(ModelInfo(info.name, info.folder, card, info.shipped), net, cards.model_digest(info.folder))


def _listed() -> list[ModelInfo | BrokenModel]:
    """Everything in both places; a user's folder under a shipped name is unusable: the name would mean two models."""
    shipped = [_look(folder, shipped=True) for folder in _folders(SHIPPED)]
    taken = {model.name for model in shipped}
    models = list(shipped)
    for folder in _folders(library()):
        if folder.name in taken:
            problem = f"A model named “{folder.name}” ships with napari-morse. Rename your folder {folder}."
            models.append(BrokenModel(folder.name, folder, False, problem))
        else:
            models.append(_look(folder, shipped=False))
    return models


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _look(folder: Path, shipped: bool) -> ModelInfo | BrokenModel:
    try:
        return _info(folder, folder.name, shipped)
    except WeightsError as error:
        return BrokenModel(folder.name, folder, shipped, str(error))


def _info(folder: Path, name: str, shipped: bool) -> ModelInfo:
    return ModelInfo(name, folder, cards.read_card(folder), shipped)
