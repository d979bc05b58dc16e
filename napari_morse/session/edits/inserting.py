"""An act that comes late, put before what was done meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_morse.session.edits.corrections import Corrections
from napari_morse.session.edits.edit import JOINED, Act, Change
from napari_morse.session.edits.format import Step
from napari_morse.session.edits.state import Where


@dataclass(frozen=True)
class Moved:
    """What states are called since an act was put behind one of them.

    Parameters
    ----------
    at, now
        The state behind which it was put, and the one that it made; the same where it changed nothing.
    joined
        Whether it belongs to the act that made the first: what came after that act comes after both.
    later
        New numbers of the states of what was done since, by the old ones.
    """

    at: int
    now: int
    joined: bool = False
    later: Mapping[int, int] = field(default_factory=dict)

    def begun(self, state: int) -> int:
        """The state that something begins on that began on ``state``, and was done or asked for since."""
        return self.now if state == self.at else self.later.get(state, state)

    def ended(self, state: int) -> int:
        """The state that an act leads to which led to ``state``, or in which a decision stands that was made there."""
        return self.begun(state) if self.joined else self.later.get(state, state)


def insert(corrections: Corrections, state: int, where: Where, values: Any, kind: str) -> tuple[Act | None, Moved]:
    """`Corrections.apply`, as if it had been called when the mask had a ``state``.

    What was done since is taken back and done again on top, one after the other as it was done: each sets the voxels
    that it changed once to the values that it gave them, also where the late act gave the same. All of it goes into the
    journal in one piece: no later act is missing from the disk in between. Where nothing changes, nothing is done.

    Parameters
    ----------
    corrections
        What waits to be redone is forgotten, as after any act.
    state
        `Corrections.state` of then.
    where, values, kind
        As in `Corrections.apply`.

    Returns
    -------
    tuple
        What was done, None when nothing changes or undoing does not lead back to the state; and what states are called
        now.

    Raises
    ------
    InputError
        As `Corrections.apply`; then everything is as it was.
    """
    done: Act | None = None
    moved: dict[int, int] = {}
    if corrections.state == state:
        done = corrections.apply(where, values, kind)
        now = corrections.state
    elif corrections.reaches(state):
        with corrections.together():
            later = _taken_back(corrections, state)
            try:
                done = corrections.apply(where, values, kind)
            finally:
                if done is None:
                    for _ in later:
                        corrections.step_alone(Step.REDO)
            now = corrections.state
            for number, change in reversed(later if done is not None else []):
                corrections.again(change)
                moved[number] = corrections.state
    if done is None:
        return None, Moved(state, state)
    return done, Moved(state, now, kind.startswith(JOINED), moved)


def _taken_back(corrections: Corrections, state: int) -> list[tuple[int, Change]]:
    """What was done since a state is taken back: the latest first, each with the number of its state."""
    later = []
    while (number := corrections.state) != state and (change := corrections.step_alone(Step.UNDO)) is not None:
        later.append((number, change))
    return later
