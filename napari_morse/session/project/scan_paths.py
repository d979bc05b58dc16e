"""Scans whose folder was moved: found again by their way from the project, or under a new root; never another file."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Literal

from napari_morse.errors import InputError
from napari_morse.session.project.layout import is_file, quick_digest
from napari_morse.session.project.rows import absolute, relative


class ScanMissingError(InputError):
    """A file of a case is not where it was."""


class ScanChangedError(InputError):
    """The file of a case's name is not the one that was reviewed."""


def find_scan(row: sqlite3.Row, folder: Path) -> Path:
    """Where a case's scan is now.

    Parameters
    ----------
    row
        Of the case.
    folder
        Of the project: a project that was moved with its scans finds them by the way that led from one to the other.

    Raises
    ------
    ScanMissingError
        In neither place.
    ScanChangedError
        A file of that name is there, but it is another one.
    """
    places = [Path(row["scan"])]
    if row["scan_relative"]:
        places.append(absolute(folder / row["scan_relative"]))
    return _first(places, row["digest"])


def companion(row: sqlite3.Row, kind: Literal["mask", "truth"], folder: Path) -> Path | None:
    """Where a case's mask or truth is now: where it was, or as far from the scan as it was; None when it has none.

    Raises
    ------
    ScanMissingError, ScanChangedError
        As `find_scan`.
    """
    if not row[kind]:
        return None
    places = [Path(row[kind])]
    way = relative(places[0], Path(row["scan"]).parent)
    try:
        scan = find_scan(row, folder)
    except InputError:
        return _first(places, row[f"{kind}_digest"])
    return _first([*places, absolute(scan.parent / way)], row[f"{kind}_digest"])


def under(row: sqlite3.Row, old: Path, new: Path, folder: Path) -> dict[str, str]:
    """What a case's row says when its files lie below ``new`` as they lay below ``old``; empty when they do not."""
    scan = _moved(Path(row["scan"]), row["digest"], old, new)
    if scan is None:
        return {}
    columns = {"scan": str(scan), "scan_relative": relative(scan, folder)}
    for kind in ("mask", "truth"):
        moved = _moved(Path(row[kind]), row[f"{kind}_digest"], old, new) if row[kind] else None
        if moved is not None:
            columns[kind] = str(moved)
    return columns


def _moved(was: Path, digest: str, old: Path, new: Path) -> Path | None:
    if not was.is_relative_to(old):
        return None
    path = new / was.relative_to(old)
    return path if is_file(path) and _same(path, digest) else None


def _first(places: list[Path], digest: str) -> Path:
    existing = [path for path in dict.fromkeys(places) if is_file(path)]
    if not existing:
        raise ScanMissingError(
            f"“{places[0].name}” is no longer in {places[0].parent}.",
            "Say where the scans are now (Find scans), or bring them back.",
        )
    for path in existing:
        if _same(path, digest):
            return path
    raise ScanChangedError(
        f"“{existing[0].name}” is not the file that was in the project: its size or content differs.",
        "Bring the original back, or add the new file as a case of its own.",
    )


def _same(path: Path, digest: str) -> bool:
    """Whether a file is the one of a digest; projects of older versions kept none of masks."""
    return not digest or (os.access(path, os.R_OK) and quick_digest(path)[1] == digest)
