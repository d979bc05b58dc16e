"""What a new model does otherwise on scans that it was not tuned on: the shipped samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import napari_morse
from napari_morse.errors import CancelledError, MorseError
from napari_morse.inference.predictor import Predictor
from napari_morse.io import open_scan
from napari_morse.metrics import dice
from napari_morse.types import Scan
from napari_morse.zoo import LoadedModel

SAMPLES = Path(napari_morse.__file__).parent / "sample_data"
SCANS = ("colin27_left_hippocampus.nii.gz", "colin27_right_hippocampus.nii.gz")


def sample_changes(base: LoadedModel, new: LoadedModel, stop: Callable[[], bool] = lambda: False) -> dict[str, float]:
    """Dice between the rendered masks (all structures together) of two models, by sample scan.

    Empty for models that do not read one image a case, and of samples that either cannot read.
    """
    found = {}
    if len(base.card.channels) == 1 == len(new.card.channels):
        for name in SCANS:
            if stop():
                raise CancelledError
            try:
                scan = open_scan(SAMPLES / name)
                masks = [_mask(model, scan) for model in (base, new)]
            except MorseError:
                continue
            same = dice(*masks)
            found[name.split(".")[0]] = round(1.0 if same is None else same, 4)
    return found


def _mask(model: LoadedModel, scan: Scan) -> np.ndarray:
    predictor = Predictor(model)
    predictor.set_scan(scan)
    mask: np.ndarray = predictor.predict().rendered.data > 0
    return mask
