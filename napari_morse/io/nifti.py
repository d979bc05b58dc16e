"""NIfTI in and out: voxels and geometry as the file has them, or a typed error; never a guess in silence."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from nibabel.nifti1 import Nifti1Header

from napari_morse.errors import InputError, SeriesError
from napari_morse.io import guards, nifti_header
from napari_morse.io.atomic import atomic_path
from napari_morse.io.labels import as_labels, mask_notice
from napari_morse.io.sniff import Kind, Sniffed
from napari_morse.types import Array, Grid, Mask, Scan

_CONVERTED_AT_ONCE = 1 << 20
"""Voxels converted at a time, so that no second copy of the volume is made."""
_EXACT = 1 << 24
"""float32 holds every integer up to here."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Stored:
    """One 3-D frame as the file stores it: ``data`` (I, J, K) in native byte order, before its intensity scale."""

    header: Nifti1Header
    data: Array
    slope: float
    """NaN where the header gives none that can be used; ``inter`` is 0 then."""
    inter: float
    grid: Grid
    orientation_known: bool
    frame: int | None
    notices: tuple[str, ...]

    @property
    def plain(self) -> bool:
        """Whether the header says that the stored numbers are the intensities."""
        return self.slope == 1.0 and self.inter == 0.0


def read_scan(path: Path, sniffed: Sniffed, stem: str, frame: int | None = None) -> Scan:
    """Open a NIfTI file: integers stay integers where the header scales by 1, all else becomes float32.

    Raises
    ------
    InputError
        Also `DamagedFileError` and `GeometryError`; a 4-D series without ``frame``; no finite voxel.
    MemoryBudgetError
        The image is above the budget.
    """
    stored = _read(path, sniffed, frame)
    data, notices = _intensities(stored)
    notices += _unfinite(data, path.name) + mask_notice(data, path.name)
    return Scan(
        data=data,
        grid=stored.grid,
        stem=stem,
        source=path,
        header=stored.header,
        orientation_known=stored.orientation_known,
        size_known=stored.orientation_known or any(step != 1.0 for step in stored.grid.spacing),
        frame=stored.frame,
        notices=stored.notices + notices,
    )


def read_mask(path: Path, sniffed: Sniffed) -> Mask:
    """Open a NIfTI file of label ids; fractions and negative values are refused."""
    stored = _read(path, sniffed, None)
    data = stored.data
    if np.isfinite(stored.slope) and not stored.plain:
        with np.errstate(all="ignore"):
            # Unlike a scan's, in float64 to the end: float32 holds no odd label above 16 777 216.
            data = data.astype(np.float64) * stored.slope + stored.inter
    return Mask(as_labels(data, f"“{path.name}”"), stored.grid, header=stored.header)


def _read(path: Path, sniffed: Sniffed, frame: int | None) -> Stored:
    length = 348 if sniffed.kind is Kind.NIFTI1 else 540
    with guards.open_stream(path, sniffed.gzipped, length) as stream:
        header = nifti_header.parse(stream.take(length).tobytes(), path.name)
    layout = nifti_header.layout(header, path.name)
    grid, known, odd = nifti_header.grid_of_header(header, layout.shape, path.name)
    guards.check_length(layout.declared, sniffed.size, sniffed.gzipped, path.name)
    chosen = choose_frame(frame, layout.frames, path.name)
    widened = 0 if layout.slope == 1 and layout.inter == 0 else layout.frame_bytes // layout.dtype.itemsize * 4
    guards.check_budget(layout.frame_bytes + widened, path.name)
    with guards.open_stream(path, sniffed.gzipped, layout.declared) as stream:
        stream.skip(layout.offset + (chosen or 0) * layout.frame_bytes)
        raw = stream.take(layout.frame_bytes)
        # To the end even where one frame is wanted: only there stands the checksum that says whether it is whole.
        stream.skip(layout.declared - stream.position)
        stream.finish()
    data = raw.view(layout.dtype).reshape(layout.shape, order="F")  # NIfTI's first axis is the fastest
    if not layout.dtype.isnative:
        data = data.byteswap(inplace=True).view(layout.dtype.newbyteorder("="))
    return Stored(header, data, layout.slope, layout.inter, grid, known, chosen, layout.notices + odd)


def choose_frame(frame: int | None, frames: int, name: str) -> int | None:
    """The frame to read of ``frames``, None where there is but one; a series must be told which.

    Raises
    ------
    InputError
        A series and no frame, or a frame that the file does not have.
    """
    if frames == 1 and frame in (None, 0):
        return None
    if frame is None:
        raise SeriesError(
            f"“{name}” is a series of {frames} frames.",
            f"Choose one: frame=0 to {frames - 1} (--frame on the command line).",
            frames,
        )
    if not 0 <= frame < frames:
        raise InputError(f"“{name}” has no frame {frame}.", f"It has {frames}: give 0 to {frames - 1}.")
    return frame


def _intensities(stored: Stored) -> tuple[Array, tuple[str, ...]]:
    data = stored.data
    if data.dtype.kind in "iu" and stored.plain:
        # As Python's integers: in int32, −(−2³¹) is −2³¹.
        if data.dtype.itemsize < 4 or max(-int(data.min()), int(data.max())) <= _EXACT:
            return data, ()
        big = "Intensities above 16777216 were rounded to 7 digits (float32)."
        return data.astype(np.float32), (big,)
    if data.dtype == np.float32 and (stored.plain or np.isnan(stored.slope)):
        return data, ()
    slope = 1.0 if np.isnan(stored.slope) else stored.slope
    scaled = np.empty(data.shape, np.float32, order="F")
    clipped = 0
    for source, target in zip(_flat(data), _flat(scaled), strict=True):
        clipped += _scale_into(source, target, slope, stored.inter)
    if not clipped:
        return scaled, ()
    return scaled, (f"{clipped} voxels beyond the range of float32 were set to its end.",)


def _flat(volume: Array) -> Iterator[Array]:
    """Views on at most `_CONVERTED_AT_ONCE` voxels of an F-ordered volume, together all of it."""
    # Only in the volume's own order is this a view; any other makes a copy, and what is written into it is lost.
    line = volume.reshape(-1, order="F")
    for start in range(0, line.size, _CONVERTED_AT_ONCE):
        yield line[start : start + _CONVERTED_AT_ONCE]


def _scale_into(source: Array, target: Array, slope: float, inter: float) -> int:
    """Write source × slope + inter into ``target`` (float32); returns how many finite voxels had to be clipped."""
    with np.errstate(all="ignore"):
        # In float64: large stored integers times a slope lose their last digits in float32 before they are added to.
        value = source.astype(np.float64) * slope + inter
        over = np.isfinite(source) & ~(np.abs(value) <= _LARGEST)
        value[over] = np.copysign(_LARGEST, value[over])
        target[:] = value
    return int(over.sum())


def _unfinite(data: Array, name: str) -> tuple[str, ...]:
    if data.dtype.kind != "f":
        return ()
    count = data.size - sum(int(np.isfinite(part).sum()) for part in _flat(data))
    if count == data.size:
        raise InputError(f"“{name}” holds no finite voxel: there is nothing to see.", "Export the image again.")
    return (f"{count} of {data.size} voxels are not finite (NaN or infinite).",) if count else ()


def write_mask(mask: Mask, path: Path) -> None:
    """Write label ids on the mask's grid, in the smallest unsigned dtype, unscaled; codes, units as ``mask.header``."""
    _write(as_labels(mask.data), mask.grid, mask.header, path)


def write_nifti(data: Array, grid: Grid, path: Path, header: Any = None) -> None:
    """Write an image on ``grid``, unscaled: floats as float32, integers as they are; codes and units of ``header``.

    Raises
    ------
    InputError
        The pixels are not real numbers.
    """
    if data.dtype.kind not in "buif":
        raise InputError(f"An image of {data.dtype} cannot be written.", "Convert it to real numbers first.")
    kinds: dict[str, np.dtype[Any]] = {"b": np.dtype(np.uint8), "f": np.dtype(np.float32)}
    kind = kinds.get(data.dtype.kind, data.dtype.newbyteorder("="))
    _write(data.astype(kind, copy=False), grid, header, path)


def _write(data: Array, grid: Grid, like: Any, path: Path) -> None:
    header = nifti_header.header_for(data.dtype, grid, like)
    if isinstance(like, Nifti1Header) and int(like["dim"][0]) == 2 and data.shape[2] == 1:
        # A 2-D file's mask is 2-D, too, not a volume of one slice.
        header.set_data_shape(data.shape[:2])
    with atomic_path(path) as part, part.open("wb") as raw:
        if path.name.lower().endswith(".gz"):
            # no name and no time in the gzip header: the same mask gives the same bytes
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as zipped:
                _write_to(zipped, header, data)
        else:
            _write_to(raw, header, data)


def _write_to(file: IO[bytes] | gzip.GzipFile, header: Nifti1Header, data: Array) -> None:
    header.write_to(file)
    for k in range(data.shape[2]):
        # Slice by slice: in one go there would be a second copy of the whole volume.
        file.write(data[:, :, k].tobytes(order="F"))
