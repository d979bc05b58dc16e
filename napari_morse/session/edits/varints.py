"""Whole numbers as bytes, small ones in one byte (LEB128), many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

_LONGEST = 10
"""Bytes of the largest 64-bit number."""


def pack(numbers: Numbers) -> bytes:
    """Write numbers one after the other: 7 bits a byte, the lowest first, the high bit on all bytes but the last."""
    lengths = sizes(numbers)
    starts = np.cumsum(lengths) - lengths
    out = np.zeros(int(lengths.sum()), np.uint8)
    for place in range(int(lengths.max(initial=0))):
        there = np.flatnonzero(lengths > place)
        bits = (numbers[there] >> np.uint64(7 * place)) & np.uint64(0x7F)
        out[starts[there] + place] = bits.astype(np.uint8) | (lengths[there] > place + 1).astype(np.uint8) << 7
    return out.tobytes()


def sizes(numbers: Numbers) -> NDArray[np.int64]:
    """Bytes that each number takes."""
    lengths = np.ones(len(numbers), np.int64)
    largest = int(numbers.max(initial=0))
    for place in range(1, _LONGEST):
        if largest >> (7 * place) == 0:
            break
        lengths += numbers >> np.uint64(7 * place) > 0
    return lengths


def unpack(content: bytes) -> Numbers:
    """Read what `pack` wrote.

    Raises
    ------
    ValueError
        The content ends inside a number, or a number is longer than 64 bits.
    """
    read = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(read < 0x80)
    if len(read) and (not len(ends) or ends[-1] != len(read) - 1):
        raise ValueError("ends inside a number")
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    lengths = ends - starts + 1
    if lengths.max(initial=0) > _LONGEST:
        raise ValueError("a number of more than 64 bits")
    numbers = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        there = np.flatnonzero(lengths > place)
        bits = (read[starts[there] + place] & np.uint8(0x7F)).astype(np.uint64)
        numbers[there] |= bits << np.uint64(7 * place)
    return numbers


def one(content: bytes, start: int) -> tuple[int, int]:
    """The number that begins at ``start``, and where the next begins.

    Raises
    ------
    ValueError
        As `unpack`.
    """
    number = 0
    for place in range(_LONGEST):
        if start + place >= len(content):
            raise ValueError("ends inside a number")
        byte = content[start + place]
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, start + place + 1
    raise ValueError("a number of more than 64 bits")


def put(*numbers: int) -> bytes:
    """A few numbers, as `pack`."""
    return pack(np.array(numbers, np.uint64))
