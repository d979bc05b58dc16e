"""Label ids as exact, smallest unsigned integers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_morse.errors import InputError
from napari_morse.types import Array

_TYPES = (np.uint8, np.uint16, np.uint32)
_LABEL_ROUNDING = 1e-4
"""How far a scaled or floating label may lie from an integer: files written through a float slope give 1000.0000012."""


_BLOCK = 1 << 16
"""Values looked at at a time: what is asked of them stays in the processor's cache."""
_FEW = 8
"""Grey levels up to which an image may be a mask: a scan, however dark, has more."""
_SMALL = 64
"""Voxels below which few levels say nothing."""
MAY_BE_MASK = "it may be a mask."
"""How `mask_notice` ends."""


def mask_notice(data: Array, name: str) -> tuple[str, ...]:
    """A sentence where an image has the values of a mask: 2 to 8 different whole numbers, 0 among them, none below it.

    Parameters
    ----------
    data
        Any shape; a scan is left after its first few different values.
    name
        Of the image.
    """
    levels = _few_levels(data) if data.size >= _SMALL else ()
    return (f"“{name}” has only {len(levels)} grey levels: {MAY_BE_MASK}",) if len(levels) > 1 else ()


def _few_levels(data: Array) -> tuple[float, ...]:
    """The different values, if they are as in `mask_notice`; else none."""
    found: list[float] = []
    for block in _blocks(data):
        left = block
        for value in found:
            left = left[left != value]
        while left.size:
            value = float(left[0])
            if len(found) == _FEW or not (value >= 0 and value.is_integer()):
                return ()
            found.append(value)
            left = left[left != value]
    return tuple(found) if 0 in found else ()


def _blocks(data: Array) -> Iterator[Array]:
    """All values, piece by piece as they lie in memory; first a few from everywhere, which end it for most scans."""
    yield data[tuple(slice(n // 8 // 2, None, max(1, n // 8)) for n in data.shape)].reshape(-1)
    # Planes across the slowest axis are one piece of memory each: flattening them copies nothing.
    slowest = int(np.argmax(np.abs(data.strides)))
    for plane in np.moveaxis(data, slowest, 0):
        flat = plane.reshape(-1, order="A")
        for start in range(0, flat.size, _BLOCK):
            yield flat[start : start + _BLOCK]


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
        # A NIfTI's voxels lie in F order, and are written so: another order here costs a transposition there.
        return array.astype(kind, order="K")
    whole = np.rint(array)
    if np.abs(array - whole).max(initial=0.0) > _LABEL_ROUNDING:
        raise InputError(f"{name} holds fractions, not label ids.", "Give a mask, or threshold the image first.")
    return whole.astype(kind, order="K")
