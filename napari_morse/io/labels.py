"""Label ids as exact, smallest unsigned integers."""

from __future__ import annotations

import numpy as np

from napari_morse.errors import InputError
from napari_morse.types import Array

_TYPES = (np.uint8, np.uint16, np.uint32)
_LABEL_ROUNDING = 1e-4
"""How far a scaled or floating label may lie from an integer: files written through a float slope give 1000.0000012."""


def as_labels(array: Array, name: str = "The mask") -> Array:
    """``array`` as the smallest unsigned integer dtype that holds its ids exactly.

    Parameters
    ----------
    array
        Any shape; integers, booleans, or floats that are whole numbers (to 1e-4).
    name
        Subject of the error.

    Raises
    ------
    InputError
        Negative, fractional or non-finite values, ids above 4 294 967 295, or pixels that are not numbers.
    """
    if array.dtype.kind not in "buif":
        raise InputError(f"{name} does not hold numbers.", "Give a mask of label ids.")
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name} holds values that are not finite.", "Give a mask of whole label ids.")
    if low < (-_LABEL_ROUNDING if array.dtype.kind == "f" else 0):
        raise InputError(f"{name} holds negative values ({low:g}).", "Label ids start at 0.")
    kind = next((t for t in _TYPES if high <= np.iinfo(t).max), None)
    if kind is None:
        raise InputError(f"{name} holds the id {high:g}; ids end at 4294967295.", "Renumber the labels.")
    if array.dtype.kind != "f":
        return array.astype(kind, order="K")
    whole = np.rint(array)
    if np.abs(array - whole).max(initial=0.0) > _LABEL_ROUNDING:
        raise InputError(f"{name} holds fractions, not label ids.", "Give a mask, or threshold the image first.")
    return whole.astype(kind, order="K")
