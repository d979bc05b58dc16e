"""Walks the doubtful boundary: goes to a patch, decides on it, and keeps what was accepted as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, Signal

from napari_morse.errors import CancelledError
from napari_morse.session.case import PatchDecision, Timeline, Walk, patches_of
from napari_morse.session.edits import Renumbering
from napari_morse.types import Array, Patches, Prediction, Scan
from napari_morse.widgets.base import JobRunner, Work
from napari_morse.widgets.case import Rest
from napari_morse.widgets.correct import Sharpener
from napari_morse.widgets.segment import PatchView

if TYPE_CHECKING:
    from napari_morse.widgets.case import Desk

NO_RESULT = "Run a model first: its doubtful boundary is what is walked along."
ALL_DONE = "No patch is open any more."
SPARE = 2
"""Voxels around a patch within which its boundary is rendered again."""
ANEW = 0.5
"""Share of the listed boundary that must still be there, or the list is made anew from the mask as it is."""


class Walker(QObject):
    """Where the walk is, and its acts.

    Parameters
    ----------
    desk
        What is under work.
    sharpener
        Renders a patch's boundary again.
    patch_view
        Shows one patch.
    parent
        Owner.
    """

    changed = Signal()
    """Another list, another patch, a decision, or less left."""
    framed = Signal(object)
    """The `Roi` (storage order) of the patch that is looked at, or None."""
    said = Signal(str)
    """What was done, or why not, in a sentence."""
    editing = Signal()
    """The person wants to draw on this patch."""

    def __init__(self, desk: Desk, sharpener: Sharpener, patch_view: PatchView, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk, self._sharpener, self._view = desk, sharpener, patch_view
        self.walk: Walk | None = None
        self.rank = -1
        """The patch that is looked at, from 0; −1: none yet."""
        self._shown_for: tuple[Any, ...] = (None, None, None)
        self._warned = ""
        self.runner = JobRunner("morse-walk", self)
        self.runner.succeeded.connect(self._on_list)
        self.runner.failed.connect(self._on_no_list)
        desk.changed.connect(self._on_desk)
        desk.rested.connect(self._on_rest)
        desk.moved.connect(self._on_moved)
        desk.replaced.connect(self._on_replaced)
        self._on_desk()

    # Where the walk is

    @property
    def blocked(self) -> str:
        """Why there is nothing to walk along; empty when there is."""
        return NO_RESULT if self.walk is None else "" if len(self.walk) else "The mask has no boundary."

    @property
    def cannot_render(self) -> str:
        """Why boundaries cannot be rendered again; empty when they can."""
        return self._sharpener.blocked

    def next(self) -> None:
        """Go to the next open patch."""
        self._step(1)

    def back(self) -> None:
        """Go to the open patch before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        walk = self._there()
        if walk is None:
            return
        rank = walk.after(self.rank, by)
        if rank is None:
            self.said.emit(ALL_DONE)
        else:
            self.go(rank)

    def go(self, rank: int) -> None:
        """Bring a patch into the middle of the view."""
        walk, scan = self.walk, self._desk.scan
        if walk is None or scan is None or not 0 <= rank < len(walk):
            return
        self.rank = rank
        self._view.show(walk.patches, rank, scan)
        self._desk.label = int(walk.patches.label[rank])
        box = walk.box(rank)
        self._sharpener.warm(box)
        self.framed.emit(box)
        self.changed.emit()

    def _there(self) -> Walk | None:
        if self.blocked:
            self.said.emit(self.blocked)
            return None
        return self.walk

    # Decisions

    def accept(self) -> None:
        """Keep this patch as it is, and go to the next."""
        self._with_mask(self._accept)

    def take_coarse(self) -> None:
        """Take the coarse mask around this patch, and go to the next."""
        self._with_mask(self._take_coarse)

    def rerender(self) -> None:
        """Render this patch's boundary again, from the mask as it is now."""
        self._with_mask(self._rerender)

    def edit(self) -> None:
        """Draw on this patch."""
        self._with_mask(lambda _walk, _rank: self.editing.emit())

    def reopen(self) -> None:
        """Take this patch's decision back."""
        self._with_mask(self._reopen)

    def _with_mask(self, act: Callable[[Walk, int], None]) -> None:
        """Do something with the patch in view, where need be after correcting has begun."""
        corrected, walk = self._desk.corrected, self._there()
        if walk is None:
            return
        if corrected is not None:
            corrected.compare()  # what was just painted decides on patches, too
        if self.rank < 0:
            self.next()
        elif corrected is None:
            if self._desk.blocked:
                self.said.emit(self._desk.blocked)
            else:
                self.said.emit("Correcting begins.")
                self._desk.begin(partial(self._again, act, self.rank))
        else:
            act(walk, self.rank)

    def _again(self, act: Callable[[Walk, int], None], rank: int) -> None:
        if self.walk is not None and rank < len(self.walk):
            self.rank = rank
            act(self.walk, rank)

    def _accept(self, walk: Walk, rank: int) -> None:
        if walk.decisions.get(rank) != "accepted":
            self._decide(rank, "accepted")
        self._go_on(walk, f"Patch {rank + 1} accepted: it stays as it is.")

    def _reopen(self, walk: Walk, rank: int) -> None:
        if rank in walk.decisions:
            self._decide(rank, None)
            self.said.emit(f"Patch {rank + 1} is open again.")

    def _take_coarse(self, walk: Walk, rank: int) -> None:
        corrected = self._desk.corrected
        if corrected is None:
            return
        corrected.compare()
        if walk.decisions.get(rank) == "accepted":
            self.said.emit(f"Patch {rank + 1} is accepted. Take that back first: Ctrl+Z, or “Open again”.")
            return
        change = walk.coarse_side(rank, corrected.corrections.mask)
        if change is None:
            self._decide(rank, "coarse")
            self._go_on(walk, f"Patch {rank + 1}: the coarse mask is the same here; it stays as it is.")
            return
        before = corrected.corrections.state
        text = self._desk.apply(*change, "coarse side")
        if corrected.corrections.state != before:
            self._decide(rank, "coarse", before)
            text = f"Patch {rank + 1}: the coarse side was taken. {text}"
        self._go_on(walk, text.strip())

    def _rerender(self, walk: Walk, rank: int) -> None:
        box = walk.box(rank).grown(SPARE, walk.shape)
        self._sharpener.rerender(box, lambda text: self.said.emit(f"Patch {rank + 1} rendered again: {text}"))

    def _go_on(self, walk: Walk, text: str) -> None:
        rank = walk.after(self.rank)
        if rank is not None:
            self.go(rank)
        else:
            text = f"{text} {ALL_DONE}"
        self.said.emit(text)

    def _decide(self, rank: int, decision: PatchDecision | None, before: int | None = None) -> None:
        corrected = self._desk.corrected
        if corrected is not None and isinstance(corrected.case.steps, Timeline):
            corrected.case.steps.decide(rank, decision, before)

    def _on_decided(self, rank: int) -> None:
        """A decision was made, taken back or made again."""
        walk = self.walk
        if walk is None:
            return
        self._protect(rank)
        self._warn(walk.trouble)
        if rank != self.rank and not walk.decisions.get(rank):
            self.go(rank)  # undone: that is where the person looks now
        self.changed.emit()

    def _protect(self, rank: int) -> None:
        walk, corrected = self.walk, self._desk.corrected
        if walk is None or corrected is None:
            return
        if walk.decisions.get(rank) in ("accepted", "coarse"):
            corrected.case.protection.keep(rank, walk.patches.of(rank))
        else:
            corrected.case.protection.let_go(rank)

    # What happens

    def _on_rest(self, rest: Rest) -> None:
        corrected = self._desk.corrected
        if self.walk is not None and corrected is not None:
            self.walk.look(corrected.corrections.mask, rest.box)
            self.changed.emit()

    def _on_moved(self, moved: Renumbering) -> None:
        corrected = self._desk.corrected
        if corrected is not None and isinstance(corrected.case.steps, Timeline):
            corrected.case.steps.renumber(moved)

    def _on_replaced(self) -> None:
        """Undo goes over the corrections that are now."""
        self._set(self.walk, self.rank)

    def _on_desk(self) -> None:
        desk = self._desk
        shown = (desk.prediction, desk.corrected, desk.folder)
        if shown[0] is self._shown_for[0] and shown[1] is self._shown_for[1] and shown[2] == self._shown_for[2]:
            return
        same = shown[0] is self._shown_for[0]
        self._shown_for = shown
        prediction, scan = desk.prediction, desk.scan
        self.runner.cancel()
        if prediction is None or scan is None:
            self._set(None)
            return
        rank = self.rank if same else -1
        self._set(self._walk(prediction, scan, prediction.patches, prediction.rendered.data), rank)
        if 0 <= self.rank < len(prediction.patches):
            desk.label = int(prediction.patches.label[self.rank])
        self._check()

    def _walk(self, prediction: Prediction, scan: Scan, patches: Patches, listed: Array) -> Walk:
        folder = self._desk.folder if self._desk.corrected is not None else None
        return Walk(patches, listed, prediction.coarse.data, scan.grid.spacing, folder)

    def _set(self, walk: Walk | None, rank: int = -1) -> None:
        corrected = self._desk.corrected
        self.walk, self.rank = walk, rank
        if corrected is not None:
            corrected.case.protection.let_go_all()
            corrected.case.steps = corrected.corrections
        if walk is None:
            self.framed.emit(None)
        elif corrected is not None:
            walk.look(corrected.corrections.mask)
            corrected.case.steps = Timeline(corrected.corrections, walk, self._on_decided)
            for each in walk.decisions:
                self._protect(each)
            self._warn(walk.trouble)
        self.changed.emit()

    def _warn(self, trouble: str) -> None:
        """Once while it lasts."""
        if trouble and trouble != self._warned:
            show_warning(trouble)
        self._warned = trouble

    def _check(self) -> None:
        """A list whose boundary is gone leads nowhere."""
        walk = self.walk
        if walk is not None and self._desk.corrected is not None and len(walk) and walk.whole_share < ANEW:
            self.list_again()

    def list_again(self) -> None:
        """List the boundary of the mask as it is now."""
        corrected, prediction, scan = self._desk.corrected, self._desk.prediction, self._desk.scan
        if corrected is None or prediction is None or scan is None or self.runner.busy:
            return
        corrected.compare()
        self.said.emit("The boundary is being listed.")
        self.runner.start(_listing(prediction, np.array(corrected.corrections.mask), scan))

    def _on_list(self, listed: tuple[Prediction, Scan, Patches, Array]) -> None:
        prediction, scan, patches, mask = listed
        if prediction is not self._desk.prediction or scan is not self._desk.scan:
            return
        self._view.clear()
        self._set(self._walk(prediction, scan, patches, mask))
        self.said.emit(f"{len(patches)} patches of the corrected mask.")

    def _on_no_list(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            show_error(f"The boundary could not be listed: {error}")

    def stop_work(self) -> None:
        """Cancel whatever runs."""
        self.runner.cancel()

    def close_down(self) -> None:
        """Let go of everything."""
        self.stop_work()
        self._desk.changed.disconnect(self._on_desk)
        self._desk.rested.disconnect(self._on_rest)
        self._desk.moved.disconnect(self._on_moved)
        self._desk.replaced.disconnect(self._on_replaced)
        self._view.clear()


def _listing(prediction: Prediction, mask: Array, scan: Scan) -> Work:
    return lambda _tell, _cancelled: (prediction, scan, patches_of(prediction, mask, scan.grid), mask)
