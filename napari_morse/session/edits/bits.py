"""Whole numbers in so many bits each, the lowest first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_morse.session.edits.varints import Numbers

_BLOCK = 1 << 16
"""Numbers taken at once, so that a bit as a byte takes little memory; a multiple of 8."""


def pack(numbers: Numbers, width: int) -> bytes:
    """Write ``numbers``, each below 2^``width``."""
    return b"".join(_packed(numbers[at : at + _BLOCK], width) for at in range(0, len(numbers), _BLOCK))


def _packed(numbers: Numbers, width: int) -> bytes:
    bits = (numbers[:, None] >> np.arange(width, dtype=np.uint64)).astype(np.uint8) & np.uint8(1)
    return np.packbits(bits.ravel(), bitorder="little").tobytes()


def unpack(content: bytes, width: int, count: int) -> Numbers:
    """Read ``count`` numbers that `pack` wrote.

    Raises
    ------
    ValueError
        The content has another length.
    """
    if width > 64 or len(content) != -(-count * width // 8):
        raise ValueError("another number of values than it says")
    read = np.frombuffer(content, np.uint8)
    numbers = np.zeros(count, np.uint64)
    weights = np.uint64(1) << np.arange(width, dtype=np.uint64)
    for at in range(0, count, _BLOCK):
        many = min(_BLOCK, count - at)
        bits = np.unpackbits(read[at * width // 8 :], count=many * width, bitorder="little")
        numbers[at : at + many] = _sums(bits.reshape(many, width), weights)
    return numbers


def _sums(bits: NDArray[np.uint8], weights: Numbers) -> Numbers:
    sums: Numbers = bits.astype(np.uint64) @ weights
    return sums
