"""Walks the doubtful boundary: goes to a patch, decides on it, and keeps what was accepted as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, Signal

from napari_morse.errors import CancelledError
from napari_morse.session.case import PatchDecision, Protection, Timeline, Walk, patches_of
from napari_morse.session.edits import Renumbering
from napari_morse.types import Array, Patches, Prediction, Scan
from napari_morse.widgets.base import JobRunner, Work
from napari_morse.widgets.case import Rest
from napari_morse.widgets.correct import Sharpener
from napari_morse.widgets.segment import PatchView

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase, CorrectedLayer

NO_RESULT = "Run a model first: its doubtful boundary is what is walked along."
ALL_DONE = "No patch is open any more."
SPARE = 2
"""Voxels around a patch within which its boundary is rendered again."""
RELIST_SHARE = 0.5
"""Share of the listed boundary that must still be there, or the list is made anew from the mask as it is."""


@dataclass(frozen=True, eq=False)
class _Way:
    """What is walked along, and what it was listed of."""

    prediction: Prediction
    scan: Scan
    walk: Walk


class _Deciding:
    """Decisions on a walk while its mask is corrected: undo steps through them, and what they settle is protected.

    Parameters
    ----------
    active_case
        Tells of the mask under work until `end`.
    way
        What is decided on.
    corrected
        The mask.
    decided
        Called with the walk and a rank when a decision was made, taken back or made again.
    looked
        Called when more, or less, of the boundary is as it was listed.
    """

    def __init__(
        self,
        active_case: ActiveCase,
        way: _Way,
        corrected: CorrectedLayer,
        decided: Callable[[Walk, int], None],
        looked: Callable[[], None],
    ) -> None:
        self.way, self.walk, self.corrected = way, way.walk, corrected
        self._active_case, self._decided, self._looked = active_case, decided, looked
        self._timeline = self._begin()
        active_case.rested.connect(self._on_rest)
        active_case.moved.connect(self._on_moved)
        active_case.replaced.connect(self._on_replaced)

    def _begin(self) -> Timeline:
        corrections, case = self.corrected.corrections, self.corrected.case
        # What earlier lists protected is not of these patches, though it may have their ranks.
        case.protection.let_go_all()
        self.walk.look(corrections.mask)
        # No method of this object: the case holds its steps, also out of view, and would hold the layer with them.
        told = partial(_on_decided, self.walk, case.protection, self._decided)
        timeline = case.steps = Timeline(corrections, self.walk, told)
        for rank in self.walk.decisions:
            _protect(self.walk, case.protection, rank)
        return timeline

    def end(self) -> None:
        """Hear of the mask no more; while it is out of view, it stays protected, and its undo as it is."""
        self._active_case.rested.disconnect(self._on_rest)
        self._active_case.moved.disconnect(self._on_moved)
        self._active_case.replaced.disconnect(self._on_replaced)

    @property
    def stale(self) -> bool:
        """Whether most of the listed boundary is gone: such a list leads nowhere."""
        return len(self.walk) > 0 and self.walk.whole_share < RELIST_SHARE

    def decide(self, rank: int, decision: PatchDecision | None, before: int | None = None) -> None:
        """As `Timeline.decide`."""
        self._timeline.decide(rank, decision, before)

    def _on_rest(self, rest: Rest) -> None:
        self.walk.look(self.corrected.corrections.mask, rest.box)
        self._looked()

    def _on_moved(self, moved: Renumbering) -> None:
        self._timeline.renumber(moved)

    def _on_replaced(self) -> None:
        """Undo goes over the corrections that are now: the case has put its steps back to them."""
        self._timeline = self._begin()
        self._looked()


def _on_decided(walk: Walk, protection: Protection, decided: Callable[[Walk, int], None], rank: int) -> None:
    _protect(walk, protection, rank)
    decided(walk, rank)


def _protect(walk: Walk, protection: Protection, rank: int) -> None:
    # Patches that only were edited stay open to strokes: nobody has said that they are right.
    if walk.decisions.get(rank) in ("accepted", "coarse"):
        protection.keep(rank, walk.patches.of(rank))
    else:
        protection.let_go(rank)


class Walker(QObject):
    """Where the walk is, and its acts.

    Parameters
    ----------
    active_case
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

    def __init__(
        self, active_case: ActiveCase, sharpener: Sharpener, patch_view: PatchView, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._active_case, self._sharpener, self._view = active_case, sharpener, patch_view
        self.blocked = NO_RESULT
        """Why there is nothing to walk along; empty when there is."""
        self.rank = -1
        """The patch that is looked at, from 0; −1: none yet."""
        self._way: _Way | None = None
        self._deciding: _Deciding | None = None
        self._shown_for: tuple[Any, ...] = (None, None, None)
        self._warned = ""
        self.runner = JobRunner("morse-walk", self)
        self.runner.succeeded.connect(self._on_list)
        self.runner.failed.connect(self._on_no_list)
        active_case.changed.connect(self._on_case)
        self._on_case()

    # Where the walk is

    @property
    def walk(self) -> Walk | None:
        """What is walked along; None where no model ran."""
        return None if self._way is None else self._way.walk

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
        why = self.blocked or self._advance(by)
        if why:
            self.said.emit(why)

    def _advance(self, by: int = 1) -> str:
        """Go to the next open patch; why not, where there is none."""
        rank = None if self._way is None else self._way.walk.after(self.rank, by)
        if rank is None:
            return ALL_DONE
        self.go(rank)
        return ""

    def go(self, rank: int) -> None:
        """Bring a patch into the middle of the view."""
        way = self._way
        if way is None or not 0 <= rank < len(way.walk):
            return
        patches, box = way.walk.patches, way.walk.box(rank)
        self.rank = rank
        self._view.show(patches, rank, way.scan)
        self._active_case.label = int(patches.label[rank])
        self._sharpener.warm(box)
        self.framed.emit(box)
        self.changed.emit()

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
        self._with_mask(lambda _deciding, _rank: self.editing.emit())

    def reopen(self) -> None:
        """Take this patch's decision back."""
        self._with_mask(self._reopen)

    def _with_mask(self, act: Callable[[_Deciding, int], None]) -> None:
        """Do something with the patch in view, where need be after correcting has begun."""
        if self.blocked:
            self.said.emit(self.blocked)
        elif self._deciding is None:
            self._begin_with(act)
        else:
            self._deciding.corrected.compare()  # what was just painted decides on patches, too
            if self.rank < 0:
                self.next()
            else:
                act(self._deciding, self.rank)

    def _begin_with(self, act: Callable[[_Deciding, int], None]) -> None:
        if self.rank < 0:
            self.next()
        elif self._active_case.blocked:
            self.said.emit(self._active_case.blocked)
        else:
            self.said.emit("Correcting begins.")
            # The rank goes along: the walk is set out anew as correcting begins.
            self._active_case.begin(partial(self._again, act, self.rank))

    def _again(self, act: Callable[[_Deciding, int], None], rank: int) -> None:
        deciding = self._deciding
        if deciding is not None and rank < len(deciding.walk):
            self.rank = rank
            act(deciding, rank)

    def _accept(self, deciding: _Deciding, rank: int) -> None:
        if deciding.walk.decisions.get(rank) != "accepted":
            deciding.decide(rank, "accepted")
        self._go_on(f"Patch {rank + 1} accepted: it stays as it is.")

    def _reopen(self, deciding: _Deciding, rank: int) -> None:
        if rank in deciding.walk.decisions:
            deciding.decide(rank, None)
            self.said.emit(f"Patch {rank + 1} is open again.")

    def _take_coarse(self, deciding: _Deciding, rank: int) -> None:
        walk, corrected = deciding.walk, deciding.corrected
        corrected.compare()
        if walk.decisions.get(rank) == "accepted":
            self.said.emit(f"Patch {rank + 1} is accepted. Take that back first: Ctrl+Z, or “Open again”.")
            return
        change = walk.coarse_side(rank, corrected.corrections.mask)
        if change is None:
            deciding.decide(rank, "coarse")
            self._go_on(f"Patch {rank + 1}: the coarse mask is the same here; it stays as it is.")
            return
        before = corrected.corrections.state
        text = self._active_case.apply(*change, "coarse side")
        if corrected.corrections.state != before:
            # With the state before: one Ctrl+Z takes the mask and the decision back together.
            deciding.decide(rank, "coarse", before)
            text = f"Patch {rank + 1}: the coarse side was taken. {text}"
        self._go_on(text.strip())

    def _rerender(self, deciding: _Deciding, rank: int) -> None:
        box = deciding.walk.box(rank).grown(SPARE, deciding.walk.shape)
        self._sharpener.rerender(box, lambda text: self.said.emit(f"Patch {rank + 1} rendered again: {text}"))

    def _go_on(self, text: str) -> None:
        self.said.emit(f"{text} {self._advance()}".rstrip())

    def _on_decided(self, walk: Walk, rank: int) -> None:
        """A decision was made, taken back or made again."""
        if walk is not self.walk:
            return  # undone on a mask that is not the one in view
        self._warn(walk.trouble)
        if rank != self.rank and rank not in walk.decisions:
            self.go(rank)  # undone: that is where the person looks now
        self.changed.emit()

    # What happens

    def _on_case(self) -> None:
        active_case = self._active_case
        shown = (active_case.prediction, active_case.corrected, active_case.folder)
        if shown[0] is self._shown_for[0] and shown[1] is self._shown_for[1] and shown[2] == self._shown_for[2]:
            return
        same = shown[0] is self._shown_for[0]
        self._shown_for = shown
        prediction, scan = active_case.prediction, active_case.scan
        self.runner.cancel()
        if prediction is None or scan is None:
            self._stop()
            return
        rank = self.rank if same else -1
        self._set_out(prediction, scan, prediction.patches, prediction.rendered.data, rank)
        if 0 <= rank < len(prediction.patches):
            active_case.label = int(prediction.patches.label[rank])
        if self._deciding is not None and self._deciding.stale:
            self.list_again()

    def _set_out(self, prediction: Prediction, scan: Scan, patches: Patches, listed: Array, rank: int = -1) -> None:
        """Walk along a list of patches from now on; decisions are kept, and protect, once correcting has begun."""
        self._leave()
        corrected, active_case = self._active_case.corrected, self._active_case
        make = partial(Walk, patches, listed, prediction.coarse.data, scan.grid.spacing)
        self.rank = rank if rank < len(patches) else -1  # it may be of a longer list, made anew from another mask
        self.blocked = "" if len(patches) else "The mask has no boundary."
        if corrected is None:
            self._way = _Way(prediction, scan, make(None))
        else:
            way = self._way = _Way(prediction, scan, make(active_case.folder))
            self._deciding = _Deciding(active_case, way, corrected, self._on_decided, self.changed.emit)
            self._warn(way.walk.trouble)
        self.changed.emit()

    def _stop(self) -> None:
        """Nothing is there to walk along."""
        self._leave()
        self._way, self.rank, self.blocked = None, -1, NO_RESULT
        corrected = self._active_case.corrected
        if corrected is not None:  # decisions of an earlier run say nothing any more
            corrected.case.protection.let_go_all()
            # Undo goes over the acts alone: a timeline would step through decisions on a list that is gone.
            corrected.case.steps = corrected.corrections
        self.framed.emit(None)
        self.changed.emit()

    def _leave(self) -> None:
        if self._deciding is not None:
            self._deciding.end()
            self._deciding = None

    def _warn(self, trouble: str) -> None:
        """Once while it lasts."""
        if trouble and trouble != self._warned:
            show_warning(trouble)
        self._warned = trouble

    def list_again(self) -> None:
        """List the boundary of the mask as it is now."""
        deciding = self._deciding
        if deciding is None or self.runner.busy:
            return
        deciding.corrected.compare()
        self.said.emit("The boundary is being listed.")
        # A copy: it is also what the new walk is listed of, whatever is drawn meanwhile.
        mask = np.array(deciding.corrected.corrections.mask)
        self.runner.start(_listing(deciding.way.prediction, mask, deciding.way.scan))

    def _on_list(self, listed: tuple[Prediction, Scan, Patches, Array]) -> None:
        prediction, scan, patches, mask = listed
        if prediction is not self._active_case.prediction or scan is not self._active_case.scan:
            return
        self._view.clear()
        self._set_out(prediction, scan, patches, mask)
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
        self._active_case.changed.disconnect(self._on_case)
        self._leave()
        self._view.clear()


def _listing(prediction: Prediction, mask: Array, scan: Scan) -> Work:
    return lambda _tell, _cancelled: (prediction, scan, patches_of(prediction, mask, scan.grid), mask)
