"""A training run from folders to a model folder, whoever asks: the command line or a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_morse.config import Intensity, ModelCard, Recipe
from napari_morse.errors import InputError, WeightsError
from napari_morse.geometry.orientation import AXES
from napari_morse.io.weights import save_model
from napari_morse.model.morse import Morse
from napari_morse.training.card import Purpose, card_fields, parse_labels
from napari_morse.training.cases import (
    TrainingCase,
    files_digest,
    label_ids,
    load_case,
    pair_files,
    split_cases,
)
from napari_morse.training.checkpoint import clear_checkpoint, has_checkpoint
from napari_morse.training.engine import Engine
from napari_morse.training.recipes import on_backbone
from napari_morse.training.sampling import mirrored
from napari_morse.training.validation import at_spacing
from napari_morse.training.ways import from_labels
from napari_morse.zoo import LoadedModel


@dataclass
class TrainingRun:
    """What is trained on what.

    Parameters
    ----------
    pairs
        Folders of scans and of labels.
    splits
        JSON with ``train`` and ``val``, or None.
    recipe, seed, minutes, slice_axis
        As `from_labels` takes them.
    spacing
        mm of the model's axes, or None for the median of the training cases.
    names
        ``1=name,2=name`` or None.
    purpose
        For the card.
    state
        Folder in which the run keeps itself, for resuming.
    start
        A model whose backbone this run begins with, or None.
    say
        Told in a sentence what was found of the cases.
    """

    pairs: tuple[Path, Path]
    splits: Path | None
    recipe: Recipe
    seed: int
    minutes: float | None
    spacing: tuple[float, ...] | None
    slice_axis: str | None
    names: str | None
    purpose: Purpose
    state: Path
    start: LoadedModel | None = None
    say: Callable[[str], None] = lambda _: None
    train: list[TrainingCase] = field(default_factory=list, init=False)
    val: list[TrainingCase] = field(default_factory=list, init=False)

    def engine(self, resume: bool) -> Engine:
        """Read the cases and make the engine, at its beginning or where it stood.

        Raises
        ------
        InputError, GeometryError
            When cases cannot be used.
        WeightsError
            When there is nothing to resume, or with other settings or cases than it was begun with; when there is an
            unfinished run and it is not to be resumed.
        """
        if not resume and has_checkpoint(self.state):
            raise WeightsError(
                f"{self.state} holds a run that was not finished.", "Add --resume, or delete that folder to begin anew."
            )
        if self.start is not None:
            self.recipe = on_backbone(self.recipe, self.start.card.recipe)
        channels = self.recipe.backbone.in_channels
        self.purpose.check_channels(channels)
        split = split_cases(pair_files(*self.pairs, channels), self.splits, self.seed, channels, self.say)
        # Of the training cases alone: a label that only judges would be a class that nothing teaches.
        ids = label_ids(split.train)
        self.labels = parse_labels(self.names, ids)
        self.train, self.val = (
            [load_case(*pair, ids, Intensity(), channels) for pair in part] for part in (split.train, split.val)
        )
        self.digest = files_digest(split.train, channels)
        self._keep_to_start(ids)
        backbone = self.recipe.backbone.model_copy(update={"classes": len(ids) + 1})
        train = self.recipe.train.model_copy(update={"mirror": mirrored(self.recipe, self.slice_axis)})
        self.recipe = self.recipe.model_copy(update={"backbone": backbone, "train": train})
        self.spacing = self.spacing or self._median_spacing()
        settings = {
            "data": [self.digest, files_digest(split.val, channels)],
            "spacing": list(self.spacing),
            "slice_axis": self.slice_axis,
            "start": None if self.start is None else self.start.digest,
        }
        engine = from_labels(
            self.recipe, self._at_spacing(self.train), self.val, self.spacing, self.slice_axis,
            self.seed, self.state, self.minutes, settings, self.start,
        )  # fmt: skip
        if resume:
            engine.resume()
        return engine

    def _keep_to_start(self, ids: tuple[int, ...]) -> None:
        """A frozen backbone goes on reading what it was trained on: its spacing, its slices, its labels."""
        if self.start is None or not self.recipe.train.frozen:
            return
        card = self.start.card
        known = tuple(entry.id for entry in card.labels)
        if ids != known:
            raise InputError(
                f"The labels are {', '.join(map(str, ids))}; the frozen backbone of {card.name!r} tells "
                f"{', '.join(map(str, known))} apart.",
                "Give the same labels, or train without train.frozen.",
            )
        self.spacing, self.slice_axis = card.spacing, card.slice_axis

    def _kept(self) -> list[int]:
        return [a for a in range(3) if self.slice_axis is None or a != AXES[self.slice_axis]]

    def _median_spacing(self) -> tuple[float, ...]:
        middle = np.median([c.spacing for c in self.train], axis=0)
        return tuple(round(float(middle[a]), 3) for a in self._kept())

    def _at_spacing(self, cases: list[TrainingCase]) -> list[TrainingCase]:
        """Training cases on the working grid; validation cases stay on their own, as users' scans do."""
        return [at_spacing(case, self.spacing or (), self.slice_axis) for case in cases]

    def finish(self, net: Morse, out: Path) -> ModelCard:
        """Judge, calibrate and write the model; the run's state goes when the model stands."""
        fields = card_fields(
            self.purpose, self.recipe, net, self.labels, self.spacing or (), self.slice_axis,
            self.train, self.val, self.digest,
        )  # fmt: skip
        if self.start is not None:
            fields["lineage"] = (*self.start.card.lineage, self.start.digest)
        out.parent.mkdir(parents=True, exist_ok=True)
        # The model first: a crash before it stands leaves a run that can be resumed.
        card = save_model(out, fields, net.tensors())
        clear_checkpoint(self.state)
        return card
