"""A rough stroke in, a sharp edge out: after each stroke the boundary in its box is rendered again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_morse.session.case import Sharpening
from napari_morse.types import Roi
from napari_morse.widgets.base import JobRunner
from napari_morse.widgets.correct.stroke_queue import NoQueue, Settings, StrokeQueue

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase, CorrectedLayer

NO_MODEL = "Strokes are sharpened by the model that ran on the scan: run one in the Segment tab first."


class Sharpener(QObject):
    """Follows the strokes of the mask under work.

    Parameters
    ----------
    active_case
        What is under work.
    parent
        Owner.
    """

    changed = Signal()
    """Switched on or off, another strength, or `blocked` says something else."""
    said = Signal(str)
    """What the last stroke became."""

    def __init__(self, active_case: ActiveCase, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._active_case = active_case
        self.runner = JobRunner("morse-sharpen", self)
        self._settings = Settings(self.said.emit)
        self._sharpening: Sharpening | None = None
        self._made_for: tuple[Any, ...] = ()
        self._queue: StrokeQueue | NoQueue = NoQueue()
        active_case.changed.connect(self._on_case)
        self._on_case()

    @property
    def enabled(self) -> bool:
        """Whether strokes are sharpened, where they can be."""
        return self._settings.enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled != self._settings.enabled:
            self._settings.enabled = enabled
            if not enabled:
                self.cancel()
            self.changed.emit()

    @property
    def strength(self) -> float:
        """0 to 1: how far boundaries go from the stroke to what the model sees."""
        return self._settings.strength

    @strength.setter
    def strength(self, strength: float) -> None:
        self._settings.strength = min(1.0, max(0.0, strength))
        self.changed.emit()

    @property
    def blocked(self) -> str:
        """Why strokes cannot be sharpened; empty when they can."""
        return NO_MODEL if self._sharpening is None else self._sharpening.blocked

    @property
    def busy(self) -> bool:
        """Whether a stroke waits to be sharpened, or is being."""
        return self._queue.waiting or self.runner.busy

    def warm(self, box: Roi) -> None:
        """Read what a box needs, when nothing else is to be done."""
        self._queue.warm(box)

    def rerender(self, box: Roi, done: Callable[[str], None]) -> None:
        """Render the boundary in a box again, as an act of its own; ``done`` is told in a sentence."""
        if self.blocked or not self._queue.open:
            done(self.blocked or self._active_case.blocked)
        else:
            self._queue.rerender(box, done)

    def cancel(self) -> None:
        """What was painted stays as it was painted."""
        self._queue.cancel()

    def _on_case(self) -> None:
        corrected, before = self._active_case.corrected, self._sharpening
        self._sharpening = self._sharpening_now()
        another = self._sharpening is not before
        if another or corrected is not self._queue.corrected:
            self._queue_for(corrected)
        if another:
            self.changed.emit()

    def _sharpening_now(self) -> Sharpening | None:
        """By the model of the result in view; the one before, where that is the same."""
        scan, prediction = self._active_case.scan, self._active_case.prediction
        if scan is None or prediction is None:
            self._made_for = ()
            return None
        session = self._active_case.session
        made_for = (scan, prediction.digest, session.device)
        if made_for == self._made_for:
            return self._sharpening
        self._made_for = made_for
        others = session.others_of(scan)
        return Sharpening(session.engine, scan, prediction.model, session.device, prediction.roi, others)

    def _queue_for(self, corrected: CorrectedLayer | None) -> None:
        self._queue.end()
        if corrected is None or self._sharpening is None:
            self._queue = NoQueue()
        else:
            self._queue = StrokeQueue(self._active_case, corrected, self._sharpening, self._settings, self.runner)
            self._queue.warm_here()

    def close_down(self) -> None:
        """Cancel, and let go."""
        self._queue_for(None)
        self._active_case.changed.disconnect(self._on_case)
