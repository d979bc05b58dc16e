"""What no act may change: labels that are locked, and boundary that was accepted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_morse.types import Array, Roi


class Protection:
    """Locked labels and kept voxels of a mask of one shape.

    Parameters
    ----------
    shape
        Of the mask, (I, J, K).
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.locked: frozenset[int] = frozenset()
        """Labels that nothing may be painted with, nor painted over."""
        self._kept: dict[int, NDArray[np.int64]] = {}
        self._all: NDArray[np.int64] | None = None

    def keep(self, patch: int, voxel: NDArray[np.int64]) -> None:
        """Keep a patch's (n, 3) voxels, storage order, as they are."""
        self._kept[patch] = np.ravel_multi_index(tuple(voxel.T), self.shape).astype(np.int64)
        self._all = None

    def let_go(self, patch: int) -> None:
        """No longer keep a patch's voxels."""
        self._kept.pop(patch, None)
        self._all = None

    def let_go_all(self) -> None:
        """No longer keep any patch's voxels; locks stay."""
        self._kept.clear()
        self._all = None

    @property
    def patches(self) -> tuple[int, ...]:
        """Those whose voxels are kept."""
        return tuple(self._kept)

    def _allowed(self, before: Array, box: Roi) -> NDArray[np.bool_]:
        """Voxels of a box that may change; of the box's shape, storage order."""
        free = np.ones(box.shape, bool)
        if self.locked:
            free &= ~np.isin(before, list(self.locked))
        kept = self._voxels()
        if len(kept):
            places = np.stack(np.unravel_index(kept, self.shape), axis=1)
            inside = ((places >= box.start) & (places < box.stop)).all(axis=1)
            free[tuple((places[inside] - box.start).T)] = False
        return free

    def refused(self, before: Array, values: Array, box: Roi) -> NDArray[np.bool_]:
        """Voxels of a box where ``values`` differ from the labels ``before`` and may not be taken over.

        All three are of the box's shape, storage order.
        """
        differs: NDArray[np.bool_] = values != before
        if not (self.locked or self._kept) or not differs.any():
            return np.zeros(box.shape, bool)
        free = self._allowed(before, box)
        if self.locked:
            free &= ~np.isin(values, list(self.locked))
        return differs & ~free

    def _voxels(self) -> NDArray[np.int64]:
        if self._all is None:
            self._all = np.unique(np.concatenate([*self._kept.values(), np.zeros(0, np.int64)]))
        return self._all
