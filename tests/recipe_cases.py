"""The shipped recipes, made small enough for tests; every other knob is as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from napari_morse.config import Recipe
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase
from napari_morse.training.engine import Engine
from napari_morse.training.recipes import recipe_named
from napari_morse.training.ways import from_labels
from tests.nets import awake, blob

SMALL = (
    "render.points=64", "render.width=16", "render.head_width=12", "render.fourier_features=10",
    "train.batch=2", "train.iterations=4", "train.validate_every=4",
)  # fmt: skip
LEVELS = {
    "reference-2d": ("backbone.filters=[4,6,8,10,12]", "train.window=[32,48]"),
    "reference-3d": ("backbone.filters=[4,6,8,10]", "train.window=[16,24,8]"),
    "2d": ("backbone.filters=[8,12,16]", "train.window=[16,24]"),
    "3d": ("backbone.filters=[8,12,16]", "train.window=[16,24,16]"),
}


def tiny(name: str, *changes: str) -> Recipe:
    """A recipe with few units; ``changes`` come last."""
    levels = LEVELS.get(name) or LEVELS[name[-2:]]
    return recipe_named(name, (*SMALL, *levels, *changes))


def tiny_net(name: str, *changes: str, seed: int = 0) -> Morse:
    """An untrained network with a head that does something, and norms that have seen batches, in evaluation mode."""
    torch.manual_seed(seed)
    net = awake(Morse(tiny(name, *changes)))
    for buffer_name, buffer in net.named_buffers():
        if buffer_name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return net


def case(seed: int, shape: tuple[int, int, int] = (14, 20, 15)) -> TrainingCase:
    """A scan with two labels."""
    image = blob(shape, seed)
    labels = (image > 1).astype(np.uint8)
    labels[: shape[0] // 2] *= 2
    return TrainingCase(f"case{seed}", image, labels, (1.0, 1.0, 1.0), 0.5)


def rate_of(run: Engine, step: int, share: float, part: int = 0) -> float:
    """Learning rate of the backbone (part 0) or the renderer (1)."""
    return run.schedule.rates(step, share * run.schedule.length)[part]


def trainer(recipe: Recipe, folder: Path, seed: int = 0) -> Engine:
    """Two cases to train on, one to judge by."""
    dims = recipe.backbone.spatial_dims
    cases = [case(n) for n in range(3)]
    return from_labels(recipe, cases[:2], cases[2:], (1.0,) * dims, "A" if dims == 2 else None, seed, folder, None, {})
