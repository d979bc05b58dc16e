"""Rows of the database as `Case`, filtered and in order."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from napari_morse.io import case_stem
from napari_morse.session.project.layout import quick_digest, safe_id
from napari_morse.session.project.records import Case, Source, Status

Order = Literal["number", "name", "status", "doubt", "disagreement", "seconds"]
ORDERS: dict[Order, str] = {
    "number": "number",
    "name": "stem COLLATE NOCASE",
    "status": "status",
    "doubt": "doubt_mm",
    "disagreement": "disagreement_mm3",
    "seconds": "seconds",
}
_JOINED = "SELECT cases.*, patients.held_out FROM cases JOIN patients ON patients.name = cases.patient"


def select(
    connection: sqlite3.Connection,
    order: Order = "number",
    descending: bool = False,
    statuses: Sequence[Status] = (),
    text: str = "",
) -> list[Case]:
    """Cases in order; those without a value come last, ties by number.

    Parameters
    ----------
    order, descending
        By what.
    statuses
        Only these; empty: all.
    text
        Only cases whose name, comment, reviewer or patient holds it, whatever the case of its letters.
    """
    conditions: list[str] = []
    values: list[str] = []
    if statuses:
        conditions.append(f"status IN ({','.join('?' * len(statuses))})")
        values += list(statuses)
    if text:
        fields = ("stem", "comment", "reviewer", "patient")
        conditions.append("(" + " OR ".join(f"instr(lower({name}), lower(?))" for name in fields) + ")")
        values += [text] * len(fields)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    column, way = ORDERS[order], "DESC" if descending else "ASC"
    found = connection.execute(
        f"{_JOINED}{where} ORDER BY {column} IS NULL, {column} {way}, number",
        values,
    )
    return [case_of(row) for row in found]


def one(connection: sqlite3.Connection, case: str) -> sqlite3.Row | None:
    """The whole row of a case, or None."""
    found: sqlite3.Row | None = connection.execute(f"{_JOINED} WHERE id = ?", (case,)).fetchone()
    return found


def case_of(row: sqlite3.Row) -> Case:
    """A row as a carrier."""
    return Case(
        id=row["id"], number=row["number"], stem=row["stem"], scan=Path(row["scan"]),
        mask=Path(row["mask"]) if row["mask"] else None, truth=Path(row["truth"]) if row["truth"] else None,
        patient=row["patient"], status=row["status"], reviewer=row["reviewer"], comment=row["comment"],
        seconds=row["seconds"], held_out=bool(row["held_out"]), truth_from=row["truth_from"], model=row["model"],
        model_digest=row["model_digest"], doubt_mm=row["doubt_mm"], disagreement_mm3=row["disagreement_mm3"],
        sizes=json.loads(row["sizes"]),
    )  # fmt: skip


def insert(cursor: sqlite3.Cursor, sources: Sequence[Source], folder: Path) -> list[str]:
    """Add cases; a scan that is there already (the same path) is left out. Returns the new ids."""
    taken = {row["id"] for row in cursor.execute("SELECT id FROM cases")}
    scans = {row["scan"] for row in cursor.execute("SELECT scan FROM cases")}
    number = cursor.execute("SELECT coalesce(max(number), 0) FROM cases").fetchone()[0]
    added = []
    for source in sources:
        scan = absolute(source.scan)
        if str(scan) in scans:
            continue
        stem = case_stem(scan)
        name = safe_id(stem, taken)
        size, digest = quick_digest(scan)
        number += 1
        cursor.execute(
            "INSERT INTO cases (id, number, stem, scan, scan_relative, mask, truth, size, digest, patient, truth_from)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                name, number, stem, str(scan), relative(scan, folder), text(source.mask), text(source.truth), size,
                digest, patient_of(source), "given" if source.truth else "",
            ),
        )  # fmt: skip
        taken.add(name)
        scans.add(str(scan))
        added.append(name)
    return added


def patient_of(source: Source) -> str:
    """Whose scan it is; a case without a patient is its own."""
    return source.patient or case_stem(source.scan)


def absolute(path: Path) -> Path:
    """Without ``..``, links kept as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (`resolve` would follow links)


def text(path: Path | None) -> str | None:
    """As the database holds a path."""
    return None if path is None else str(absolute(path))


def relative(path: Path, folder: Path) -> str:
    """Seen from the project's folder; empty where there is no way (another drive)."""
    try:
        return Path(os.path.relpath(path, absolute(folder))).as_posix()
    except ValueError:
        return ""
