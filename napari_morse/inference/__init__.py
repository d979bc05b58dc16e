"""Scan in; coarse mask, rendered mask and points out."""

from __future__ import annotations

from napari_morse.inference.devices import available_devices, resolve_device
from napari_morse.inference.export import save_prediction
from napari_morse.inference.predictor import Predictor
from napari_morse.inference.progress import Progress
from napari_morse.inference.written_files import save_safely

__all__ = ["Predictor", "Progress", "available_devices", "resolve_device", "save_prediction", "save_safely"]
