"""Which cases are one scan under several names, and which patients therefore stay on one side of the hold-out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from napari_morse.errors import CancelledError, InputError
from napari_morse.io.subjects import group_by_marks, older_subject
from napari_morse.io.voxels import PREFIX, same_scans, scan_digest
from napari_morse.session.project import scan_paths
from napari_morse.session.project.rows import NewCase

_OF = "voxels:"
"""Before a case's id, in the table ``state``: what its voxels are known again by."""


def read_scans(
    scans: Iterable[Path], read: Callable[[], None] = lambda: None, cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Read scans once, so that a project can be made of them, or be given them, without waiting; for any thread.

    Parameters
    ----------
    scans
        Their files; one that cannot be read is passed over, and refused where the project is made.
    read
        Called after each.
    cancelled
        Asked before each.

    Raises
    ------
    CancelledError
        ``cancelled`` said so.
    """
    for scan in scans:
        if cancelled():
            raise CancelledError
        digest_of(scan)
        read()


def digest_of(scan: Path) -> str:
    """What a scan is known again by; empty where its file holds none, or cannot be read. Slow, but once for a file."""
    with suppress(InputError):
        digest = scan_digest(scan)
        return digest if digest.startswith(PREFIX) else ""
    return ""


def unread(connection: sqlite3.Connection, folder: Path) -> dict[str, Path]:
    """Scans of cases that an older version added, where they are now, by the cases' ids; without those that are gone.

    Parameters
    ----------
    connection, folder
        Of the project.
    """
    known, unread_scans = known_digests(connection), {}
    for row in connection.execute("SELECT * FROM cases ORDER BY number").fetchall():
        if row["id"] not in known:
            with suppress(InputError):
                unread_scans[row["id"]] = scan_paths.find_scan(row, folder)
    return unread_scans


def known_digests(connection: sqlite3.Connection) -> dict[str, str]:
    """What is known of the scans of a project's cases, by the cases' ids."""
    rows = connection.execute("SELECT name, value FROM state WHERE substr(name, 1, ?) = ?", (len(_OF), _OF))
    return {row["name"].removeprefix(_OF): row["value"] for row in rows.fetchall()}


def store_digests(cursor: sqlite3.Cursor, digests: dict[str, str]) -> None:
    """Remember what scans are known again by."""
    for case, digest in digests.items():
        cursor.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (_OF + case, digest))


def linked(cursor: sqlite3.Cursor, new: Sequence[NewCase], digests: dict[str, str]) -> list[list[str]]:
    """Patients who must be on one side: a scan is there under both names.

    So must one whose label an older version cut, and whoever it took for the same patient.

    Parameters
    ----------
    cursor
        Of the project.
    new
        Cases that are not in it yet.
    digests
        What scans are known again by, of old and new cases, by their ids.

    Returns
    -------
    list
        Groups of patients; who is in the project already is in a group only by what a new case has in common with them.

    Raises
    ------
    InputError
        A new case has something in common with both sides.
    """
    sides = {row["name"]: bool(row["held_out"]) for row in cursor.execute("SELECT * FROM patients")}
    cases_of: dict[str, list[sqlite3.Row]] = {}
    for row in cursor.execute("SELECT id, scan, patient FROM cases").fetchall():
        if digests.get(row["id"]):
            cases_of.setdefault(digests[row["id"]], []).append(row)
    groups: dict[int, list[NewCase]] = {}
    # Scans without a digest have nothing in common: an empty mark would make them all one.
    marks = [{("name", case.patient), ("scan", digests[case.id] or case.id)} for case in new]
    for root, case in zip(group_by_marks(marks), new, strict=True):
        groups.setdefault(root, []).append(case)
    return [_people(group, cases_of, digests, sides) for group in groups.values()]


def _people(
    group: Sequence[NewCase], there: dict[str, list[sqlite3.Row]], digests: dict[str, str], sides: dict[str, bool]
) -> list[str]:
    """Patients of new cases that belong together, and who in the project goes with them."""
    known: dict[bool, str] = {}
    people: dict[str, None] = {}
    for case in group:
        twins = [(row["patient"], f"the scan “{Path(row['scan']).name}”") for row in there.get(digests[case.id], [])]
        named = [(name, f"the patient {name}") for name in (case.patient, older_subject(case.patient))]
        for name, what in (*twins, *named):
            if name in sides:
                known[sides[name]] = what
                people[name] = None
        people[case.patient] = None
        if len(known) > 1:
            raise InputError(
                f"“{case.scan.name}” goes with {known[True]}, which is held out, and {known[False]}, which is not.",
                "Leave it out, or say the patient of the scan that it is a copy of.",
            )
    return list(people)


def duplicate_notices(scans: dict[str, Path], digests: dict[str, str], new: Iterable[str]) -> tuple[str, ...]:
    """Sentences on scans that are there under several names, of which one is new.

    Parameters
    ----------
    scans
        Their files, by the cases' ids.
    digests
        What they are known again by.
    new
        Ids of the new cases.
    """
    fresh = {digests.get(case, "") for case in new}
    some = {case: scan for case, scan in scans.items() if digests.get(case, "") in fresh}
    sentences = same_scans(list(some.values()), [digests.get(case, "") for case in some])
    return tuple(f"{text}: either all train or all judge." for text in sentences)
