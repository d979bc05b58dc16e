"""A rough stroke in, a sharp edge out: after each stroke the boundary in its box is rendered again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError
from napari_morse.session.case import Sharpening
from napari_morse.session.edits import JOINED, Corrections, Edit, Renumbering
from napari_morse.types import Array, Roi
from napari_morse.widgets.base import JobRunner, Work, shortcuts
from napari_morse.widgets.bridge import display_axes
from napari_morse.widgets.case import UNCHANGED

if TYPE_CHECKING:
    from napari_morse.widgets.case import CorrectedLayer, Desk

STROKE, ALONE = f"{JOINED}sharpen", "sharpen"
"""Kind of the edit that belongs to the stroke before it; of one that leaves nothing of it, taken back by itself."""
TAKEN_BACK = 0.5
"""Share of a stroke above which it is said that the model took it back."""
BOX_MARGIN = 48
"""Voxels around a box that are read with it; the renderer looks at no more."""
WAIT_MS = 20
"""Milliseconds between two looks whether a stroke in progress has ended."""
HERE = 12
"""Voxels to each side of the present place that are read ahead."""
NO_MODEL = "Strokes are sharpened by the model that ran on the scan: run one in the Segment tab first."
TOO_LATE = "The boundary stays as it was painted: so much was done since that nothing can be put before it."


@dataclass(frozen=True, eq=False)
class _Order:
    """What to render: a box, after which state of the mask, and what for."""

    box: Roi
    state: int
    kind: str
    done: Callable[[str], None] | None = None


@dataclass(frozen=True, eq=False)
class _Sharp:
    order: _Order
    values: Array
    seconds: float


class Sharpener(QObject):
    """Follows the strokes of the mask under work.

    Parameters
    ----------
    desk
        What is under work.
    parent
        Owner.
    """

    changed = Signal()
    """Switched on or off, another strength, or `blocked` says something else."""
    said = Signal(str)
    """What the last stroke became."""

    def __init__(self, desk: Desk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self.runner = JobRunner("morse-sharpen", self)
        self._enabled, self._strength = True, 1.0
        self._sharpening: Sharpening | None = None
        self._loaded_for: tuple[Any, ...] = ()
        self._corrected: CorrectedLayer | None = None
        self._orders: deque[_Order] = deque()
        self._warm: Roi | None = None
        self._under_way: _Order | None = None
        self._ready: _Sharp | None = None
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.timeout.connect(self._put_in)
        self.runner.succeeded.connect(self._on_done)
        self.runner.failed.connect(self._on_failed)
        desk.changed.connect(self._on_desk)
        desk.moved.connect(self._on_moved)
        self._on_desk()

    @property
    def enabled(self) -> bool:
        """Whether strokes are sharpened, where they can be."""
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled != self._enabled:
            self._enabled = enabled
            if not enabled:
                self.cancel()
            self.changed.emit()

    @property
    def strength(self) -> float:
        """0 to 1: how far boundaries go from the stroke to what the model sees."""
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        self._strength = min(1.0, max(0.0, strength))
        self.changed.emit()

    @property
    def blocked(self) -> str:
        """Why strokes cannot be sharpened; empty when they can."""
        return NO_MODEL if self._sharpening is None else self._sharpening.blocked

    @property
    def busy(self) -> bool:
        """Whether a stroke waits to be sharpened, or is being."""
        return bool(self._orders) or self._ready is not None or self.runner.busy

    def warm(self, box: Roi) -> None:
        """Read what a box needs, when nothing else is to be done."""
        if not self.blocked and self._corrected is not None:
            self._warm = box
            self._next()

    def warm_here(self) -> None:
        """Read what the present place needs."""
        scan, layer = self._desk.scan, self._desk.scan_layer
        if scan is None or layer is None:
            return
        cursor = np.rint(layer.world_to_data(self._desk.viewer.dims.point[-layer.ndim :])).astype(int)
        shape = scan.grid.shape
        axes = display_axes(scan)
        voxel = axes.index_to_storage(np.atleast_2d(cursor))[0] if len(cursor) == 3 else np.array(shape) // 2
        low = np.clip(voxel, 0, np.array(shape) - 1)
        self.warm(Roi(tuple(map(int, low)), tuple(map(int, low + 1))).grown(HERE, shape))  # type: ignore[arg-type]

    def rerender(self, box: Roi, done: Callable[[str], None]) -> None:
        """Render the boundary in a box again, as an act of its own; ``done`` is told in a sentence."""
        corrected = self._corrected
        if corrected is None or self.blocked:
            done(self.blocked or self._desk.blocked)
            return
        corrected.compare()
        self._orders.append(_Order(box, corrected.corrections.state, "re-render", done))
        self._next()

    def cancel(self) -> None:
        """What was painted stays as it was painted."""
        self._orders.clear()
        self._under_way = self._ready = None
        self._retry.stop()
        self.runner.cancel()

    def _on_desk(self) -> None:
        desk = self._desk
        corrected, prediction, scan = desk.corrected, desk.prediction, desk.scan
        if corrected is not self._corrected:
            self._follow(corrected)
        key = (scan, None if prediction is None else prediction.digest, desk.session.device)
        if self._loaded_for and key[0] is self._loaded_for[0] and key[1:] == self._loaded_for[1:]:
            return
        self._loaded_for = key
        self.cancel()
        self._sharpening = None
        if prediction is not None and scan is not None:
            others = desk.session.others_of(scan)
            engine, device = desk.session.engine, desk.session.device
            self._sharpening = Sharpening(engine, scan, prediction.model, device, prediction.roi, others)
            if corrected is not None:
                self.warm_here()
        self.changed.emit()

    def _follow(self, corrected: CorrectedLayer | None) -> None:
        self.cancel()
        before, self._corrected = self._corrected, corrected
        if before is not None:
            before.stroked.disconnect(self._on_stroke)
            before.stepped.disconnect(self.cancel)
        if corrected is not None:
            corrected.stroked.connect(self._on_stroke)
            corrected.stepped.connect(self.cancel)
            self.warm_here()

    def _on_stroke(self, act: Edit) -> None:
        corrected = self._corrected
        if corrected is None or not self._enabled or self._strength == 0 or self.blocked:
            return
        self._orders.append(_Order(act.box, corrected.corrections.state, STROKE))
        self._next()

    def _on_moved(self, moved: Renumbering) -> None:
        self._orders = deque(replace(order, state=moved.begun(order.state)) for order in self._orders)

    def _next(self) -> None:
        corrected, sharpening = self._corrected, self._sharpening
        if self.runner.busy or self._ready is not None or corrected is None or sharpening is None:
            return
        while self._orders and not corrected.corrections.reaches(self._orders[0].state):
            order = self._orders.popleft()
            (order.done or self.said.emit)(TOO_LATE)
        if self._orders:
            order = self._under_way = self._orders.popleft()
            self.runner.start(_rendering(sharpening, order, _part(corrected.corrections, order), self._strength))
        elif self._warm is not None:
            box, self._warm = self._warm, None
            self.runner.start(_warming(sharpening, box))

    def _on_done(self, sharp: _Sharp | None) -> None:
        # One that was done as it was cancelled is of another scan by now, or was taken back.
        self._ready = sharp if sharp is not None and sharp.order is self._under_way else None
        self._put_in()

    def _put_in(self) -> None:
        """Never under a stroke in progress: it would be drawn over."""
        sharp, corrected = self._ready, self._corrected
        if sharp is not None and corrected is not None:
            if corrected.drawing:
                self._retry.start(WAIT_MS)
                return
            self._ready = None
            self._take(sharp, corrected)
        self._next()

    def _take(self, sharp: _Sharp, corrected: CorrectedLayer) -> None:
        order = sharp.order
        corrected.compare()
        corrections = corrected.corrections
        before = np.array(corrections.mask[order.box.slices])
        drawn, back = _given_back(corrections, sharp)
        last = order.state == corrections.state
        kind = ALONE if last and len(drawn) and back.all() else order.kind
        text = self._desk.apply(order.box, sharp.values, kind, order.state)
        after = corrections.mask[order.box.slices]
        back &= after[tuple(drawn.T)] == sharp.values[tuple(drawn.T)]  # what is protected, or drawn since, is not
        count = int(np.count_nonzero(before != after))
        if len(drawn) and back.mean() > TAKEN_BACK:
            text = f"{_taken(int(back.sum()), len(drawn), last)} {text}"
        elif count:
            text = f"{count} voxels of the edge moved, {1000 * sharp.seconds:.0f} ms. {text}"
        elif len(drawn) and text == UNCHANGED:
            text = "The edge stays as you drew it."
        (order.done or self.said.emit)(text.strip())

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            self.said.emit(f"The stroke was not sharpened: {error}")
        self._next()

    def close_down(self) -> None:
        """Cancel, and let go."""
        self.cancel()
        self._warm = None
        self._desk.changed.disconnect(self._on_desk)
        self._desk.moved.disconnect(self._on_moved)
        self._follow(None)


def _part(corrections: Corrections, order: _Order) -> Array:
    """What an order sees: the mask around its box without what came later, the other pages of the array untouched."""
    mask = corrections.mask
    around = order.box.grown(BOX_MARGIN, mask.shape)
    part = np.zeros(mask.shape, mask.dtype)
    part[around.slices] = corrections.at(order.state, around)
    return part


def _given_back(corrections: Corrections, sharp: _Sharp) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(n, 3) the voxels of its box that a stroke changed, and which of them its edge makes what they were before."""
    order = sharp.order
    if order.kind != STROKE or not corrections.reaches(order.state):
        return np.zeros((0, 3), np.int64), np.zeros(0, np.bool_)
    before, drawn = (corrections.at(x, order.box) for x in (corrections.before(order.state), order.state))
    changed = np.argwhere(before != drawn)
    return changed, sharp.values[tuple(changed.T)] == before[tuple(changed.T)]


def _taken(back: int, drawn: int, last: bool) -> str:
    """That the model took a stroke back, and the way out."""
    way = f"[{shortcuts.chosen()['sharpen']}] draws without sharpening."
    if back < drawn:
        return f"The model took most of your stroke back, {back} of {drawn} voxels. {way}"
    return f"The model took your whole stroke back. {'Ctrl+Z brings it back; ' if last else ''}{way}"


def _rendering(sharpening: Sharpening, order: _Order, mask: Array, strength: float) -> Work:
    def work(_tell: Any, cancelled: Callable[[], bool]) -> _Sharp:
        start = time.perf_counter()
        values = sharpening.sharpen(mask, order.box, strength, cancelled)
        return _Sharp(order, values, time.perf_counter() - start)

    return work


def _warming(sharpening: Sharpening, box: Roi) -> Work:
    def work(_tell: Any, cancelled: Callable[[], bool]) -> None:
        sharpening.warm(box, cancelled)

    return work
