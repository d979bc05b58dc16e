"""What runs a model: the one place where the session meets torch, and only when it is asked to run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from napari_morse.session.run.warm import load_torch
from napari_morse.types import Array, Prediction, Roi, Scan

if TYPE_CHECKING:
    from napari_morse.zoo import LoadedModel, ModelInfo

KEPT = 2
"""Loaded models kept in memory: switching to and fro costs nothing, a long session stays small."""


class PredictorLike(Protocol):
    """Set a scan, then predict."""

    def set_scan(self, scan: Scan, roi: Roi | None = None) -> tuple[str, ...]:
        """Prepare a scan; plain sentences on how it differs from what the model was trained on."""

    def predict(
        self, progress: Callable[[Any], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Prediction:
        """Both masks and the points; raises `CancelledError` within one tile."""


class LocalLike(Protocol):
    """Renders the boundary of a mask again, in boxes of one scan; see `inference.LocalRenderer`."""

    def warm(self, box: Roi, cancelled: Callable[[], bool] | None = None) -> None:
        """Read what a box needs."""

    def sharpen(
        self, mask: Array, box: Roi, strength: float = 1.0, cancelled: Callable[[], bool] | None = None
    ) -> Array:
        """The labels of the box, its boundary rendered again."""


class InferenceEngine(Protocol):
    """Models, devices and predictors; `LocalEngine` runs on this machine."""

    def models(self) -> Sequence[ModelInfo]:
        """The models that can be chosen; quick, does not load torch."""

    def devices(self) -> Sequence[str]:
        """Devices of this machine; may load torch, so not for the thread of a window."""

    def predictor(self, model: str, device: str) -> PredictorLike:
        """A predictor for the model of that name; slow the first time, from any thread."""

    def local(self, model: str, device: str, scan: Scan, roi: Roi | None = None) -> LocalLike:
        """What renders boundaries of that scan again; slow, from any thread."""


class LocalEngine:
    """The engine of this machine: shipped and own models, loaded once each."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[str, str], LoadedModel] = OrderedDict()
        self._lock = Lock()

    def models(self) -> Sequence[ModelInfo]:
        """The shipped models and the user's own."""
        from napari_morse import zoo

        return zoo.available()

    def devices(self) -> Sequence[str]:
        """``auto`` first, then what torch finds."""
        load_torch()
        from napari_morse.inference import available_devices

        return available_devices()

    def predictor(self, model: str, device: str) -> PredictorLike:
        """A fresh predictor over a model that is loaded, and checked against its digest, once."""
        load_torch()
        from napari_morse.inference import Predictor

        return Predictor(self._load(model, device), device=device)

    def local(self, model: str, device: str, scan: Scan, roi: Roi | None = None) -> LocalLike:
        """What renders boundaries of that scan again, with a model that is loaded once."""
        load_torch()
        from napari_morse.inference import Predictor
        from napari_morse.inference.local import LocalRenderer

        predictor = Predictor(self._load(model, device), device=device)
        predictor.set_scan(scan, roi)
        return LocalRenderer(predictor)

    def _load(self, model: str, device: str) -> LoadedModel:
        """Of its own for each device: a predictor moves the network, under whoever else runs it."""
        from napari_morse import zoo
        from napari_morse.io.cards import model_digest

        # By card and weights: a tuned model may have those of its base, and read scans in another way.
        key = model_digest(zoo.find(model).folder), device
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = zoo.load(model)
            self._loaded.move_to_end(key)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[key]
