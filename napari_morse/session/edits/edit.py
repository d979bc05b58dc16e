"""One act of correction: which voxels changed, from what to what, in few bytes.

Layout (numbers are those of `varints`): length and text of the kind; voxels; pairs; how places are written; then three
streams, pairs, places and values, each as (raw length, stored length, content; compressed when the two differ).
Places are sorted flat indices (C order of (I, J, K)), as gaps between voxels, as gaps of so many bits each (how many
stands before them), or as runs of (gap, length), whichever is shortest. Values are an index into the pairs, in 1, 2, 4,
8, 16 or 32 bits; one pair alone takes nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_morse.errors import DamagedFileError
from napari_morse.session.edits import bits, varints
from napari_morse.types import Array, Roi

Indices = NDArray[np.int64]

_WIDTHS = (1, 2, 4, 8, 16, 32)
_GAPS, _RUNS, _BITS = 0, 1, 2
_LONG = 1 << 16
"""Bytes from which a stream is compressed fast rather than well: scattered voxels gain little from it."""
JOINED = "+"
"""An act whose kind begins so belongs to the act before it: both are undone and done again together."""
KIND_LENGTH = 64
"""Characters that the name of an act may have."""


@dataclass(frozen=True)
class Act:
    """What an act was: its kind, how many voxels changed, and the box around them."""

    kind: str
    voxels: int
    box: Roi


@dataclass(frozen=True, eq=False)
class Change:
    """Voxels that change together.

    Parameters
    ----------
    kind
        What was done, in a word or two ("brush", "fill", "run").
    places
        (n,) flat indices in C order of (I, J, K), ascending, each once; n ≥ 1.
    old, new
        (n,) values before and after, in the mask's dtype.
    """

    kind: str
    places: Indices
    old: Array
    new: Array

    def box(self, shape: tuple[int, int, int]) -> Roi:
        """The smallest box of a mask of ``shape`` that holds every changed voxel."""
        plane = shape[1] * shape[2]
        rows = self.places // shape[2]
        columns, slices = rows % shape[1], self.places - rows * shape[2]
        first, last = int(self.places[0]) // plane, int(self.places[-1]) // plane
        return Roi(
            (first, int(columns.min()), int(slices.min())),
            (last + 1, int(columns.max()) + 1, int(slices.max()) + 1),
        )


def encode(change: Change) -> bytes:
    """The change as bytes: at most 4 a voxel, and a constant, while its pairs of old and new value are few."""
    kind = change.kind[:KIND_LENGTH].encode(errors="replace")
    pairs, codes = _pairs(change.old, change.new)
    form, places = _places(change.places)
    head = varints.put(len(kind)) + kind + varints.put(len(change.places), len(pairs), form)
    return head + _squeeze(varints.pack(pairs.ravel())) + places + _squeeze(_codes(codes, len(pairs)))


def decode(content: bytes, size: int, dtype: np.dtype[Any]) -> Change:
    """Read what `encode` wrote, for a mask of ``size`` voxels of ``dtype``.

    Raises
    ------
    DamagedFileError
        The content is not an act of such a mask.
    """
    try:
        return _decode(content, size, dtype)
    except (ValueError, IndexError, OverflowError, zlib.error) as error:
        raise DamagedFileError("An act of the history cannot be read.", "It was damaged on the disk.") from error


def _decode(content: bytes, size: int, dtype: np.dtype[Any]) -> Change:
    length, at = varints.one(content, 0)
    kind = content[at : at + length].decode()
    count, at = varints.one(content, at + length)
    many, at = varints.one(content, at)
    form, at = varints.one(content, at)
    if not 1 <= many <= count <= size:
        raise ValueError("more voxels than the mask has")
    pairs, at = _unsqueeze(content, at, most=20 * many)
    places, at = _unsqueeze(content, at, most=20 * count)
    codes, at = _unsqueeze(content, at, most=4 * count + 8)
    if at != len(content):
        raise ValueError("goes on behind its end")
    values = _from_bits(varints.unpack(pairs).reshape(many, 2), dtype)[_decode_codes(codes, count, many)]
    return Change(kind, _decode_places(places, form, count, size), values[:, 0], values[:, 1])


def _pairs(old: Array, new: Array) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Each different (old, new) once, as bits, (p, 2); and which of them each voxel has, (n,)."""
    if (old == old[0]).all() and (new == new[0]).all():
        return _to_bits(np.array([[old[0], new[0]]], old.dtype)), np.zeros(len(old), np.int64)
    olds, of_old = np.unique(old, return_inverse=True)
    news, of_new = np.unique(new, return_inverse=True)
    used, codes = np.unique(of_old * len(news) + of_new, return_inverse=True)
    return _to_bits(np.stack([olds[used // len(news)], news[used % len(news)]], axis=1)), codes


def _to_bits(values: Array) -> NDArray[np.uint64]:
    return values.view(f"u{values.itemsize}").astype(np.uint64)


def _from_bits(values: NDArray[np.uint64], dtype: np.dtype[Any]) -> Array:
    if int(values.max()) >> (8 * dtype.itemsize):
        raise ValueError("a value beyond the mask's dtype")
    narrow: Array = values.astype(f"u{dtype.itemsize}")
    return narrow.view(dtype)


def _codes(codes: NDArray[np.int64], many: int) -> bytes:
    width = _width(many)
    if width < 8:
        return bits.pack(codes.astype(np.uint64), width)
    return codes.astype(f"<u{width // 8}").tobytes()


def _decode_codes(content: bytes, count: int, many: int) -> NDArray[np.int64]:
    width = _width(many)
    if width < 8:
        return bits.unpack(content, width, count).astype(np.int64)
    if len(content) != count * width // 8:
        raise ValueError("another number of values than of voxels")
    return np.frombuffer(content, f"<u{width // 8}").astype(np.int64)


def _width(many: int) -> int:
    return 0 if many == 1 else next(width for width in _WIDTHS if many <= 1 << width)


def _places(places: Indices) -> tuple[int, bytes]:
    """The shortest form, and which it is."""
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    starts, stops = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(places)]])
    lengths = stops - starts
    ends = places[starts] + lengths
    gaps = places[starts] - np.concatenate([[0], ends[:-1]])
    runs = np.stack([gaps, lengths - 1], axis=1).ravel().astype(np.uint64)
    forms = [(_RUNS, _squeeze(varints.pack(runs)))]
    if 8 * len(starts) > len(places):  # with longer runs, gaps never win
        single = (np.diff(places, prepend=-1) - 1).astype(np.uint64)
        width = int(single.max()).bit_length()
        forms.append((_GAPS, _squeeze(varints.pack(single))))
        forms.append((_BITS, _squeeze(varints.put(width) + bits.pack(single, width))))
    return min(forms, key=lambda form: len(form[1]))


def _decode_places(content: bytes, form: int, count: int, size: int) -> Indices:
    if form == _BITS:
        width, at = varints.one(content, 0)
        numbers = bits.unpack(content[at:], width, count)
    else:
        numbers = varints.unpack(content)
    if len(numbers) and int(numbers.max()) >= size:
        raise ValueError("a voxel outside the mask")
    steps = numbers.astype(np.int64)
    if form in (_GAPS, _BITS):
        places = np.cumsum(steps + 1) - 1
    elif form == _RUNS and len(steps) % 2 == 0:
        gaps, lengths = steps[0::2], steps[1::2] + 1
        if int(lengths.sum()) != count:
            raise ValueError("another number of voxels than it says")
        places = np.repeat(np.cumsum(gaps), lengths) + np.arange(count, dtype=np.int64)
    else:
        raise ValueError("an unknown way to write places")
    if len(places) != count or int(places[-1]) >= size:
        raise ValueError("a voxel outside the mask")
    return places


def _squeeze(stream: bytes) -> bytes:
    small = zlib.compress(stream, 6 if len(stream) < _LONG else 1)
    stored = small if len(small) < len(stream) else stream
    return varints.put(len(stream), len(stored)) + stored


def _unsqueeze(content: bytes, at: int, most: int) -> tuple[bytes, int]:
    raw, at = varints.one(content, at)
    stored, at = varints.one(content, at)
    stream = content[at : at + stored]
    if raw > most or len(stream) != stored:
        raise ValueError("a stream of an impossible length")
    if stored != raw:
        stream = zlib.decompressobj().decompress(stream, raw + 1)
    if len(stream) != raw:
        raise ValueError("a stream of another length than it says")
    return stream, at + stored
