"""An act that comes late, put before what was done meanwhile."""

from __future__ import annotations

from typing import Any

from napari_morse.session.edits.acts import Act, Change
from napari_morse.session.edits.corrections import Corrections
from napari_morse.session.edits.format import Step
from napari_morse.session.edits.state import Where


def insert(
    corrections: Corrections, state: int, where: Where, values: Any, kind: str
) -> tuple[Act | None, dict[int, int]]:
    """`Corrections.apply`, as if it had been called when the mask had a ``state``.

    What was done since is taken back and done again on top: its voxels keep its values. All of it goes into the
    journal in one piece: no later act is missing from the disk in between.

    Parameters
    ----------
    corrections
        Nothing may be waiting to be redone, or it is forgotten, as after any act.
    state
        `Corrections.state` of then.
    where, values, kind
        As in `Corrections.apply`.

    Returns
    -------
    tuple
        What was done, None when nothing changes or undoing does not lead back to the state; and the new numbers of the
        states of what was done since, by the old ones.
    """
    moved: dict[int, int] = {}
    if not corrections.reaches(state):
        return None, moved
    later: list[tuple[int, Change]] = []
    with corrections.together():
        while (number := corrections.state) != state and (change := corrections.step_alone(Step.UNDO)) is not None:
            later.append((number, change))
        try:
            return corrections.apply(where, values, kind), moved
        finally:
            for number, change in reversed(later):
                corrections.apply(change.places, change.new, change.kind)
                moved[number] = corrections.state
