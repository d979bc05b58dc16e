"""Second readers: blind until they are done, compared, and judged by a third."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_morse.errors import GeometryError, InputError
from napari_morse.metrics import score
from napari_morse.session.project.records import Agreement, Case, SecondReading
from napari_morse.types import Array


def agreement(first: Array, second: Array, spacing: Sequence[float]) -> Agreement:
    """How far two masks agree: means over the structures that either holds.

    Parameters
    ----------
    first, second
        (I, J, K) label ids on one grid.
    spacing
        mm per voxel.

    Raises
    ------
    GeometryError
        The masks have different shapes.
    """
    if first.shape != second.shape:
        raise GeometryError(f"Masks of shapes {first.shape} and {second.shape} cannot be compared.", "Use one scan.")
    ids = sorted({int(i) for mask in (first, second) for i in np.unique(mask)} - {0})
    rows = score(first, second, tuple(spacing), tuple(ids), merged=False)
    if not rows:
        return Agreement(1.0, 0.0, 0.0)
    return Agreement(_mean([r.dice for r in rows]) or 0.0, _mean([r.asd for r in rows]), _mean([r.hd95 for r in rows]))


def _mean(values: Sequence[float | None]) -> float | None:
    """None where any is missing: a structure that one reader left out is not averaged away."""
    if any(value is None for value in values):
        return None
    return float(np.mean([value for value in values if value is not None]))


def assign_reader(cursor: sqlite3.Cursor, case: str, reader: str, first: str) -> None:
    """Ask a reader for a second reading.

    Raises
    ------
    InputError
        The reader read it first, or was asked before.
    """
    if reader.casefold() == first.casefold():
        raise InputError(f"{reader} read this case first.", "Ask somebody else.")
    asked = cursor.execute("SELECT reader FROM readings WHERE case_id = ?", (case,))
    # An adjudication calls the first reader “first”: nobody else may be called so.
    if reader.casefold() in ("first", *(row["reader"].casefold() for row in asked)):
        raise InputError(f"{reader} was asked to read this case already.", "Ask somebody else, or wait.")
    cursor.execute("INSERT INTO readings (case_id, reader) VALUES (?, ?)", (case, reader))


def submit(
    cursor: sqlite3.Cursor, case: str, reader: str, verdict: str, comment: str, compared: Agreement | None
) -> None:
    """Keep what a reader said; it is not changed afterwards.

    Raises
    ------
    InputError
        The reader was not asked, or is done.
    """
    row = cursor.execute(
        "SELECT submitted FROM readings WHERE case_id = ? AND fold(reader) = fold(?)", (case, reader)
    ).fetchone()
    if row is None:
        raise InputError(f"{reader} was not asked to read this case.", "Ask for a second reading first.")
    if row["submitted"]:
        raise InputError(f"{reader} has read this case already.", "Ask another reader.")
    values = (compared.dice, compared.asd_mm, compared.hd95_mm) if compared else (None, None, None)
    cursor.execute(
        "UPDATE readings SET submitted = 1, verdict = ?, comment = ?, dice = ?, asd_mm = ?, hd95_mm = ?"
        " WHERE case_id = ? AND fold(reader) = fold(?)",
        (verdict, comment, *values, case, reader),
    )


def of_case(connection: sqlite3.Connection, case: str) -> list[SecondReading]:
    """All readings of a case; of one that is not submitted nothing but who was asked."""
    rows = connection.execute("SELECT * FROM readings WHERE case_id = ? ORDER BY rowid", (case,))
    return [_reading(row) for row in rows]


def is_open(connection: sqlite3.Connection, case: str, reader: str) -> bool:
    """Whether a reader was asked to read a case and is not done."""
    rows = connection.execute(
        "SELECT 1 FROM readings WHERE case_id = ? AND fold(reader) = fold(?) AND submitted = 0", (case, reader)
    )
    return rows.fetchone() is not None


def blinded(case: Case) -> Case:
    """A case as a second reader sees it before being done: nothing that a person or a model said."""
    return replace(
        case, status="second_reader", reviewer="", comment="", seconds=0.0, mask=None, truth=None, truth_from="",
        model="", model_digest="", doubt_mm=None, disagreement_mm3=None, sizes={},
    )  # fmt: skip


def open_for(connection: sqlite3.Connection, reader: str) -> list[str]:
    """Ids of the cases that a reader was asked to read and has not."""
    rows = connection.execute(
        "SELECT case_id FROM readings JOIN cases ON cases.id = case_id"
        " WHERE fold(reader) = fold(?) AND submitted = 0 ORDER BY cases.number",
        (reader,),
    )
    return [row["case_id"] for row in rows]


def _reading(row: sqlite3.Row) -> SecondReading:
    if not row["submitted"]:
        return SecondReading(row["case_id"], row["reader"], False)
    compared = None if row["dice"] is None else Agreement(row["dice"], row["asd_mm"], row["hd95_mm"])
    return SecondReading(row["case_id"], row["reader"], True, row["verdict"], row["comment"], compared)
