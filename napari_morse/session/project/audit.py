"""Who did what and when: rows that are only ever added, each bound to the one before it by a digest."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AuditEntry:
    """One row.

    ``number`` counts from 1 without a gap, ``at`` is UTC in ISO form, ``case`` is empty for the project's own acts.
    """

    number: int
    at: str
    reader: str
    case: str
    act: str
    details: Mapping[str, Any]


def append(cursor: sqlite3.Cursor, reader: str, case: str, act: str, details: Mapping[str, Any]) -> None:
    """Add a row, within the transaction of what it tells."""
    last = cursor.execute("SELECT number, chain FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    number, before = (last["number"] + 1, last["chain"]) if last else (1, "")
    at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    text = json.dumps(details, sort_keys=True, ensure_ascii=False)
    row = (number, at, reader, case, act, text)
    cursor.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _chain(before, row)))


def audit_entries(connection: sqlite3.Connection, case: str | None = None) -> list[AuditEntry]:
    """All rows, or those of one case, oldest first."""
    where, values = ("", ()) if case is None else ("WHERE case_id = ?", (case,))
    rows = connection.execute(f"SELECT * FROM audit {where} ORDER BY number", values)  # noqa: S608 (a constant)
    return [
        AuditEntry(r["number"], r["at"], r["reader"], r["case_id"], r["act"], json.loads(r["details"])) for r in rows
    ]


def last_move(audit_entries: Sequence[AuditEntry]) -> AuditEntry | None:
    """The last move of a case that was not taken back, of its rows oldest first; None when none is left."""
    undone = {int(entry.details["of"]) for entry in audit_entries if entry.act == "undo status"}
    moves = [entry for entry in audit_entries if entry.act == "status" and entry.number not in undone]
    return moves[-1] if moves else None


def predicted_since_decision(audit_entries: Sequence[AuditEntry]) -> bool:
    """Whether a case, of its rows, was accepted or rejected by a person, and predicted only after that."""
    move = last_move(audit_entries)
    if move is None or move.details["after"] not in ("accepted", "rejected"):
        return False
    predictions = [entry.number for entry in audit_entries if entry.act == "prediction"]
    return bool(predictions) and min(predictions) > move.number


def chosen_reader(audit_entries: Sequence[AuditEntry]) -> str:
    """Whose mask the last adjudication chose, of a case's rows; empty when it was taken back, or work went on."""
    move = last_move(audit_entries)
    # Choice and move are one transaction: only the row right before the move is its choice.
    before = [entry for entry in audit_entries if move is not None and entry.number == move.number - 1]
    return str(before[0].details["chosen"]) if before and before[0].act == "adjudicate" else ""


def verify(connection: sqlite3.Connection) -> str:
    """What is wrong with the trail, in one sentence; empty when nothing is.

    Finds rows that were changed, removed or put in between by something else than this program. The end of the trail
    can be cut off without a trace: keep an exported report elsewhere where that matters.
    """
    before, expected = "", 1
    for row in connection.execute("SELECT * FROM audit ORDER BY number"):
        if row["number"] != expected:
            return f"Row {expected} of the audit trail is missing."
        values = tuple(row[name] for name in ("number", "at", "reader", "case_id", "act", "details"))
        if row["chain"] != _chain(before, values):
            return f"Row {expected} of the audit trail was changed."
        before, expected = row["chain"], expected + 1
    return ""


def _chain(before: str, row: tuple[Any, ...]) -> str:
    return hashlib.sha256(json.dumps([before, *row], ensure_ascii=False).encode()).hexdigest()
