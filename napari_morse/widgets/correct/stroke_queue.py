"""Edges on their way: strokes wait for the model, one after the other, and what it makes of them for the hand."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_morse.errors import CancelledError
from napari_morse.session.case import Sharpening
from napari_morse.session.edits import JOINED, Corrections, Edit, Renumbering
from napari_morse.types import Array, Roi
from napari_morse.widgets.base import JobRunner, Work, shortcuts
from napari_morse.widgets.bridge import display_axes
from napari_morse.widgets.case import UNCHANGED, ActiveCase, CorrectedLayer

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
TOO_LATE = "The boundary stays as it was painted: so much was done since that nothing can be put before it."


@dataclass
class Settings:
    """How strokes are sharpened, as the person chose.

    Parameters
    ----------
    say
        Tells the person what a stroke became.
    enabled
        Whether they are.
    strength
        0 to 1: how far boundaries go from the stroke to what the model sees.
    """

    say: Callable[[str], None]
    enabled: bool = True
    strength: float = 1.0

    @property
    def off(self) -> bool:
        """Whether strokes stay as they are drawn."""
        return not self.enabled or self.strength == 0


@dataclass(frozen=True, eq=False)
class _Order:
    """What to render: a box, after which state of the mask, what for, and who is told in a sentence."""

    box: Roi
    state: int
    kind: str
    done: Callable[[str], None]


@dataclass(frozen=True, eq=False)
class _Sharp:
    order: _Order
    values: Array
    seconds: float


class NoQueue:
    """No stroke is sharpened: there is no corrected mask, or no result of a model."""

    open = False
    """Whether boundaries can be ordered."""
    corrected: CorrectedLayer | None = None

    @property
    def waiting(self) -> bool:
        """Whether an edge is on its way."""
        return False

    def warm(self, box: Roi) -> None:
        """Read what a box needs."""

    def rerender(self, box: Roi, done: Callable[[str], None]) -> None:
        """Order a boundary."""

    def cancel(self) -> None:
        """Drop what is on its way."""

    def end(self) -> None:
        """Let go."""


class StrokeQueue(NoQueue):
    """The strokes on one mask that one model sharpens, until there is another mask or another model.

    Parameters
    ----------
    active_case
        What is under work.
    corrected
        The mask.
    sharpening
        The model on its scan.
    settings
        How strokes are sharpened.
    runner
        The one of all queues: what the last one cancelled may still have to end.
    """

    open = True
    corrected: CorrectedLayer

    def __init__(
        self,
        active_case: ActiveCase,
        corrected: CorrectedLayer,
        sharpening: Sharpening,
        settings: Settings,
        runner: JobRunner,
    ) -> None:
        self.corrected = corrected
        self._active_case, self._sharpening, self._settings = active_case, sharpening, settings
        self._runner = runner
        self._orders: deque[_Order] = deque()
        self._ahead: Roi | None = None
        self._under_way: _Order | None = None
        self._ready: list[_Sharp] = []
        self._retry = QTimer(runner)
        self._retry.setSingleShot(True)
        for signal, slot in self._signals():
            signal.connect(slot)

    def _signals(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        corrected, runner = self.corrected, self._runner
        return (
            (corrected.stroked, self._on_stroke),
            (corrected.stepped, self.cancel),
            (self._active_case.moved, self._on_moved),
            (runner.succeeded, self._on_done),
            (runner.failed, self._on_failed),
            (self._retry.timeout, self._put_in),
        )

    @property
    def waiting(self) -> bool:
        """Whether an edge is on its way."""
        return bool(self._orders) or bool(self._ready)

    def warm(self, box: Roi) -> None:
        """Read what a box needs, when nothing else is to be done."""
        if not self._sharpening.blocked:
            self._ahead = box
            self._next()

    def warm_here(self) -> None:
        """Read what the present place needs."""
        scan, layer = self.corrected.scan, self.corrected.layer
        cursor = np.rint(layer.world_to_data(self._active_case.viewer.dims.point[-layer.ndim :])).astype(int)
        shape = scan.grid.shape
        axes = display_axes(scan)
        voxel = axes.index_to_storage(np.atleast_2d(cursor))[0] if len(cursor) == 3 else np.array(shape) // 2
        low = np.clip(voxel, 0, np.array(shape) - 1)
        self.warm(Roi(tuple(map(int, low)), tuple(map(int, low + 1))).grown(HERE, shape))  # type: ignore[arg-type]

    def rerender(self, box: Roi, done: Callable[[str], None]) -> None:
        """Order the boundary in a box, as an act of its own."""
        self.corrected.compare()
        self._order(box, "re-render", done)

    def cancel(self) -> None:
        """What was painted stays as it was painted."""
        self._orders.clear()
        self._ready.clear()
        self._under_way = None
        self._retry.stop()
        self._runner.cancel()

    def end(self) -> None:
        """Cancel, and let go of the mask."""
        self.cancel()
        self._ahead = None  # an act of this queue may end it, and goes on with what is next
        for signal, slot in self._signals():
            signal.disconnect(slot)
        self._retry.deleteLater()

    def _on_stroke(self, act: Edit) -> None:
        if not self._settings.off and not self._sharpening.blocked:
            self._order(act.box, STROKE, self._settings.say)

    def _order(self, box: Roi, kind: str, done: Callable[[str], None]) -> None:
        self._orders.append(_Order(box, self.corrected.corrections.state, kind, done))
        self._next()

    def _on_moved(self, moved: Renumbering) -> None:
        self._orders = deque(replace(order, state=moved.begun(order.state)) for order in self._orders)

    def _next(self) -> None:
        if self._runner.busy or self._ready:
            return
        corrections = self.corrected.corrections
        while self._orders and not corrections.reaches(self._orders[0].state):
            self._orders.popleft().done(TOO_LATE)
        if self._orders:
            order = self._under_way = self._orders.popleft()
            # Made here, in the window's thread: the corrections change as the person goes on drawing.
            mask = _part(corrections, order)
            self._runner.start(_rendering(self._sharpening, order, mask, self._settings.strength))
        elif self._ahead is not None:
            box, self._ahead = self._ahead, None
            self._runner.start(_warming(self._sharpening, box))

    def _on_done(self, edges: tuple[_Sharp, ...]) -> None:
        # One that was done as it was cancelled is of another scan by now, or was taken back.
        self._ready = [sharp for sharp in edges if sharp.order is self._under_way]
        self._put_in()

    def _put_in(self) -> None:
        """Never under a stroke in progress: it would be drawn over."""
        if self._ready and self.corrected.drawing:
            self._retry.start(WAIT_MS)
            return
        edges, self._ready = self._ready, []
        for sharp in edges:
            self._take(sharp, self.corrected)
        self._next()

    def _take(self, sharp: _Sharp, corrected: CorrectedLayer) -> None:
        order = sharp.order
        # What was drawn since is an act of its own first: the edge goes below it, and takes nothing of it.
        corrected.compare()
        corrections = corrected.corrections
        # A copy: `apply` changes the mask in place.
        before = np.array(corrections.mask[order.box.slices])
        drawn, back = _given_back(corrections, sharp)
        last = order.state == corrections.state
        kind = ALONE if last and len(drawn) and back.all() else order.kind
        text = self._active_case.apply(order.box, sharp.values, kind, order.state)
        after = corrections.mask[order.box.slices]
        back &= after[tuple(drawn.T)] == sharp.values[tuple(drawn.T)]  # what is protected, or drawn since, is not
        count = int(np.count_nonzero(before != after))
        if len(drawn) and back.mean() > TAKEN_BACK:
            text = f"{_taken(int(back.sum()), len(drawn), last)} {text}"
        elif count:
            text = f"{count} voxels of the edge moved, {1000 * sharp.seconds:.0f} ms. {text}"
        elif len(drawn) and text == UNCHANGED:
            text = "The edge stays as you drew it."
        order.done(text.strip())

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            self._settings.say(f"The stroke was not sharpened: {error}")
        self._next()


def _part(corrections: Corrections, order: _Order) -> Array:
    """What an order sees: the mask around its box without what came later, the other pages of the array untouched."""
    mask = corrections.mask
    around = order.box.grown(BOX_MARGIN, mask.shape)
    # Of the whole shape, but zeros: pages that are not written take no memory, and boxes keep their coordinates.
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
    def work(_tell: Any, cancelled: Callable[[], bool]) -> tuple[_Sharp, ...]:
        start = time.perf_counter()
        values = sharpening.sharpen(mask, order.box, strength, cancelled)
        return (_Sharp(order, values, time.perf_counter() - start),)

    return work


def _warming(sharpening: Sharpening, box: Roi) -> Work:
    def work(_tell: Any, cancelled: Callable[[], bool]) -> tuple[_Sharp, ...]:
        sharpening.warm(box, cancelled)
        return ()

    return work
