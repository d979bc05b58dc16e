"""Which patients are for judging only: decided once for each, by a keyed digest, whatever the order they come in."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable

PRECISION = 2**64


def is_held_out(project: str, patient: str, share: float) -> bool:
    """Whether a patient that nobody has decided on yet is held out.

    Parameters
    ----------
    project
        Id of the project: another project holds out others.
    patient
        Who.
    share
        Of the patients, 0 to 1.
    """
    digest = hashlib.blake2b(patient.encode(), key=project.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * PRECISION


def assign(cursor: sqlite3.Cursor, project: str, share: float, patients: Iterable[str]) -> None:
    """Decide on patients that are new; nobody is ever moved."""
    known = {row["name"] for row in cursor.execute("SELECT name FROM patients")}
    for patient in sorted(set(patients) - known):
        cursor.execute("INSERT INTO patients VALUES (?, ?)", (patient, int(is_held_out(project, patient, share))))


def first_assignment(cursor: sqlite3.Cursor, project: str, share: float, patients: Iterable[str]) -> None:
    """Decide when a project is made: the share is met as nearly as it can be, with at least one patient on each side.

    Patients are taken in the order of their digests, so that the choice depends on nothing that a person could steer.
    """
    ordered = sorted(set(patients), key=lambda p: hashlib.blake2b(p.encode(), key=project.encode()[:64]).digest())
    wanted = round(share * len(ordered))
    if share > 0:
        wanted = min(max(1, wanted), len(ordered) - 1)
    for place, patient in enumerate(ordered):
        cursor.execute("INSERT INTO patients VALUES (?, ?)", (patient, int(place < wanted)))
