"""Rows of the database as `Case`, filtered and in order."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Literal, get_args

from napari_morse.errors import InputError
from napari_morse.io import case_stem
from napari_morse.io.subjects import patient_key, patient_said
from napari_morse.session.project.layout import quick_digest, safe_id
from napari_morse.session.project.records import STATUSES, Case, CaseFiles, Status

Order = Literal["number", "name", "status", "doubt", "disagreement", "seconds"]
ORDERS: tuple[Order, ...] = get_args(Order)
_SORT_KEYS: dict[Order, Callable[[Case], Any]] = {
    "number": attrgetter("number"),
    "name": lambda case: case.stem.casefold(),
    "status": lambda case: STATUSES.index(case.status),
    "doubt": attrgetter("doubt_mm"),
    "disagreement": attrgetter("disagreement_mm3"),
    "seconds": attrgetter("seconds"),
}
_NOWHERE = Path()
_JOINED = "SELECT cases.*, patients.held_out FROM cases JOIN patients ON patients.name = cases.patient"


@dataclass(frozen=True)
class Arrangement:
    """In which order, and which, cases follow each other; see `arrange`."""

    order: Order = "number"
    descending: bool = False
    statuses: tuple[Status, ...] = ()
    text: str = ""


def select(connection: sqlite3.Connection, light: bool = False) -> list[Case]:
    """All cases, in the order in which they were added; ``light`` as in `case_of`."""
    return [case_of(row, light) for row in connection.execute(f"{_JOINED} ORDER BY number").fetchall()]


def arrange(
    cases: Iterable[Case],
    order: Order = "number",
    descending: bool = False,
    statuses: Sequence[Status] = (),
    text: str = "",
) -> list[Case]:
    """Cases in order; those without a value come last, ties by number.

    Parameters
    ----------
    cases
        By number.
    order, descending
        By what.
    statuses, text
        As in `passes`.

    Raises
    ------
    InputError
        There is no such order.
    """
    if order not in ORDERS:
        raise InputError(f"Cases can't be sorted by {order!r}.", f"Sort by {', '.join(ORDERS)}.")
    key = _SORT_KEYS[order]
    valued: list[tuple[Any, Case]] = []
    rest: list[tuple[Any, Case]] = []
    for case in cases:
        if passes(case, statuses, text):
            value = key(case)
            (rest if value is None else valued).append((value, case))
    # By the value alone; `reverse`, not a list turned round: so ties stay in the order of their numbers both ways.
    valued.sort(key=itemgetter(0), reverse=descending)
    return [case for _, case in (*valued, *rest)]


def passes(case: Case, statuses: Sequence[Status] = (), text: str = "") -> bool:
    """Whether a case has one of the statuses (none: any), and its name, comment, reviewer or patient holds the text."""
    if statuses and case.status not in statuses:
        return False
    searched = f"{case.stem}\n{case.comment}\n{case.reviewer}\n{case.patient}" if text else ""
    return text.casefold() in searched.casefold()


def one(connection: sqlite3.Connection, case: str) -> sqlite3.Row | None:
    """The whole row of a case, or None."""
    row: sqlite3.Row | None = connection.execute(f"{_JOINED} WHERE id = ?", (case,)).fetchone()
    return row


def case_of(row: sqlite3.Row, light: bool = False) -> Case:
    """A row as a carrier; a light one, to sort and choose by, has no paths and no sizes."""
    scan, mask, truth = (None if light or not row[name] else Path(row[name]) for name in ("scan", "mask", "truth"))
    return Case(
        id=row["id"], number=row["number"], stem=row["stem"], scan=scan or _NOWHERE, mask=mask, truth=truth,
        patient=row["patient"], status=row["status"], reviewer=row["reviewer"], comment=row["comment"],
        seconds=row["seconds"], held_out=bool(row["held_out"]), truth_from=row["truth_from"], model=row["model"],
        model_digest=row["model_digest"], doubt_mm=row["doubt_mm"], disagreement_mm3=row["disagreement_mm3"],
        sizes={} if light or row["sizes"] == "{}" else json.loads(row["sizes"]),
    )  # fmt: skip


@dataclass(frozen=True)
class NewCase:
    """A source that is not in the project yet, under the id that it will have."""

    id: str
    scan: Path
    source: CaseFiles
    patient: str
    """Whose scan it is; a case of which nobody says it is its own patient."""


def fresh(connection: sqlite3.Connection | sqlite3.Cursor, sources: Sequence[CaseFiles]) -> list[NewCase]:
    """Sources that are not there yet (by their path), with ids that no other has, and one spelling of each patient.

    Raises
    ------
    InputError
        A name is not Unicode, and could not be kept.
    """
    taken = {row["id"].casefold() for row in connection.execute("SELECT id FROM cases")}
    scans = {row["scan"] for row in connection.execute("SELECT scan FROM cases")}
    spelled = {patient_key(row["name"]): row["name"] for row in connection.execute("SELECT name FROM patients")}
    new_cases = []
    for source in sources:
        scan = absolute(source.scan)
        _check_name(scan, source)
        if str(scan) in scans:
            continue
        name = safe_id(case_stem(scan), taken)
        taken.add(name.casefold())
        scans.add(str(scan))
        patient = patient_said(source.patient) or name
        new_cases.append(NewCase(name, scan, source, spelled.setdefault(patient_key(patient), patient)))
    return new_cases


def insert(cursor: sqlite3.Cursor, cases: Sequence[NewCase], folder: Path) -> None:
    """Add cases.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    number = cursor.execute("SELECT coalesce(max(number), 0) FROM cases").fetchone()[0]
    for case in cases:
        number += 1
        size, digest = quick_digest(case.scan)
        mask, truth = case.source.mask, case.source.truth
        values = {
            "id": case.id, "number": number, "stem": case_stem(case.scan), "scan": str(case.scan),
            "scan_relative": relative(case.scan, folder), "size": size, "digest": digest, "patient": case.patient,
            "mask": text(mask), "mask_digest": _digest(mask), "truth": text(truth), "truth_digest": _digest(truth),
            "truth_from": "given" if truth else "",
        }  # fmt: skip
        names, places = ", ".join(values), ", ".join("?" * len(values))
        cursor.execute(f"INSERT INTO cases ({names}) VALUES ({places})", tuple(values.values()))  # noqa: S608 (ours)


def _digest(path: Path | None) -> str:
    return "" if path is None else quick_digest(path)[1]


def _check_name(scan: Path, source: CaseFiles) -> None:
    try:
        "\n".join(map(str, (scan, source.mask, source.truth, source.patient))).encode()
    except UnicodeEncodeError as error:
        shown = scan.name.encode(errors="replace").decode()
        raise InputError(f"The name “{shown}” is not Unicode text.", "Rename the file or its folder.") from error


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
