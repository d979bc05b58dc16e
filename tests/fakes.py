"""An engine that needs no network: two spheres of different size, in as many steps as asked."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_morse.config import BackboneConfig, LabelEntry, ModelCard, Recipe, TrainConfig, TrainingData
from napari_morse.errors import CancelledError
from napari_morse.metrics import doubtful_patches
from napari_morse.types import Grid, Label, Mask, Points, Prediction, Scan
from napari_morse.zoo import ModelInfo

LABELS = (Label(1, "anterior", "#0072b2"), Label(2, "posterior", "#e69f00"))


@dataclass(frozen=True)
class Step:
    stage: str
    done: int
    total: int

    @property
    def fraction(self):
        return self.done / self.total


def make_scan(shape=(20, 24, 16), spacing=(1.0, 1.5, 2.0), stem="case", seed=0):
    """A scan from a file in LPS order, with a bright corner voxel as a marker."""
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = (30.0, 20.0, -10.0)
    data = np.random.default_rng(seed).normal(100, 10, shape).astype(np.float32)
    data[1, 2, 3 % shape[2]] = 500
    return Scan(data, Grid(shape, affine), stem, source=Path(f"{stem}.nii.gz"))


def make_prediction(scan, radius=(4.0, 5.0)):
    """A coarse and a larger rendered ball of two labels; the marker voxel carries label 2."""
    index = np.indices(scan.grid.shape) - (np.array(scan.grid.shape).reshape(3, 1, 1, 1) - 1) / 2
    distance = np.sqrt((index**2).sum(axis=0))
    masks = []
    for r in radius:
        mask = np.zeros(scan.grid.shape, np.uint8)
        mask[distance <= r] = 1
        mask[(distance <= r) & (index[1] > 0)] = 2
        mask[1, 2, 3 % scan.grid.shape[2]] = 2
        masks.append(Mask(mask, scan.grid, LABELS))
    coarse, rendered = masks
    voxel = np.argwhere(np.abs(distance - radius[0]) < 1.2).astype(np.int64)
    n = len(voxel)
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), n).astype(np.float32)
    at = tuple(voxel.T)
    points = Points(
        voxel,
        voxel @ scan.grid.affine[:3, :3].T + scan.grid.affine[:3, 3],
        np.linspace(0, 2, n).astype(np.float32),
        coarse.data[at].astype(np.uint16),
        rendered.data[at].astype(np.uint16),
        weights,
        ("boundary", "native", "wide"),
    )
    doubt = np.exp(-np.abs(distance - radius[1])).astype(np.float32)
    patches = doubtful_patches(rendered.data, doubt / 2, scan.grid)
    return Prediction(coarse, rendered, doubt, points, "fake-3d", "0" * 64, None, {"total": 0.1}, (), patches)


class FakePredictor:
    def __init__(self, engine):
        self.engine = engine
        self.scan = None

    def set_scan(self, scan, roi=None):
        self.scan = scan
        self.engine.rois.append(roi)
        return self.engine.warnings

    def predict(self, progress=None, cancelled=None):
        for step in range(self.engine.steps):
            if cancelled():
                self.engine.cancelled_after = step
                raise CancelledError
            if self.engine.error is not None:
                raise self.engine.error
            progress(Step("coarse", step + 1, self.engine.steps))
            self.engine.pace.wait(self.engine.seconds)
        return make_prediction(self.scan)


class FakeLocal:
    """Gives every boundary the shape of the balls' rendered mask, where it is asked to."""

    def __init__(self, engine, scan):
        self.engine, self.truth = engine, make_prediction(scan).rendered.data
        self.boxes = []

    def warm(self, box, cancelled=None):
        pass

    def sharpen(self, mask, box, strength=1.0, cancelled=None):
        self.boxes.append(box)
        self.engine.sharpening.wait(10)
        return self.truth[box.slices].astype(mask.dtype)


class FakeEngine:
    """Runs ``steps`` tiles of ``seconds`` each; set ``pace`` to let it run through."""

    def __init__(self, steps=3, seconds=0.01, error=None, warnings=(), load_error=None):
        self.steps, self.seconds, self.error, self.warnings = steps, seconds, error, warnings
        self.load_error = load_error
        self.pace = threading.Event()
        self.rois = []
        self.cancelled_after = None
        self.runs = 0
        self.sharpening = threading.Event()
        self.sharpening.set()
        self.local_made = []

    def models(self):
        return [ModelInfo("fake-3d", Path("fake-3d"), make_card("fake-3d"), True)]

    def devices(self):
        return ["auto", "cuda", "cpu"]

    def predictor(self, model, device):
        self.runs += 1
        if self.load_error is not None:
            raise self.load_error
        return FakePredictor(self)

    def local(self, model, device, scan, roi=None):
        self.local_made.append(FakeLocal(self, scan))
        return self.local_made[-1]


def make_card(name):
    return ModelCard(
        name=name,
        summary="Two balls, for tests.",
        recipe=Recipe(name=name, backbone=BackboneConfig(classes=3), train=TrainConfig(rough=0.25)),
        labels=tuple(LabelEntry(id=x.id, name=x.name, color=x.color) for x in LABELS),
        spacing=(1.0, 1.0, 1.0),
        field_of_view=((10.0, 90.0),) * 3,
        data=TrainingData(name="none", cases=0, licence="CC0"),
        metrics={"dice": 0.9},
        created="2026-01-01",
        weights_sha256="0" * 64,
    )
