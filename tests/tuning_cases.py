"""A small model that was trained on nothing, and cases on disk to tune it on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_morse.config import LabelEntry, TrainingData
from napari_morse.io import save_image, save_mask
from napari_morse.io.weights import save_model
from napari_morse.training.cases import TrainingCase
from napari_morse.training.examples import Example
from napari_morse.training.finetuning.plan import Plan
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import Source
from napari_morse.types import Grid, Mask
from tests.nets import awake, blob, small_net

SHAPE = (14, 20, 15)


def labels_of(image: np.ndarray) -> np.ndarray:
    labels = (image > 1).astype(np.uint8)
    labels[: image.shape[0] // 2] *= 2
    return labels


def example(seed: int, replay: bool = False) -> Example:
    image = blob(SHAPE, seed)
    case = TrainingCase(f"case{seed}", image, labels_of(image), (1.0, 1.0, 1.0), 0.5)
    return Example(case, np.zeros(SHAPE, np.uint8), replay)


def save_small_model(folder: Path, dims: int = 3, seed: int = 0) -> Path:
    net = awake(small_net(dims, seed), seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "name": folder.name,
        "recipe": net.recipe,
        "labels": (LabelEntry(id=1, name="a", color="#0072b2"), LabelEntry(id=2, name="b", color="#e69f00")),
        "spacing": (1.0,) * dims,
        "slice_axis": "A" if dims == 2 else None,
        "data": TrainingData(name="none", cases=0, licence="CC0-1.0"),
    }
    save_model(folder, fields, net.tensors())
    return folder


def save_case(folder: Path, seed: int, patient: str = "") -> Source:
    image = blob(SHAPE, seed)
    grid = Grid(SHAPE, np.diag([1.0, 1.0, 1.0, 1.0]))
    for place in ("images", "labels"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    scan = save_image(image, grid, folder / "images" / f"case{seed}.nii.gz")
    labels = save_mask(Mask(labels_of(image), grid, ()), folder / "labels" / f"case{seed}.nii.gz")
    return Source(name=f"case{seed}", scan=scan, labels=labels, patient=patient)


def plan_of(folder: Path, train: int = 3, held: int = 2, **settings: object) -> Plan:
    model = save_small_model(folder / "base")
    sources = [save_case(folder, n) for n in range(train + held)]
    told = TuneSettings.model_validate({"steps": 4, "what": "all", **settings})
    return Plan(
        model=str(model), name="tuned", by="AB", train=tuple(sources[:train]), held_out=tuple(sources[train:]),
        settings=told,
    )  # fmt: skip
