"""A project: cases, where each stands, who said what; every act and its audit row are one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from psygnal import Signal

from napari_morse.errors import InputError
from napari_morse.session.project import audit, database, holdout, moved, readings, rows
from napari_morse.session.project.layout import Places, ProjectFile, load_about, make_empty, new_about, save_about
from napari_morse.session.project.lock import Lock
from napari_morse.session.project.records import (
    STATUSES,
    Agreement,
    Case,
    PredictionRecord,
    Reading,
    Source,
    Status,
    TruthFrom,
    check_move,
    short,
)


class Project:
    """An open project; make one with `create` or `open`, and close it.

    It belongs to one thread. Nothing is ever written beside the scans.

    Parameters
    ----------
    places, about, connection
        Of the project.
    reader
        Who works with it: stands in the audit beside every act.
    lock
        None when it is open for reading only.
    """

    changed: ClassVar[Signal] = Signal(tuple)
    """Ids of the cases that changed."""

    def __init__(
        self, places: Places, about: ProjectFile, connection: sqlite3.Connection, reader: str, lock: Lock | None
    ) -> None:
        self.places, self.about, self.reader = places, about, reader
        self._connection, self._lock = connection, lock

    @classmethod
    def create(
        cls, folder: Path | str, sources: Sequence[Source], *, name: str, reader: str, holdout_share: float = 0.2
    ) -> Self:
        """Make a project in a folder that is empty or not there, and fix whose scans are for judging only.

        Raises
        ------
        InputError
            There is no case, the folder holds something, or cannot be written to; nobody says who is reading.
        """
        if not sources:
            raise InputError("A project needs at least one case.", "Choose a folder that holds scans.")
        _named(reader)
        places = Places(folder)
        make_empty(places.folder)
        about = new_about(name.strip() or places.folder.stem, holdout_share, (s.scan for s in sources))
        lock = Lock.acquire(places.lock, reader)
        project = None
        try:
            project = cls(places, about, database.create(places.database), reader, lock)
            with project._act("create project", details={"cases": len(sources), "holdout": holdout_share}) as cursor:
                patients = [rows.patient_of(s) for s in sources]
                holdout.first_assignment(cursor, about.id, holdout_share, patients)
                rows.insert(cursor, sources, places.folder)
            save_about(places, about)
        except BaseException:
            _unmake(places, project)
            raise
        return project

    @classmethod
    def open(cls, folder: Path | str, *, reader: str = "", take_over: bool = False, read_only: bool = False) -> Self:
        """Open a project.

        Parameters
        ----------
        folder
            Of the project.
        reader
            Who works with it; not needed for reading only.
        take_over
            Take it from a window that is gone, or that does not answer.
        read_only
            Leave the lock alone; every change is then refused.

        Raises
        ------
        ProjectLockedError
            Another window has it open.
        InputError
            It is none, is damaged, was made by a newer version, or its folder cannot be written to.
        """
        places = Places(folder)
        about = load_about(places)
        if not read_only:
            _named(reader)
        lock = None if read_only else Lock.acquire(places.lock, reader, take_over)
        try:
            connection = database.connect(places.database, writable=lock is not None)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(places, about, connection, reader, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the project; safe to call twice."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""
        return self._lock is None

    def beat(self) -> None:
        """Give a sign of life; call it every half minute.

        Raises
        ------
        InputError
            Another window took the project over: this one may not change it any more.
        """
        if self._lock is not None and not self._lock.beat():
            self._lock = None
            raise InputError("Another window took this project over.", "Open it again to go on here.")

    # Looking

    def cases(
        self, order: rows.Order = "number", descending: bool = False, statuses: Sequence[Status] = (), text: str = ""
    ) -> list[Case]:
        """Rows of the worklist, see `rows.select`; those that the present reader is to read blind show nothing."""
        blind = set(self.to_read())
        found = rows.select(self._connection, order, descending, statuses, text)
        return [readings.blinded(case) if case.id in blind else case for case in found]

    def case(self, case: str) -> Case:
        """One case; see `cases`.

        Raises
        ------
        InputError
            There is none of that id.
        """
        found = rows.case_of(self._row(case))
        return readings.blinded(found) if case in self.to_read() else found

    def counts(self) -> dict[Status, int]:
        """How many cases stand where; every status is there."""
        found = dict(self._connection.execute("SELECT status, count(*) FROM cases GROUP BY status").fetchall())
        return {status: found.get(status, 0) for status in STATUSES}

    def scan_of(self, case: str) -> Path:
        """Where a case's scan is now; see `moved.find`."""
        return moved.find(self._row(case), self.places.folder)

    def folder_of(self, case: str, reader: str = "") -> Path:
        """The folder of a case's masks and journal, made when it is not there; of a second reader's own."""
        self._row(case)
        place = self.places.case(case, reader)
        if not self.read_only:
            place.mkdir(parents=True, exist_ok=True)
        return place

    @property
    def current(self) -> str:
        """The case that was open last; empty when none was."""
        row = self._connection.execute("SELECT value FROM state WHERE name = 'current'").fetchone()
        return row["value"] if row else ""

    @current.setter
    def current(self, case: str) -> None:
        self._row(case)
        with self._write() as cursor:
            cursor.execute("INSERT OR REPLACE INTO state VALUES ('current', ?)", (case,))

    def readings(self, case: str) -> list[Reading]:
        """Second readings; of one that is under way, only who was asked, and nothing to a reader who is not done."""
        return [] if case in self.to_read() else readings.of_case(self._connection, case)

    def to_read(self) -> list[str]:
        """Cases that the present reader was asked to read a second time."""
        return readings.open_for(self._connection, self.reader)

    def audit(self, case: str | None = None) -> list[audit.Entry]:
        """What was done, oldest first; of a case that the present reader is to read blind, nothing."""
        blind = set(self.to_read())
        return [entry for entry in audit.entries(self._connection, case) if entry.case not in blind]

    def verify(self) -> str:
        """What is wrong with the audit trail, in a sentence; empty when nothing is."""
        return audit.verify(self._connection)

    # Doing

    def add_cases(self, sources: Sequence[Source]) -> list[str]:
        """Add cases; a scan that is there already is left out. New patients are decided on, nobody is moved."""
        with self._act("add cases", details={"cases": len(sources)}) as cursor:
            patients = [rows.patient_of(s) for s in sources]
            holdout.assign(cursor, self.about.id, self.about.holdout, patients)
            added = rows.insert(cursor, sources, self.places.folder)
        self.changed.emit(tuple(added))
        return added

    def set_status(self, cases: Iterable[str], status: Status, comment: str = "") -> None:
        """Move cases to a status, all or none.

        Raises
        ------
        InputError
            One of them may not go there.
        """
        ids = tuple(dict.fromkeys(cases))
        with self._write() as cursor:
            for case in ids:
                self._move(cursor, case, check_move(self._row(case)["status"], status), comment)
        self.changed.emit(ids)

    def undo_status(self, case: str) -> Status:
        """Take a case's last move back; returns where it stands again. Moves taken back can't be taken back again.

        Raises
        ------
        InputError
            It was never moved, or all moves were taken back.
        """
        undone: list[int] = []
        for entry in reversed(self.audit(case)):
            if entry.act == "undo status":
                undone.append(int(entry.details["of"]))
            elif entry.act == "status" and entry.number not in undone:
                break
        else:
            raise InputError("No move of this case is left to take back.", "")
        before = entry.details["before"]
        details = {"of": entry.number, "before": self._row(case)["status"], "after": before["status"]}
        with self._act("undo status", case, details) as cursor:
            self._set(cursor, case, status=before["status"], reviewer=before["reviewer"], comment=before["comment"])
        self.changed.emit((case,))
        back: Status = before["status"]
        return back

    def comment(self, case: str, text: str) -> None:
        """Say something of a case; replaces what was said."""
        self._note(case, "comment", {"text": short(text)}, comment=short(text))

    def record_prediction(self, case: str, said: PredictionRecord) -> None:
        """Keep what a run said. A case that was reviewed keeps its status: its masks are a person's."""
        row = self._row(case)
        status = "predicted" if row["status"] in ("new", "predicted") else row["status"]
        details = {"model": said.model, "digest": said.digest, "before": row["status"], "after": status}
        self._note(
            case, "prediction", details, status=status, model=said.model, model_digest=said.digest,
            doubt_mm=said.doubt_mm, disagreement_mm3=said.disagreement_mm3, sizes=json.dumps(dict(said.sizes)),
        )  # fmt: skip

    def add_time(self, case: str, seconds: float) -> None:
        """Add to the time that was spent on a case."""
        total = self._row(case)["seconds"] + max(0.0, seconds)
        self._note(case, "time", {"seconds": round(max(0.0, seconds), 1)}, seconds=total)

    def set_truth_from(self, case: str, source: TruthFrom) -> None:
        """Say how a held-out case's truth came about.

        Raises
        ------
        InputError
            The case is not held out.
        """
        if not self._row(case)["held_out"]:
            raise InputError("Only cases that are held out have a truth to judge by.", "")
        self._note(case, "truth", {"from": source}, truth_from=source)

    def find_scans(self, old: Path | str, new: Path | str) -> tuple[int, int]:
        """Take scans from below another folder; returns how many were found, and how many are still missing."""
        found, missing, before, after = 0, 0, rows.absolute(Path(old)), rows.absolute(Path(new))
        with self._act("find scans", details={}) as cursor:
            for row in self._connection.execute("SELECT * FROM cases").fetchall():
                place = moved.under(row, before, after)
                if place is not None:
                    relative = rows.relative(place, self.places.folder)
                    self._set(cursor, row["id"], scan=str(place), scan_relative=relative)
                    found += 1
                elif not Path(row["scan"]).is_file():
                    missing += 1
        self.changed.emit(())
        return found, missing

    def ask_second_reader(self, case: str, reader: str) -> None:
        """Ask somebody for a blind second reading."""
        row = self._row(case)
        with self._write() as cursor:
            readings.assign(cursor, case, reader, row["reviewer"] or self.reader)
            audit.append(cursor, self.reader, case, "ask second reader", {"reader": reader})
            if row["status"] != "second_reader":
                self._move(cursor, case, check_move(row["status"], "second_reader"), row["comment"])
        self.changed.emit((case,))

    def submit_reading(self, case: str, verdict: str, comment: str = "", found: Agreement | None = None) -> None:
        """The present reader is done with a second reading."""
        with self._act("second reading", case, {"verdict": verdict, "dice": found.dice if found else None}) as cursor:
            readings.submit(cursor, case, self.reader, verdict, short(comment), found)
        self.changed.emit((case,))

    def adjudicate(self, case: str, chosen: str, reason: str) -> None:
        """Say whose mask is final, and why; the case is accepted.

        Raises
        ------
        InputError
            No reading is submitted, or the chosen one is neither the first reader's nor a submitted one.
        """
        row = self._row(case)
        done = [r.reader for r in self.readings(case) if r.submitted]
        if not done:
            raise InputError("No second reading of this case is done.", "Wait for the second reader.")
        if chosen not in (*done, "first"):
            raise InputError(f"{chosen!r} is none of the readers.", f"Choose first, or {', '.join(done)}.")
        with self._write() as cursor:
            audit.append(cursor, self.reader, case, "adjudicate", {"chosen": chosen, "reason": short(reason)})
            self._move(cursor, case, check_move(row["status"], "accepted"), short(reason))
        self.changed.emit((case,))

    # Inside

    def _row(self, case: str) -> sqlite3.Row:
        row = rows.one(self._connection, case)
        if row is None:
            raise InputError(f"The project has no case {case!r}.", "Look at the worklist.")
        return row

    def _move(self, cursor: sqlite3.Cursor, case: str, status: Status, comment: str) -> None:
        row = self._row(case)
        before = {name: row[name] for name in ("status", "reviewer", "comment")}
        said = short(comment) or row["comment"]
        audit.append(cursor, self.reader, case, "status", {"before": before, "after": status, "comment": said})
        self._set(cursor, case, status=status, reviewer=self.reader, comment=said)

    def _note(self, case: str, act: str, details: dict[str, Any], **values: Any) -> None:
        self._row(case)
        with self._act(act, case, details) as cursor:
            self._set(cursor, case, **values)
        self.changed.emit((case,))

    @staticmethod
    def _set(cursor: sqlite3.Cursor, case: str, **values: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        cursor.execute(f"UPDATE cases SET {names} WHERE id = ?", (*values.values(), case))  # noqa: S608 (our names)

    @contextmanager
    def _act(self, act: str, case: str = "", details: dict[str, Any] | None = None) -> Iterator[sqlite3.Cursor]:
        with self._write() as cursor:
            yield cursor
            audit.append(cursor, self.reader, case, act, details or {})

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Cursor]:
        if self._lock is None:
            raise InputError("The project is open for reading only.", "Open it again, with your name, to change it.")
        with database.transaction(self._connection) as cursor:
            yield cursor


def _named(reader: str) -> None:
    if not reader.strip():
        raise InputError("Nobody says who is reading.", "Give your name or initials: they stand beside every act.")


def _unmake(places: Places, project: Project | None) -> None:
    """A project that could not be made leaves nothing behind."""
    if project is not None:
        project.close()
    for path in (places.about, places.database, places.lock):
        with suppress(OSError):
            path.unlink()
