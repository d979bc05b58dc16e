"""Which patients are for judging only: decided once for each, by a keyed digest, whatever the order they come in."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence

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
    # Keyed by the project, not drawn: a case that is added later is decided on without knowing the others, and nobody
    # can shuffle names until the hold-out is an easy one.
    digest = hashlib.blake2b(patient.encode(), key=project.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * PRECISION


def assign_held_out(
    cursor: sqlite3.Cursor, project: str, share: float, patients: Iterable[str], together: Iterable[Sequence[str]] = ()
) -> None:
    """Decide on patients that are new; nobody is ever moved.

    Parameters
    ----------
    cursor, project, share
        Of the project.
    patients
        Who is there now.
    together
        Groups of patients who must be on one side: a new one goes to the side of who is known.
    """
    sides = {row["name"]: bool(row["held_out"]) for row in cursor.execute("SELECT * FROM patients")}
    # Sorted: the first name decides for the group, in whatever order its cases were found.
    group_of = {patient: sorted(group) for group in together for patient in group}
    for patient in sorted(set(patients) - set(sides)):
        group = group_of.get(patient, [patient])
        decided = [sides[other] for other in group if other in sides]
        sides[patient] = decided[0] if decided else is_held_out(project, group[0], share)
        cursor.execute("INSERT INTO patients VALUES (?, ?)", (patient, int(sides[patient])))


def first_assignment(
    cursor: sqlite3.Cursor, project: str, share: float, patients: Iterable[str], together: Iterable[Sequence[str]] = ()
) -> None:
    """Decide when a project is made: the share is met as nearly as it can be, with at least one patient on each side.

    Patients are taken in the order of their digests, so that the choice depends on nothing that a person could steer;
    those who must be on one side (``together``, as in `assign_held_out`) follow the first of them.
    """
    ordered = sorted(set(patients), key=lambda p: hashlib.blake2b(p.encode(), key=project.encode()[:64]).digest())
    wanted = round(share * len(ordered))
    if share > 0:
        wanted = min(max(1, wanted), len(ordered) - 1)
    held = _chosen(_grouped(ordered, together), wanted)
    for patient in ordered:
        cursor.execute("INSERT INTO patients VALUES (?, ?)", (patient, int(patient in held)))


def _grouped(ordered: Sequence[str], together: Iterable[Sequence[str]]) -> list[list[str]]:
    """Patients in order, each group at the place of its first one."""
    group_of = {patient: set(group) for group in together for patient in group}
    groups: dict[frozenset[str], list[str]] = {}
    for patient in ordered:
        groups.setdefault(frozenset(group_of.get(patient, {patient})), []).append(patient)
    return list(groups.values())


def _chosen(groups: Sequence[Sequence[str]], wanted: int) -> set[str]:
    """As many patients as are wanted, or fewer; at least one group where there are two."""
    held: set[str] = set()
    for group in groups:
        if len(held) + len(group) <= wanted:
            held.update(group)
    if wanted > 0 and not held and len(groups) > 1:
        fewest = min(len(group) for group in groups)
        held.update(next(group for group in groups if len(group) == fewest))
    return held
