"""The ways to train, side by side: what each asks of the engine. None has a loop, a sampler or a checkpoint of its own.

| | a new network (`train`, a new model of a round) | a round that tunes a model, leaving cases out included |
|---|---|---|
| begins with | drawn weights, or another model's backbone | the base model |
| every voxel | counts alike | by what a person did to it |
| makes small | the error, of the renderer in the second stage | the error, and the way from the base model |
| length | steps or minutes | steps, worked out from minutes before |
| ends with | the best look | the best look, as far from the base as the held-out cases ask for (`selection`) |
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from napari_morse.config import Recipe
from napari_morse.errors import InputError
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase
from napari_morse.training.engine import Engine, Judge, training_device
from napari_morse.training.examples import Example, whole
from napari_morse.training.map_cache import MapsCache
from napari_morse.training.objective import FromCorrections, FromLabels
from napari_morse.training.sampling import ROUND_STREAMS, Sampler
from napari_morse.training.settings import Schedule, TuneSettings
from napari_morse.training.validation import judge
from napari_morse.zoo import LoadedModel


def from_labels(
    recipe: Recipe, train: Sequence[TrainingCase], val: Sequence[TrainingCase], spacing: tuple[float, ...],
    slice_axis: str | None, seed: int, folder: Path, minutes: float | None, settings: Mapping[str, Any],
    start: LoadedModel | None = None,
) -> Engine:  # fmt: skip
    """A new network.

    Parameters
    ----------
    recipe
        Architecture, budget and schedule.
    train
        Cases at ``spacing``.
    val
        Cases that choose the moment, on their own grids.
    spacing
        mm of the model's axes.
    slice_axis
        For 2-D models, the patient axis across slices.
    seed
        Of initialisation, samples, points and silenced experts.
    folder
        Where the state of the run is kept.
    minutes
        Wall-clock budget in the place of the recipe's iterations.
    settings
        Whatever else must be the same when the run is resumed.
    start
        A model whose backbone the network begins with.

    Raises
    ------
    InputError
        ``start`` tells other classes apart.
    """
    torch.manual_seed(seed)
    # Seeded just before: the first weights are drawn here, the renderer's also where a backbone is given.
    net = Morse(recipe)
    if start is not None:
        begin_with(net, start)
    sampler = Sampler([whole(case) for case in train], recipe, slice_axis, seed, recipe.train.batch)
    looks: Judge | None = (lambda _, average: judge(average, list(val), spacing, slice_axis)) if val else None
    known = {"recipe": recipe.model_dump(mode="json"), "seed": seed, "minutes": minutes, **settings}
    schedule = Schedule.of_recipe(recipe.train, minutes)
    return Engine(net, FromLabels(recipe), sampler, schedule, seed, folder, known, looks)


def begin_with(net: Morse, start: LoadedModel) -> None:
    """Give a network the backbone of a model.

    Raises
    ------
    InputError
        When the model has other classes.
    """
    try:
        net.backbone.load_state_dict(start.net.backbone.state_dict())
    except RuntimeError as error:
        raise InputError(
            f"The backbone of {start.card.name!r} tells other structures apart than these labels.",
            "Start from a model that has as many labels.",
        ) from error


def from_corrections(
    base: Morse, examples: Sequence[Example], slice_axis: str | None, settings: TuneSettings, folder: Path,
    about: Mapping[str, object] | None = None, looks: Judge | None = None,
) -> Engine:  # fmt: skip
    """A copy of a network, tuned; the network that is given stays as it is.

    Parameters
    ----------
    base
        The model's network.
    examples
        What it learns from, at the model's spacing.
    slice_axis
        For 2-D models, the patient axis across slices.
    settings
        With ``steps`` above 0.
    folder
        Where checkpoints lie.
    about
        What else must be the same for a run to be resumed: digests of the model and the cases.
    looks
        At held-out cases.
    """
    sampler = Sampler(
        examples,
        base.recipe,
        slice_axis,
        settings.seed,
        settings.batch,
        settings.replay,
        pictures=0.0,
        streams=ROUND_STREAMS,
    )
    still = copy.deepcopy(base).to(training_device()).eval().requires_grad_(False)
    source = MapsCache(still, sampler) if settings.what == "head" else sampler
    known = {"settings": settings.model_dump(mode="json"), **(about or {})}
    objective = FromCorrections(still, settings)
    return Engine(base, objective, source, Schedule.of_round(settings), settings.seed, folder, known, looks)
