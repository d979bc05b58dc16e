"""One order of everything that can be taken back: strokes of the mask, and decisions of the walk between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from napari_morse.session.case.walk import PatchDecision, Walk
from napari_morse.session.edits import Corrections, Renumbering
from napari_morse.types import Roi


@dataclass(frozen=True)
class _Event:
    """A decision on a patch, between two states of the mask (the same where the mask was not changed by it)."""

    rank: int
    before: int
    after: int
    old: PatchDecision | None
    new: PatchDecision | None

    def renumbered(self, moved: Renumbering) -> _Event:
        before = moved.ended(self.before) if self.before == self.after else moved.begun(self.before)
        return replace(self, before=before, after=moved.ended(self.after))


class Timeline:
    """Undo and redo over both.

    Parameters
    ----------
    corrections
        The mask's own acts.
    walk
        Whose decisions.
    told
        Called with the rank of a patch whose decision was changed by undo or redo.
    """

    def __init__(self, corrections: Corrections, walk: Walk, told: Callable[[int], None]) -> None:
        self._corrections, self._walk, self._told = corrections, walk, told
        self._done: list[_Event] = []
        self._undone: list[_Event] = []
        self._made = corrections.newest
        """The newest state when a decision was made or taken back last; after another act nothing of then is redone."""
        self._last: int | None = None
        """A state in which a decision was made while acts waited to be redone: they wait no more."""

    def decide(self, rank: int, decision: PatchDecision | None, before: int | None = None) -> None:
        """Decide on a patch; ``before`` is the mask's state before an act that belongs to the decision, just done."""
        after = self._corrections.state
        event = _Event(rank, after if before is None else before, after, self._walk.decisions.get(rank), decision)
        self._done.append(event)
        self._undone.clear()
        self._made, self._last = self._corrections.newest, after if self._corrections.redoable else None
        self._walk.decide(rank, decision)
        self._told(rank)

    def renumber(self, moved: Renumbering) -> None:
        """States have new numbers."""
        self._done = [event.renumbered(moved) for event in self._done]

    def undo(self) -> Roi | None:
        """Take back what was done last, decision or act; the box in which the mask changed."""
        event = self._done[-1] if self._done else None
        if event is None or event.after != self._corrections.state:
            return self._corrections.undo()
        box = self._corrections.undo() if event.before != event.after else None
        self._forget()
        self._undone.append(self._done.pop())
        self._walk.decide(event.rank, event.old)
        self._told(event.rank)
        return box

    def redo(self) -> Roi | None:
        """Do again what was taken back last."""
        self._forget()
        event = self._undone[-1] if self._undone else None
        if event is None or event.before != self._corrections.state:
            return None if self._corrections.state == self._last else self._corrections.redo()
        box = self._corrections.redo() if event.before != event.after else None
        self._done.append(self._undone.pop())
        self._walk.decide(event.rank, event.new)
        self._told(event.rank)
        return box

    def _forget(self) -> None:
        """After another act nothing that was taken back before it can be done again."""
        if self._made != self._corrections.newest:
            self._made, self._last = self._corrections.newest, None
            self._undone.clear()
