"""Cases of several images: ``<case>_0000``, ``<case>_0001``, … beside each other, or the frames of one 4-D file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from napari_morse.errors import GeometryError, InputError, SeriesError
from napari_morse.io import case_stem, open_scan
from napari_morse.types import Scan

_NUMBERED = re.compile(r"(.+)_(\d{4})")
IMAGE_ENDINGS = (".nii", ".nii.gz", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Of images; what lies beside them, such as a side-car, is none."""
_WAY_OUT = "Put them beside each other as {case}_0000.nii.gz to {case}_{last:04d}.nii.gz, or into one 4-D NIfTI."


def case_name(path: Path | str, channels: int = 1) -> str:
    """Name of the case that a file belongs to: `case_stem`, less the channel's number where there are several."""
    stem = case_stem(path)
    # With one channel four digits are part of a name: there, `scan_0001` and `scan_0002` are two cases.
    numbered = _NUMBERED.fullmatch(stem) if channels > 1 else None
    return numbered[1] if numbered else stem


def case_files(files: Iterable[Path], channels: int) -> list[Path]:
    """One file for each case, in the order given: of numbered files in one folder, the one with the lowest number."""
    if channels == 1:
        return list(files)
    one_name_each: dict[tuple[Path, str, bool], Path] = {}
    for path in files:
        key = (path.parent, case_name(path, channels), _is_numbered(path))
        one_name_each[key] = min(one_name_each.get(key, path), path, key=case_stem)
    return list(one_name_each.values())


def channel_files(path: Path, channels: int) -> tuple[Path, ...]:
    """The files of a case: itself, or all of its numbered ones.

    Raises
    ------
    InputError
        A number below ``channels`` is missing, or there twice.
    """
    if channels == 1 or not _is_numbered(path):
        return (path,)
    case = case_name(path, channels)
    files = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    beside = [p for p in files if not p.name.startswith(".") and p.name.lower().endswith(IMAGE_ENDINGS)]
    chosen = []
    for number in range(channels):
        stem = f"{case}_{number:04d}"
        named = [p for p in beside if case_stem(p) == stem]
        if len(named) != 1:
            what = "is missing" if not named else "is there twice"
            raise InputError(
                f"Channel {number} of the case {case!r} {what} ({stem}.nii.gz); {channels} images are read per case.",
                _WAY_OUT.format(case=case, last=channels - 1),
            )
        chosen.append(named[0])
    return tuple(chosen)


def open_case(path: Path | str, channels: int = 1, *, frame: int | None = None) -> Scan:
    """Open a scan with all of its channels.

    Parameters
    ----------
    path
        With one channel as `open_scan`; with several, one of the case's numbered files, or a 4-D NIfTI.
    channels
        How many images a model reads.
    frame
        As `open_scan` takes it; only with one channel.

    Returns
    -------
    Scan
        ``data`` is channel 0, ``others`` the rest.

    Raises
    ------
    InputError
        As `open_scan`; a channel is missing, or the file has another number of frames.
    GeometryError
        The channels do not lie on one grid.
    """
    if channels == 1:
        return open_scan(path, frame=frame)
    path = Path(path)
    if frame is not None:
        raise InputError("A frame cannot be chosen where the frames are the channels.", "Leave --frame out.")
    if _is_numbered(path):
        scans = [open_scan(file) for file in channel_files(path, channels)]
    else:
        scans = _frames(path, channels)
    case = case_name(path, channels)
    if not all(scan.grid.same_as(scans[0].grid) for scan in scans):
        raise GeometryError(
            f"The channels of the case {case!r} do not lie on one grid.", "Resample them to the grid of the first."
        )
    notices = tuple(dict.fromkeys(notice for scan in scans for notice in scan.notices))
    return replace(scans[0], stem=case, frame=None, others=tuple(s.data for s in scans[1:]), notices=notices)


def _frames(path: Path, channels: int) -> list[Scan]:
    try:
        open_scan(path)
        frames = 1
    except SeriesError as series:
        frames = series.frames
    if frames != channels:
        images = "one image" if frames == 1 else f"{frames} images"
        raise InputError(
            f"“{path.name}” holds {images}; {channels} are read per case.",
            _WAY_OUT.format(case=case_stem(path), last=channels - 1),
        )
    return [open_scan(path, frame=number) for number in range(channels)]


def _is_numbered(path: Path) -> bool:
    return _NUMBERED.fullmatch(case_stem(path)) is not None
