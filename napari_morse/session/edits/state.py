"""A mask and its history, changed step by step; the same code acts live and replays a journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_morse.errors import DamagedFileError, GeometryError, InputError
from napari_morse.session.edits.edit import JOINED, Change, Indices, decode, encode
from napari_morse.session.edits.history import History
from napari_morse.session.edits.journal import Record, Step
from napari_morse.types import Array, Roi

Where = Roi | Indices | tuple[Array, Array, Array]
"""Voxels: a box, flat indices in C order, or indices along I, J and K as of ``np.nonzero``."""
_COMPARED_AT_ONCE = 1 << 22
"""Voxels compared at once when looking for what changed."""


class MaskState:
    """A mask of our own and what was done to it.

    Parameters
    ----------
    data
        (I, J, K) integers (see `check_mask`); copied.
    history
        What led to ``data``.
    """

    def __init__(self, data: Array, history: History) -> None:
        # C order and native bytes: `_flat` must be a view of `data` (an edit is written through it), and a checkpoint's
        # digest must not depend on how the file that the mask came from was packed.
        self.data: Array = np.array(data, data.dtype.newbyteorder("="), order="C")
        self.history = history
        self._flat = self.data.reshape(-1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (I, J, K)."""
        i, j, k = self.data.shape
        return i, j, k

    def change(self, where: Where, values: Any, kind: str) -> Change | None:
        """What setting ``where`` to ``values`` would change; None when nothing. Nothing is changed yet.

        Raises
        ------
        InputError
            A value that the mask's dtype does not hold, a voxel outside, or another number of values than of voxels.
        """
        if isinstance(where, Roi):
            return self.difference(self._filled(where, values), where, kind)
        indices = self._flat_indices(where)
        fitting = self.fitting(np.broadcast_to(_array(values), indices.shape) if np.ndim(values) == 0 else values)
        if fitting.shape != indices.shape:
            raise InputError(f"{fitting.size} values for {indices.size} voxels.", "Give one value, or one a voxel.")
        # of a voxel named twice the last value counts, as in NumPy
        indices, last = np.unique(indices[::-1], return_index=True)
        return self._changed(indices, fitting[::-1][last], kind)

    def difference(self, other: Array, region: Roi | None, kind: str) -> Change | None:
        """What changed in ``other``, (I, J, K) or only the ``region``'s box of it, against this mask; None: nothing."""
        box = region or Roi((0, 0, 0), self.shape)
        box.check(self.shape)
        if other.shape != box.shape:
            raise GeometryError(f"A mask of shape {other.shape} for a region of {box.shape}.", "Give the same shape.")
        mine = self.data[box.slices]
        thick = max(1, _COMPARED_AT_ONCE // max(1, mine[0].size))
        slabs = [_differing(mine, other, at, min(at + thick, len(mine))) for at in range(0, len(mine), thick)]
        i, j, k = (np.concatenate(axis) for axis in zip(*slabs, strict=True))
        values = self.fitting(other[i, j, k])
        _, columns, slices = self.shape
        indices = ((i + box.start[0]) * columns + (j + box.start[1])) * slices + (k + box.start[2])
        return self._changed(indices, values, kind)

    def fitting(self, values: Any) -> Array:
        """The values in the mask's dtype.

        Raises
        ------
        InputError
            One does not fit.
        """
        given = _array(values)
        if given.dtype == self.data.dtype:
            return given
        with np.errstate(invalid="ignore"):
            fitting: Array = given.astype(self.data.dtype)
        # After the cast: fractions, labels beyond the dtype and NaN all differ from what they became.
        wrong = fitting != given
        if wrong.any():
            raise InputError(
                f"The label {given[wrong].flat[0]} does not fit into a mask of {self.data.dtype}.",
                f"Use whole numbers up to {np.iinfo(self.data.dtype).max}.",
            )
        return fitting

    def rebased(self, change: Change) -> Change:
        """The same edit on this mask: all its voxels, also those that have its values here already.

        What is put before it later may take those values from them again.
        """
        return replace(change, old=self._flat[change.indices])

    def at(self, state: int, box: Roi) -> Array:
        """A box of the mask as it was in a state that undoing leads to; a copy."""
        box.check(self.shape)
        part = np.array(self.data[box.slices])
        for payload in self.history.since(state):
            change = self._decoded(payload)
            voxel_ijk = np.stack(np.unravel_index(change.indices, self.shape), axis=1)
            inside = ((voxel_ijk >= box.start) & (voxel_ijk < box.stop)).all(axis=1)
            part[tuple((voxel_ijk[inside] - box.start).T)] = change.old[inside]
        return part

    def do(self, change: Change) -> bytes:
        """Change the mask; returns the edit, encoded."""
        payload = encode(change)
        self._flat[change.indices] = change.new
        self.history.push(payload)
        return payload

    def undo(self) -> Change | None:
        """Take the last edit back; returns what changed."""
        payload = self.history.to_undo()
        if payload is None:
            return None
        change = self._decoded(payload)
        self._flat[change.indices] = change.old
        self.history.step(-1)
        return change

    def redo(self) -> Change | None:
        """Do the last undone edit again; returns what changed."""
        payload = self.history.to_redo()
        if payload is None:
            return None
        change = self._decoded(payload)
        self._flat[change.indices] = change.new
        self.history.step(1)
        return change

    def goes_on(self, change: Change, step: Step) -> bool:
        """Whether another edit belongs to the one that was just taken back, or done again."""
        if step == Step.UNDO:
            # The mark is on the later of the two: undo asks the edit that it took back, redo the one that would follow.
            return change.kind.startswith(JOINED)
        later = self.history.to_redo()
        return later is not None and self._decoded(later).kind.startswith(JOINED)

    def replay(self, records: Sequence[Record]) -> int:
        """Take the steps of a journal; returns how many could be taken: the first that does not fit ends it."""
        for taken, record in enumerate(records):
            try:
                fits = self._take(record)
            except DamagedFileError:
                fits = False
            if not fits:
                return taken
        self.history.trim()
        return len(records)

    def _take(self, record: Record) -> bool:
        if record.step == Step.UNDO:
            return self.undo() is not None
        if record.step == Step.REDO:
            return self.redo() is not None
        if record.step == Step.EDIT:
            change = self._decoded(record.payload)
            # A journal that belongs to another mask would paint plausible nonsense: it ends where it no longer fits.
            if not np.array_equal(self._flat[change.indices], change.old):
                return False
            self._flat[change.indices] = change.new
            # Not trimmed before the end: undos that follow in the journal may lead back further than the limits allow.
            self.history.push(record.payload, trim=False)
        return True

    def _decoded(self, payload: bytes) -> Change:
        return decode(payload, self.data.size, self.data.dtype)

    def _changed(self, indices: Indices, values: Array, kind: str) -> Change | None:
        old = self._flat[indices]
        differs = np.flatnonzero(old != values)
        if not len(differs):
            return None
        return Change(kind, indices[differs], old[differs], values[differs])

    def _filled(self, box: Roi, values: Any) -> Array:
        box.check(self.shape)
        try:
            return np.broadcast_to(self.fitting(values), box.shape)
        except ValueError as error:
            raise InputError(f"Values of shape {np.shape(values)} for a region of {box.shape}.") from error

    def _flat_indices(self, where: Any) -> Indices:
        arrays = [np.asarray(axis) for axis in (where if isinstance(where, tuple) else (where,))]
        bounds = self.shape if len(arrays) == 3 else (self.data.size,)
        for axis, bound in zip(arrays, bounds, strict=True):
            if axis.ndim != 1 or (axis.size and axis.dtype.kind not in "ui"):
                raise InputError("Voxels are given by whole numbers in one row for each axis.")
            if axis.size and not 0 <= axis.min() <= axis.max() < bound:
                raise InputError("A voxel lies outside the mask.", "Count from 0.")
        if len({len(axis) for axis in arrays}) > 1:
            raise InputError("The indices along I, J and K differ in number.")
        if len(arrays) == 1:
            return arrays[0].astype(np.int64)
        i, j, k = (axis.astype(np.int64) for axis in arrays)
        indices: Indices = (i * self.shape[1] + j) * self.shape[2] + k
        return indices


def check_mask(data: Array) -> None:
    """Raise GeometryError or InputError unless ``data`` is a mask that can be corrected."""
    if data.ndim != 3 or data.size == 0:
        raise GeometryError(f"A mask of shape {data.shape} can't be corrected.", "Give one with axes (I, J, K).")
    if data.dtype.kind not in "ui":
        raise InputError(f"A mask of {data.dtype} can't be corrected.", "Give one of whole numbers.")


def _array(values: Any) -> Array:
    given = np.asarray(values)
    if given.dtype.kind not in "uifb":
        raise InputError("Labels must be numbers.")
    return given


def _differing(mine: Array, other: Array, first: int, last: int) -> tuple[Indices, Indices, Indices]:
    differs = mine[first:last] != other[first:last]
    i, j, k = np.nonzero(differs) if differs.any() else np.zeros((3, 0), np.int64)
    return i + first, j, k
