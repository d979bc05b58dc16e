"""Scans whose folder was moved: found again by their way from the project, or under a new root; never another file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.session.project.layout import quick_digest
from napari_morse.session.project.rows import absolute


class ScanMissingError(InputError):
    """A case's scan is not where it was."""


class ScanChangedError(InputError):
    """The file of a case's name is not the scan that was reviewed."""


def find(row: sqlite3.Row, folder: Path) -> Path:
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
    there = [place for place in dict.fromkeys(places) if place.is_file()]
    if not there:
        raise ScanMissingError(
            f"The scan “{Path(row['scan']).name}” is no longer in {Path(row['scan']).parent}.",
            "Say where the scans are now (Find scans), or bring them back.",
        )
    for place in there:
        if quick_digest(place) == (row["size"], row["digest"]):
            return place
    raise ScanChangedError(
        f"“{there[0].name}” is not the file that was in the project: its size or content differs.",
        "Bring the original back, or add the new file as a case of its own.",
    )


def under(row: sqlite3.Row, old: Path, new: Path) -> Path | None:
    """The same file below ``new`` as was below ``old``, when it is there and is the same; else None."""
    was = Path(row["scan"])
    if not was.is_relative_to(old):
        return None
    place = new / was.relative_to(old)
    same = place.is_file() and quick_digest(place) == (row["size"], row["digest"])
    return place if same else None
