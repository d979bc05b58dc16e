"""A project: cases, where each stands, who said what; every act and its audit row are one transaction."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from psygnal import Signal

from napari_morse.errors import InputError
from napari_morse.io.lock import Lock
from napari_morse.session.case_files import CORRECTED
from napari_morse.session.project import (
    audit,
    database,
    holdout,
    layout,
    rows,
    rules,
    scan_paths,
    second_readers,
    twins,
)
from napari_morse.session.project.layout import ProjectFile, ProjectPaths, is_file, load_about, new_about, save_about
from napari_morse.session.project.records import (
    STATUSES,
    TRUTHS,
    Agreement,
    Case,
    CaseFiles,
    PredictionRecord,
    SecondReading,
    Status,
    TruthFrom,
    check_move,
    plain_name,
    short,
)

_TAKEN = "Another window took this project over, or its lock is gone."


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
        self, places: ProjectPaths, about: ProjectFile, connection: sqlite3.Connection, reader: str, lock: Lock | None
    ) -> None:
        self.places, self.about, self.reader = places, about, reader
        self._connection, self._lock = connection, lock
        self.duplicate_notices: tuple[str, ...] = ()
        """Sentences on the cases that were added last: scans that are there under several names."""

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

    @property
    def writable(self) -> bool:
        """Whether this window may write still; asks the disk whether another one took the project over."""
        if self._lock is not None and not self._lock.held:
            self._lock = None
        return self._lock is not None

    def beat(self) -> None:
        """Give a sign of life; call it every half minute.

        Raises
        ------
        InputError
            Another window took the project over (this one may not change it any more), or the disk is full.
        """
        if self._lock is not None and not self._lock.beat():
            self._lose()

    def to_read(self) -> list[str]:
        """Cases that the present reader was asked to read a second time."""
        return second_readers.open_for(self._connection, self.reader)

    def folder_of(self, case: str, reader: str = "") -> Path:
        """The folder of a case's masks and journal, made when it is not there; of a second reader's own.

        Who is to read a case blind is always given the own folder.

        Raises
        ------
        InputError
            There is no such case, the folder cannot be made, or it would show what is not to be seen yet.
        """
        self._row(case)
        own = case in self.to_read()
        if reader and reader != self.reader and (own or second_readers.is_open(self._connection, case, reader)):
            raise InputError(
                f"The mask of {reader} is not shown before both readings are done.", "Wait for the second reader."
            )
        folder = self.places.case(case, self.reader if own else reader)
        if not self.read_only:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"The folder of case {case} could not be made: {error.strerror}.",
                    "Make room, or check your rights.",
                ) from error
        return folder

    # Making and opening

    @classmethod
    def create(
        cls, folder: Path | str, sources: Sequence[CaseFiles], *, name: str, reader: str, holdout_share: float = 0.2
    ) -> Self:
        """Make a project in a folder that is empty or not there, and fix whose scans are for judging only.

        Reads every scan, unless `read_scans` did: slow. What it found is in `duplicate_notices`.

        Raises
        ------
        InputError
            There is no case, the folder holds something, or cannot be written to; nobody says who is reading.
        """
        if not sources:
            raise InputError("A project needs at least one case.", "Choose a folder that holds scans.")
        places, name_of_reader = ProjectPaths(folder), plain_name(reader)
        about = new_about(name.strip() or places.folder.stem, holdout_share, (s.scan for s in sources))
        with layout.locked_folder(places, name_of_reader) as lock:
            project = cls(places, about, database.create(places.database), name_of_reader, lock)
            try:
                project._fill(sources)
                # Last: until this file is there the folder is no project, and a making that was killed can be begun
                # again.
                save_about(places, about)
            except BaseException:
                project.close()
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
        places = ProjectPaths(folder)
        about = load_about(places)
        name = " ".join(reader.split()) if read_only else plain_name(reader)
        lock = None if read_only else Lock.acquire(places.lock, name, take_over)
        try:
            connection = database.connect(places.database, writable=lock is not None)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(places, about, connection, name, lock)

    def add_cases(self, sources: Sequence[CaseFiles]) -> list[str]:
        """Add cases; a scan that is there already is left out. New patients are decided on, nobody is moved.

        Reads every new scan, and those that an older version added, unless `read_scans` did: slow. A scan that is there
        under another name is on that one's side; which ones they are is in `duplicate_notices`.

        Raises
        ------
        InputError
            A file cannot be read, or a scan has something in common with both sides.
        """
        cases = rows.fresh(self._connection, sources)
        older = twins.unread(self._connection, self.places.folder)
        digests = {case.id: twins.digest_of(case.scan) for case in cases}
        digests |= {case: twins.digest_of(scan) for case, scan in older.items()}
        details: dict[str, Any] = {}
        with self._act("add cases", details=details) as cursor:
            groups = self._known_again(cursor, cases, digests)
            holdout.assign_held_out(cursor, self.about.id, self.about.holdout, [case.patient for case in cases], groups)
            rows.insert(cursor, cases, self.places.folder)
            details["cases"] = len(cases)
        added = [case.id for case in cases]
        self.changed.emit(tuple(added))
        return added

    @property
    def unread(self) -> list[Path]:
        """Scans that an older version added: the next `add_cases` reads them."""
        return list(twins.unread(self._connection, self.places.folder).values())

    def _fill(self, sources: Sequence[CaseFiles]) -> None:
        """The first cases, and whose are held out."""
        share, cases = self.about.holdout, rows.fresh(self._connection, sources)
        digests = {case.id: twins.digest_of(case.scan) for case in cases}
        with self._act("create project", details={"cases": len(sources), "holdout": share}) as cursor:
            groups = self._known_again(cursor, cases, digests)
            holdout.first_assignment(cursor, self.about.id, share, [case.patient for case in cases], groups)
            rows.insert(cursor, cases, self.places.folder)

    def _known_again(
        self, cursor: sqlite3.Cursor, cases: Sequence[rows.NewCase], read: dict[str, str]
    ) -> list[list[str]]:
        """Keep and say what is found of scans; groups of patients who must be on one side."""
        digests = twins.known_digests(self._connection) | read
        scans = {row["id"]: Path(row["scan"]) for row in cursor.execute("SELECT id, scan FROM cases").fetchall()}
        scans |= {case.id: case.scan for case in cases}
        self.duplicate_notices = twins.duplicate_notices(scans, digests, [case.id for case in cases])
        twins.store_digests(cursor, read)
        return twins.linked(cursor, cases, digests)

    # What there is to see; changes nothing but the place where one was

    def cases(
        self, order: rows.Order = "number", descending: bool = False, statuses: Sequence[Status] = (), text: str = ""
    ) -> list[Case]:
        """Rows of the worklist, see `rows.arrange`; those that the present reader is to read blind show nothing."""
        return rows.arrange(self._all(), order, descending, statuses, text)

    def case(self, case: str) -> Case:
        """One case; see `cases`.

        Raises
        ------
        InputError
            There is none of that id.
        """
        record = rows.case_of(self._row(case))
        return second_readers.blinded(record) if case in self.to_read() else record

    def next(
        self,
        after: str = "",
        order: rows.Order = "number",
        descending: bool = False,
        statuses: Sequence[Status] = (),
        text: str = "",
    ) -> Case | None:
        """The case behind another one in this order and filter, which the other one need not pass; None at the end.

        Parameters
        ----------
        after
            Id; empty: from the beginning.
        order, descending, statuses, text
            As in `cases`.

        Raises
        ------
        InputError
            There is no case of that id.
        """
        return self._beside(after, rows.arrange(self._all(light=True), order, descending), statuses, text)

    def previous(
        self,
        before: str = "",
        order: rows.Order = "number",
        descending: bool = False,
        statuses: Sequence[Status] = (),
        text: str = "",
    ) -> Case | None:
        """As `next`, the other way."""
        return self._beside(before, rows.arrange(self._all(light=True), order, descending)[::-1], statuses, text)

    def counts(self) -> dict[Status, int]:
        """How many cases stand where; every status is there."""
        statuses = [case.status for case in self._all(light=True)]
        return {status: statuses.count(status) for status in STATUSES}

    def scan_of(self, case: str) -> Path:
        """Where a case's scan is now; see `scan_paths.find_scan`."""
        return scan_paths.find_scan(self._row(case), self.places.folder)

    def mask_of(self, case: str) -> Path | None:
        """Where the mask that a case came with is now; None when it came with none, see `scan_paths.companion`."""
        return scan_paths.companion(self._seen(case), "mask", self.places.folder)

    def truth_of(self, case: str) -> Path | None:
        """Where a case's truth is now; None when it has none, see `scan_paths.companion`."""
        return scan_paths.companion(self._seen(case), "truth", self.places.folder)

    def decided_unpredicted(self, case: str) -> bool:
        """Whether a person accepted or rejected a case before a model ever saw it: no model's mask is meant then."""
        return audit.predicted_since_decision(self.audit(case))

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

    def audit(self, case: str | None = None) -> list[audit.AuditEntry]:
        """What was done, oldest first; of a case that the present reader is to read blind, nothing."""
        blind = set(self.to_read())
        return [entry for entry in audit.audit_entries(self._connection, case) if entry.case not in blind]

    def verify(self) -> str:
        """What is wrong with the audit trail, in a sentence; empty when nothing is."""
        return audit.verify(self._connection)

    def _all(self, light: bool = False) -> list[Case]:
        blind = set(self.to_read())
        cases = rows.select(self._connection, light)
        # Blinded before they are put in order: the place of a row would else tell what is hidden.
        return [second_readers.blinded(case) if case.id in blind else case for case in cases]

    def _beside(self, case: str, ordered: list[Case], statuses: Sequence[Status], text: str) -> Case | None:
        ids = [other.id for other in ordered]
        if case and case not in ids:
            raise InputError(f"The project has no case {case!r}.", "Look at the worklist.")
        start = ids.index(case) + 1 if case else 0
        beside = next((other.id for other in ordered[start:] if rows.passes(other, statuses, text)), None)
        return None if beside is None else self.case(beside)

    # What a person or a run says of a case

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
                self._move(cursor, case, check_move(self._seen(case)["status"], status), comment)
        self.changed.emit(ids)

    def undo_status(self, case: str) -> Status:
        """Take a case's last move back; returns where it stands again. Moves taken back can't be taken back again.

        What was said since stays.

        Raises
        ------
        InputError
            It was never moved, or all moves were taken back.
        """
        row, entry = self._seen(case), audit.last_move(self.audit(case))
        if entry is None:
            raise InputError("No move of this case is left to take back.", "")
        before = entry.details["before"]
        comment = before["comment"] if row["comment"] == entry.details["comment"] else row["comment"]
        details = {"of": entry.number, "before": row["status"], "after": before["status"]}
        values = {"status": before["status"], "reviewer": before["reviewer"], "comment": comment}
        if entry.details.get("truth_from") == row["truth_from"] != "":
            values["truth_from"] = ""  # it was said with the move
        self._note(case, "undo status", details, **values)
        back: Status = before["status"]
        return back

    def undo_leads_to(self, case: str) -> Status | None:
        """Where `undo_status` would lead; None where no move is left to take back."""
        entry = audit.last_move(self.audit(case))
        return None if entry is None else entry.details["before"]["status"]

    def comment(self, case: str, text: str) -> None:
        """Say something of a case; replaces what was said."""
        self._seen(case)
        self._note(case, "comment", {"text": short(text)}, comment=short(text))

    def record_prediction(self, case: str, record: PredictionRecord) -> None:
        """Keep what a run said. A case that was reviewed keeps its status: its masks are a person's."""
        row = self._row(case)
        status = "predicted" if row["status"] in ("new", "predicted") else row["status"]
        details = {"model": record.model, "digest": record.digest, "before": row["status"], "after": status}
        sizes = {name: float(size) for name, size in record.sizes.items()}
        self._note(
            case, "prediction", details, status=status, model=record.model, model_digest=record.digest,
            doubt_mm=float(record.doubt_mm), disagreement_mm3=float(record.disagreement_mm3), sizes=json.dumps(sizes),
        )  # fmt: skip

    def add_time(self, case: str, seconds: float) -> None:
        """Add to the time that was spent on a case."""
        spent = max(0.0, float(seconds)) if math.isfinite(seconds) else 0.0
        total = self._row(case)["seconds"] + spent
        self._note(case, "time", {"seconds": round(spent, 1)}, seconds=total)

    def set_truth_from(self, case: str, source: TruthFrom) -> None:
        """Say how a held-out case's truth came about.

        Raises
        ------
        InputError
            The case is not held out.
        """
        if not self._seen(case)["held_out"]:
            raise InputError("Only cases that are held out have a truth to judge by.", "")
        if source not in TRUTHS:
            raise InputError(f"{source!r} is no way to a truth.", f"Say one of {', '.join(TRUTHS[1:])}.")
        self._note(case, "truth", {"from": source}, truth_from=source)

    def record_learning(self, what: str, round_number: int, model: str) -> None:
        """Note in the audit what became of a round of fine-tuning: ``begun``, or what a person decided."""
        with self._act("learning", details={"what": what, "round": round_number, "model": model}):
            pass

    def find_scans(self, old: Path | str, new: Path | str) -> tuple[int, int]:
        """Take scans and their masks from below another folder; returns how many were found, and are still missing."""
        before, after, details = rows.absolute(Path(old)), rows.absolute(Path(new)), {"found": 0, "missing": 0}
        with self._act("find scans", details=details) as cursor:
            # All rows at once: this very cursor updates them, which would end a reading that is under way.
            for row in cursor.execute("SELECT * FROM cases").fetchall():
                places = scan_paths.under(row, before, after, self.places.folder)
                if places:
                    self._set(cursor, row["id"], **places)
                    details["found"] += 1
                elif not is_file(Path(row["scan"])):
                    details["missing"] += 1
        self.changed.emit(())
        return details["found"], details["missing"]

    # Second readers: asked, blind until they are done, and judged by a third

    def readings(self, case: str) -> list[SecondReading]:
        """Second readings; of one that is under way, only who was asked, and nothing to a reader who is not done."""
        self._row(case)
        return [] if case in self.to_read() else second_readers.of_case(self._connection, case)

    def ask_second_reader(self, case: str, reader: str) -> None:
        """Ask somebody for a blind second reading.

        Raises
        ------
        InputError
            The reader read it first or was asked before, or the case's status does not lead there.
        """
        row, asked = self._seen(case), plain_name(reader)
        # Taking back the move to a second reader leaves the asking in the table: asked again, it is not inserted twice.
        taken_back = row["status"] != "second_reader" and second_readers.is_open(self._connection, case, asked)
        with self._write() as cursor:
            if not taken_back:
                second_readers.assign_reader(cursor, case, asked, row["reviewer"] or self.reader)
            audit.append(cursor, self.reader, case, "ask second reader", {"reader": asked})
            if row["status"] != "second_reader":
                self._move(cursor, case, check_move(row["status"], "second_reader"), row["comment"])
        self.changed.emit((case,))

    def final_reader(self, case: str) -> str:
        """The second reader whose mask was chosen; empty while the first one's stands."""
        self._row(case)
        rows = [] if case in self.to_read() else audit.audit_entries(self._connection, case)
        chosen = audit.chosen_reader(rows)
        return "" if chosen == "first" else chosen

    def submit_reading(self, case: str, verdict: str, comment: str = "", compared: Agreement | None = None) -> None:
        """The present reader is done with a second reading; it is not changed afterwards.

        Of a case for judging only that has no better truth, the reader's mask becomes the truth.

        Raises
        ------
        InputError
            The reader was not asked, or is done already.
        """
        row = self._row(case)
        details: dict[str, Any] = {"verdict": short(verdict), "comment": short(comment)}
        details["dice"] = compared.dice if compared else None
        with self._act("second reading", case, details) as cursor:
            second_readers.submit(cursor, case, self.reader, short(verdict), short(comment), compared)
            if row["held_out"] and compared is not None and row["truth_from"] in ("", "from_model"):
                details["truth_from"] = "second_reader"
                self._set(cursor, case, truth_from="second_reader")
        self.changed.emit((case,))

    def adjudicate(self, case: str, chosen: str, reason: str) -> None:
        """Say whose mask is final, and why; the case is accepted.

        Raises
        ------
        InputError
            No reading is submitted, or the chosen one is neither ``first`` nor a reader who submitted one.
        """
        row = self._seen(case)
        done = [r.reader for r in self.readings(case) if r.submitted]
        if not done:
            raise InputError("No second reading of this case is done.", "Wait for the second reader.")
        if chosen not in (*done, "first"):
            raise InputError(f"{chosen!r} is none of the readers.", f"Choose first, or {', '.join(done)}.")
        with self._write() as cursor:
            # Before the move: `audit.chosen_reader` looks for the choice in the row right before it.
            audit.append(cursor, self.reader, case, "adjudicate", {"chosen": chosen, "reason": short(reason)})
            self._move(cursor, case, check_move(row["status"], "accepted"), short(reason))
        self.changed.emit((case,))

    # One transaction with its audit row

    def _lose(self) -> None:
        self._lock = None
        raise InputError(_TAKEN, "Open it again to go on here.")

    def _row(self, case: str) -> sqlite3.Row:
        row = rows.one(self._connection, case)
        if row is None:
            raise InputError(f"The project has no case {case!r}.", "Look at the worklist.")
        return row

    def _seen(self, case: str) -> sqlite3.Row:
        """The row of a case that the present reader may judge: not one that is to be read blind."""
        row = self._row(case)
        if case in self.to_read():
            raise InputError(f"You were asked to read {case} blind.", "Submit your reading first.")
        return row

    def _move(self, cursor: sqlite3.Cursor, case: str, status: Status, comment: str) -> None:
        row = self._row(case)
        before = {name: row[name] for name in ("status", "reviewer", "comment")}
        text = short(comment) or row["comment"]
        details: dict[str, Any] = {"before": before, "after": status, "comment": text}
        values: dict[str, Any] = {"status": status, "reviewer": self.reader, "comment": text}
        if status == "accepted" and row["held_out"] and not row["truth_from"]:
            begun = (self.places.case(case) / CORRECTED).is_file()
            source = rules.truth_of_accepted(begun=begun, predicted=bool(row["model"]), given=bool(row["mask"]))
            values["truth_from"] = details["truth_from"] = source
        audit.append(cursor, self.reader, case, "status", details)
        self._set(cursor, case, **values)

    def _note(self, case: str, act: str, details: dict[str, Any], **values: Any) -> None:
        with self._act(act, case, details) as cursor:
            self._set(cursor, case, **values)
        self.changed.emit((case,))

    @staticmethod
    def _set(cursor: sqlite3.Cursor, case: str, **values: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        cursor.execute(f"UPDATE cases SET {names} WHERE id = ?", (*values.values(), case))  # noqa: S608 (our names)

    @contextmanager
    def _act(self, act: str, case: str = "", details: dict[str, Any] | None = None) -> Iterator[sqlite3.Cursor]:
        """One act; what is put into ``details`` meanwhile stands in its audit row."""
        with self._write() as cursor:
            yield cursor
            audit.append(cursor, self.reader, case, act, details or {})

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Cursor]:
        if self._lock is None:
            raise InputError("The project is open for reading only.", "Open it again, with your name, to change it.")
        with database.transaction(self._connection) as cursor:
            # Inside the transaction: between an earlier look and BEGIN another window could take the project over.
            if not self._lock.held:
                self._lose()
            yield cursor
