"""A rough stroke in, a sharp edge out: the model that does it for one scan, loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING

from napari_morse.errors import InputError
from napari_morse.session.run.engine import InferenceEngine, LocalLike
from napari_morse.types import Array, Roi, Scan

if TYPE_CHECKING:
    from napari_morse.zoo import ModelInfo


@dataclass(eq=False)
class Sharpening:
    """One model on one scan; any thread may call.

    Parameters
    ----------
    engine
        Runs the model.
    scan
        What is corrected; ``others`` are the scans that are the model's further channels.
    model, device
        As for a run.
    roi
        The region that the model read, or None.
    """

    engine: InferenceEngine
    scan: Scan
    model: str
    device: str = "auto"
    roi: Roi | None = None
    others: tuple[Scan, ...] = ()
    _local: LocalLike | None = None
    _lock: Lock = field(default_factory=Lock)

    @property
    def blocked(self) -> str:
        """Why strokes cannot be sharpened, as a sentence with the way out; empty when they can."""
        found = _model(self.engine, self.model)
        if found is None:
            return f"The model “{self.model}” that ran here is not on this machine: run another one."
        if not found.card.recipe.train.rough:
            return f"“{self.model}” was not trained on rough masks: choose a model that was, and run it."
        if len(found.card.channels) > 1 + len(self.others):
            return f"“{self.model}” reads several channels: choose them in the Segment tab, and run it here."
        return ""

    def warm(self, box: Roi, cancelled: Callable[[], bool] | None = None) -> None:
        """Load the model, and read what a box needs; slow."""
        self._renderer().warm(box, cancelled)

    def sharpen(
        self, mask: Array, box: Roi, strength: float = 1.0, cancelled: Callable[[], bool] | None = None
    ) -> Array:
        """The labels of a box with its boundary rendered again from the mask; as `inference.LocalRenderer.sharpen`.

        Raises
        ------
        InputError
            See `blocked`.
        """
        return self._renderer().sharpen(mask, box, strength, cancelled)

    def _renderer(self) -> LocalLike:
        with self._lock:
            if self._local is None:
                if self.blocked:
                    raise InputError(self.blocked)
                scan = replace(self.scan, others=tuple(x.data for x in self.others)) if self.others else self.scan
                self._local = self.engine.local(self.model, self.device, scan, self.roi)
            return self._local


def _model(engine: InferenceEngine, name: str) -> ModelInfo | None:
    return next((info for info in engine.models() if info.name == name), None)
