"""One edit of correction: which voxels changed, from what to what, in few bytes.

Layout (numbers as `pack_varints` writes them): length and text of the kind; voxels; pairs; how indices are written;
then three streams, pairs, indices and values, each as (raw length, stored length, content; compressed when the two
differ). Indices are sorted and flat (C order of (I, J, K)), as gaps between voxels, as gaps of so many bits each (how
many stands before them), or as runs of (gap, length), whichever is shortest. Values are an index into the pairs, in 1,
2, 4, 8, 16 or 32 bits; one pair alone takes nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_morse.errors import DamagedFileError
from napari_morse.types import Array, Roi

Numbers = NDArray[np.uint64]

_LONGEST_VARINT = 10
"""Bytes of the largest 64-bit number."""


def pack_varints(numbers: Numbers) -> bytes:
    """Write numbers one after the other: 7 bits a byte, the lowest first, the high bit on all bytes but the last."""
    lengths = sizes(numbers)
    starts = np.cumsum(lengths) - lengths
    out = np.zeros(int(lengths.sum()), np.uint8)
    for position in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > position)
        bits = (numbers[longer] >> np.uint64(7 * position)) & np.uint64(0x7F)
        out[starts[longer] + position] = bits.astype(np.uint8) | (lengths[longer] > position + 1).astype(np.uint8) << 7
    return out.tobytes()


def sizes(numbers: Numbers) -> NDArray[np.int64]:
    """Bytes that each number takes."""
    lengths = np.ones(len(numbers), np.int64)
    largest = int(numbers.max(initial=0))
    for position in range(1, _LONGEST_VARINT):
        if largest >> (7 * position) == 0:
            break
        lengths += numbers >> np.uint64(7 * position) > 0
    return lengths


def unpack_varints(content: bytes) -> Numbers:
    """Read what `pack_varints` wrote.

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
    if lengths.max(initial=0) > _LONGEST_VARINT:
        raise ValueError("a number of more than 64 bits")
    numbers = np.zeros(len(ends), np.uint64)
    for position in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > position)
        bits = (read[starts[longer] + position] & np.uint8(0x7F)).astype(np.uint64)
        numbers[longer] |= bits << np.uint64(7 * position)
    return numbers


def read_varint(content: bytes, start: int) -> tuple[int, int]:
    """The number that begins at ``start``, and where the next begins.

    Raises
    ------
    ValueError
        As `unpack_varints`.
    """
    number = 0
    for position in range(_LONGEST_VARINT):
        if start + position >= len(content):
            raise ValueError("ends inside a number")
        byte = content[start + position]
        number |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return number, start + position + 1
    raise ValueError("a number of more than 64 bits")


def varint(*numbers: int) -> bytes:
    """A few numbers, as `pack_varints`."""
    return pack_varints(np.array(numbers, np.uint64))


_NUMBERS_AT_ONCE = 1 << 16
"""Numbers taken at once, so that a bit as a byte takes little memory; a multiple of 8."""


def pack_bits(numbers: Numbers, width: int) -> bytes:
    """Write ``numbers``, each below 2^``width``."""
    return b"".join(
        _packed(numbers[at : at + _NUMBERS_AT_ONCE], width) for at in range(0, len(numbers), _NUMBERS_AT_ONCE)
    )


def _packed(numbers: Numbers, width: int) -> bytes:
    bits = (numbers[:, None] >> np.arange(width, dtype=np.uint64)).astype(np.uint8) & np.uint8(1)
    return np.packbits(bits.ravel(), bitorder="little").tobytes()


def unpack_bits(content: bytes, width: int, count: int) -> Numbers:
    """Read ``count`` numbers that `pack_bits` wrote.

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
    for at in range(0, count, _NUMBERS_AT_ONCE):
        many = min(_NUMBERS_AT_ONCE, count - at)
        bits = np.unpackbits(read[at * width // 8 :], count=many * width, bitorder="little")
        numbers[at : at + many] = _sums(bits.reshape(many, width), weights)
    return numbers


def _sums(bits: NDArray[np.uint8], weights: Numbers) -> Numbers:
    sums: Numbers = bits.astype(np.uint64) @ weights
    return sums


Indices = NDArray[np.int64]

_WIDTHS = (1, 2, 4, 8, 16, 32)
_GAPS, _RUNS, _BITS = 0, 1, 2
_FAST_FROM = 1 << 16
"""Bytes from which a stream is compressed fast rather than well: scattered voxels gain little from it."""
JOINED = "+"
"""An edit whose kind begins so belongs to the edit before it: both are undone and done again together."""
KIND_LENGTH = 64
"""Characters that the name of an edit may have."""


@dataclass(frozen=True)
class Edit:
    """What an edit was: its kind, how many voxels changed, and the box around them."""

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
    indices: Indices
    old: Array
    new: Array

    def box(self, shape: tuple[int, int, int]) -> Roi:
        """The smallest box of a mask of ``shape`` that holds every changed voxel."""
        plane = shape[1] * shape[2]
        rows = self.indices // shape[2]
        columns, slices = rows % shape[1], self.indices - rows * shape[2]
        first, last = int(self.indices[0]) // plane, int(self.indices[-1]) // plane
        return Roi(
            (first, int(columns.min()), int(slices.min())),
            (last + 1, int(columns.max()) + 1, int(slices.max()) + 1),
        )


def encode(change: Change) -> bytes:
    """The change as bytes: at most 4 a voxel, and a constant, while its pairs of old and new value are few."""
    kind = change.kind[:KIND_LENGTH].encode(errors="replace")
    pairs, codes = _pairs(change.old, change.new)
    form, indices = _encode_indices(change.indices)
    head = varint(len(kind)) + kind + varint(len(change.indices), len(pairs), form)
    return head + _squeeze(pack_varints(pairs.ravel())) + indices + _squeeze(_codes(codes, len(pairs)))


def decode(content: bytes, size: int, dtype: np.dtype[Any]) -> Change:
    """Read what `encode` wrote, for a mask of ``size`` voxels of ``dtype``.

    Raises
    ------
    DamagedFileError
        The content is not an edit of such a mask.
    """
    try:
        return _decode(content, size, dtype)
    except (ValueError, IndexError, OverflowError, zlib.error) as error:
        raise DamagedFileError("An edit of the history cannot be read.", "It was damaged on the disk.") from error


def _decode(content: bytes, size: int, dtype: np.dtype[Any]) -> Change:
    length, at = read_varint(content, 0)
    kind = content[at : at + length].decode()
    count, at = read_varint(content, at + length)
    many, at = read_varint(content, at)
    form, at = read_varint(content, at)
    if not 1 <= many <= count <= size:
        raise ValueError("more voxels than the mask has")
    # Lengths are bounded before anything is unpacked: a few damaged bytes could ask for gigabytes.
    pairs, at = _unsqueeze(content, at, most=20 * many)
    indices, at = _unsqueeze(content, at, most=20 * count)
    codes, at = _unsqueeze(content, at, most=4 * count + 8)
    if at != len(content):
        raise ValueError("goes on behind its end")
    values = _from_bits(unpack_varints(pairs).reshape(many, 2), dtype)[_decode_codes(codes, count, many)]
    return Change(kind, _decode_indices(indices, form, count, size), values[:, 0], values[:, 1])


def _pairs(old: Array, new: Array) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Each different (old, new) once, as bits, (p, 2); and which of them each voxel has, (n,)."""
    if (old == old[0]).all() and (new == new[0]).all():
        return _to_bits(np.array([[old[0], new[0]]], old.dtype)), np.zeros(len(old), np.int64)
    olds, of_old = np.unique(old, return_inverse=True)
    news, of_new = np.unique(new, return_inverse=True)
    used, codes = np.unique(of_old * len(news) + of_new, return_inverse=True)
    return _to_bits(np.stack([olds[used // len(news)], news[used % len(news)]], axis=1)), codes


def _to_bits(values: Array) -> NDArray[np.uint64]:
    # By their bits, not by value: a negative label of a signed mask would become a number that no dtype takes back.
    return values.view(f"u{values.itemsize}").astype(np.uint64)


def _from_bits(values: NDArray[np.uint64], dtype: np.dtype[Any]) -> Array:
    if int(values.max()) >> (8 * dtype.itemsize):
        raise ValueError("a value beyond the mask's dtype")
    narrow: Array = values.astype(f"u{dtype.itemsize}")
    return narrow.view(dtype)


def _codes(codes: NDArray[np.int64], many: int) -> bytes:
    width = _width(many)
    if width < 8:
        return pack_bits(codes.astype(np.uint64), width)
    return codes.astype(f"<u{width // 8}").tobytes()


def _decode_codes(content: bytes, count: int, many: int) -> NDArray[np.int64]:
    width = _width(many)
    if width < 8:
        return unpack_bits(content, width, count).astype(np.int64)
    if len(content) != count * width // 8:
        raise ValueError("another number of values than of voxels")
    return np.frombuffer(content, f"<u{width // 8}").astype(np.int64)


def _width(many: int) -> int:
    return 0 if many == 1 else next(width for width in _WIDTHS if many <= 1 << width)


def _encode_indices(indices: Indices) -> tuple[int, bytes]:
    """The shortest form, and which it is."""
    breaks = np.flatnonzero(np.diff(indices) > 1) + 1
    starts, stops = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(indices)]])
    lengths = stops - starts
    ends = indices[starts] + lengths
    gaps = indices[starts] - np.concatenate([[0], ends[:-1]])
    runs = np.stack([gaps, lengths - 1], axis=1).ravel().astype(np.uint64)
    forms = [(_RUNS, _squeeze(pack_varints(runs)))]
    if 8 * len(starts) > len(indices):  # with longer runs, gaps never win
        single = (np.diff(indices, prepend=-1) - 1).astype(np.uint64)
        width = int(single.max()).bit_length()
        forms.append((_GAPS, _squeeze(pack_varints(single))))
        forms.append((_BITS, _squeeze(varint(width) + pack_bits(single, width))))
    return min(forms, key=lambda form: len(form[1]))


def _decode_indices(content: bytes, form: int, count: int, size: int) -> Indices:
    if form == _BITS:
        width, at = read_varint(content, 0)
        numbers = unpack_bits(content[at:], width, count)
    else:
        numbers = unpack_varints(content)
    # Before the cast: damaged numbers of 64 bits would wrap round, and their sums might land inside again.
    if len(numbers) and int(numbers.max()) >= size:
        raise ValueError("a voxel outside the mask")
    steps = numbers.astype(np.int64)
    if form in (_GAPS, _BITS):
        indices = np.cumsum(steps + 1) - 1
    elif form == _RUNS and len(steps) % 2 == 0:
        gaps, lengths = steps[0::2], steps[1::2] + 1
        if int(lengths.sum()) != count:
            raise ValueError("another number of voxels than it says")
        indices = np.repeat(np.cumsum(gaps), lengths) + np.arange(count, dtype=np.int64)
    else:
        raise ValueError("an unknown way to write places")
    if len(indices) != count or int(indices[-1]) >= size:
        raise ValueError("a voxel outside the mask")
    return indices


def _squeeze(stream: bytes) -> bytes:
    small = zlib.compress(stream, 6 if len(stream) < _FAST_FROM else 1)
    # Shorter, never as long: by these two lengths reading tells whether a stream is compressed.
    stored = small if len(small) < len(stream) else stream
    return varint(len(stream), len(stored)) + stored


def _unsqueeze(content: bytes, at: int, most: int) -> tuple[bytes, int]:
    raw, at = read_varint(content, at)
    stored, at = read_varint(content, at)
    stream = content[at : at + stored]
    if raw > most or len(stream) != stored:
        raise ValueError("a stream of an impossible length")
    if stored != raw:
        # One byte more than it says: a stream that goes on is noticed, and never unfolded as a whole.
        stream = zlib.decompressobj().decompress(stream, raw + 1)
    if len(stream) != raw:
        raise ValueError("a stream of another length than it says")
    return stream, at + stored
