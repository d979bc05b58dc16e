"""By what a scan is known again under another name, in another file, on another grid: its voxels, in any order of axes.

What depends on the order of the voxels (corrections, kept predictions) goes by `mask_store.pixel_digest` instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_morse.errors import InputError, MorseError, SeriesError
from napari_morse.io import open_scan
from napari_morse.io.channels import channel_files, open_case
from napari_morse.types import Array

PREFIX: Final = "voxels-1:"
"""Of a digest by voxels; those by files, which older versions kept, have none."""
_HASHED_AT_ONCE = 1 << 16
"""Voxels at a time: what is worked out of them stays in the processor's cache."""
_ROUNDED = 0.1
"""Integers that were saved with a slope come back within this distance of themselves."""
_RANGE = 16.0
"""Smallest range of such integers: a narrower one may be that of fractions."""

_ODD = (MorseError, OSError, ValueError, TypeError, ArithmeticError, LookupError)
"""What a file that is no scan may end in."""

_known: dict[tuple[object, ...], str] = {}
"""Digests of files that were read, by path, size and time."""


def voxel_digest(data: Array) -> str:
    """What the voxels of a scan are known again by; empty for an image without contrast, which is nobody's.

    Order and direction of the axes, dtype, byte order and geometry do not count, nor that integers were saved with a
    slope. Other intensities, a crop or another spacing make another scan.

    Parameters
    ----------
    data
        (I, J, K) real numbers, finite or not; compared as float32.
    """
    rounded = _almost_integers(data)
    profiles = [np.zeros(n, np.uint64) for n in data.shape]
    first: np.uint32 | None = None
    flat = True
    for box in _blocks(data.shape):
        bits = _bits(data[box], rounded)
        first = bits.flat[0] if first is None else first
        flat = flat and bool((bits == first).all())
        mixed = _mixed(bits)
        for axis, profile in enumerate(profiles):
            others = tuple(a for a in range(data.ndim) if a != axis)
            profile[box[axis]] += mixed.sum(axis=others, dtype=np.uint64)
    if flat:
        return ""
    # Sums over planes know no order within the plane; each axis is taken from its smaller end.
    ways = sorted(min(p.tolist(), p[::-1].tolist()) for p in profiles)
    # The prefix is on disk in projects and model cards: another way of counting needs another prefix, not this one.
    text = "|".join(",".join(map(str, (len(way), *way))) for way in ways)
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()


def scan_digest(path: Path, channels: int = 1) -> str:
    """What a scan's file is known again by; slow, for any thread. Read once, as long as the file stays as it is.

    Parameters
    ----------
    path
        Of several channels, the first file; their order does not count. Of a series the first frame counts.
    channels
        How many images a model reads per case.

    Returns
    -------
    str
        `voxel_digest`; of a file that is no scan, or has no contrast, `file_digest`.

    Raises
    ------
    InputError
        The file cannot be read at all, or a channel is missing.
    """
    key = (channels, *(_stamp(file) for file in channel_files(path, channels)))
    if key not in _known:
        _known[key] = _digest(path, channels)
    return _known[key]


def file_digest(path: Path, channels: int = 1) -> str:
    """Sha256 of a case's files one after the other: how older versions knew a scan again.

    Raises
    ------
    InputError
        One cannot be read, or a channel is missing.
    """
    digest = hashlib.sha256()
    for file in channel_files(path, channels):
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise InputError(f"The scan {file} can't be read: {error.strerror}.", "Bring it back.") from error
    return digest.hexdigest()


def same_scans(scans: Sequence[Path], digests: Sequence[str], shown: int = 3) -> list[str]:
    """Sentences, without a full stop, on scans that are there under several names: the first few, and how many more.

    Parameters
    ----------
    scans
        Their files.
    digests
        What each is known again by; empty: by nothing.
    shown
        How many are named.
    """
    by_digest: dict[str, list[Path]] = {}
    for scan, digest in zip(scans, digests, strict=True):
        if digest:
            by_digest.setdefault(digest, []).append(scan)
    copies = [each for each in by_digest.values() if len(each) > 1]
    sentences = [f"{listed(each)} are the same scan under {_number(len(each))} names" for each in copies[:shown]]
    more = [f"{len(copies) - shown} more scans are there under several names"] if len(copies) > shown else []
    return [*sentences, *more]


def listed(scans: Sequence[Path]) -> str:
    """Two or more files by name, with as much of their folders as tells them apart."""
    depth = next((n for n in range(1, 5) if len({scan.parts[-n:] for scan in scans}) == len(scans)), 5)
    quoted = [f"“{'/'.join(scan.parts[-depth:])}”" for scan in scans]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _number(count: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five"}.get(count, str(count))


def _digest(path: Path, channels: int) -> str:
    try:
        digests = sorted(voxel_digest(data) for data in _channels(path, channels))
    except _ODD:  # what is wrong with a scan is said where it is used; here its bytes are enough
        return file_digest(path, channels)
    if not all(digests):
        return file_digest(path, channels)
    return digests[0] if len(digests) == 1 else PREFIX + hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _channels(path: Path, channels: int) -> tuple[Array, ...]:
    if channels > 1:
        return open_case(path, channels).channels
    try:
        return (open_scan(path).data,)
    except SeriesError:
        return (open_scan(path, frame=0).data,)


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        seen = path.stat()
    except OSError as error:
        raise InputError(f"The scan {path} can't be read: {error.strerror}.", "Bring it back.") from error
    # With the inode: a file moved over another one in one step may have its size and its time.
    return (str(path.resolve()), seen.st_size, seen.st_mtime_ns, seen.st_ino)


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Boxes of about `_HASHED_AT_ONCE` voxels, cut across the last axis, and the one before where a plane is larger."""
    plane = int(np.prod(shape[:-1]))
    if plane <= _HASHED_AT_ONCE:
        step = max(1, _HASHED_AT_ONCE // max(plane, 1))
        for start in range(0, shape[-1], step):
            yield (*(slice(None) for _ in shape[:-1]), slice(start, start + step))
        return
    for last in range(shape[-1]):
        for box in _blocks(shape[:-1]):
            yield (*box, slice(last, last + 1))


def _almost_integers(data: Array) -> bool:
    """Whether floats are integers that a slope has moved a little."""
    if data.dtype.kind != "f":
        return False
    low, high = np.inf, -np.inf
    for box in _blocks(data.shape):
        block = data[box][np.isfinite(data[box])]
        if not block.size:
            continue
        if np.abs(block - np.rint(block)).max() > _ROUNDED:
            return False
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    return high - low >= _RANGE


def _bits(block: Array, rounded: bool) -> NDArray[np.uint32]:
    """Values as float32 bit by bit; one zero, one NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = block.astype(np.float32)
    if rounded:
        np.rint(values, out=values)
    values += np.float32(0)  # −0 becomes 0: equal numbers must have equal bits
    bits = values.view(np.uint32)
    if block.dtype.kind == "f":
        bits[np.isnan(values)] = 0x7FC00000
    return bits


def _mixed(bits: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Numbers whose sums (modulo 2⁶⁴) tell what was summed, in whatever order."""
    # Without mixing, sums of the bits would take 1 + 3 for 2 + 2; the steps are those of splitmix64.
    mixed = bits.astype(np.uint64)
    mixed += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed
