"""A project: cases, where each stands, who said what; every act and its audit row are one transaction."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from napari_morse.errors import InputError
from napari_morse.io.lock import Lock
from napari_morse.session.project import audit, database, holdout, layout, rows, twins
from napari_morse.session.project import scan_paths as moved
from napari_morse.session.project.layout import Places, is_file, load_about, new_about, save_about
from napari_morse.session.project.looking import Looking
from napari_morse.session.project.records import (
    TRUTHS,
    PredictionRecord,
    Source,
    Status,
    TruthFrom,
    check_move,
    plain_name,
    short,
)
from napari_morse.session.project.second import SecondReaders


class Project(SecondReaders, Looking):
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

    @classmethod
    def create(
        cls, folder: Path | str, sources: Sequence[Source], *, name: str, reader: str, holdout_share: float = 0.2
    ) -> Self:
        """Make a project in a folder that is empty or not there, and fix whose scans are for judging only.

        Reads every scan, unless `read_scans` did: slow. What it found is in `said`.

        Raises
        ------
        InputError
            There is no case, the folder holds something, or cannot be written to; nobody says who is reading.
        """
        if not sources:
            raise InputError("A project needs at least one case.", "Choose a folder that holds scans.")
        places, name_of_reader = Places(folder), plain_name(reader)
        about = new_about(name.strip() or places.folder.stem, holdout_share, (s.scan for s in sources))
        with layout.locked_folder(places, name_of_reader) as lock:
            project = cls(places, about, database.create(places.database), name_of_reader, lock)
            try:
                project._fill(sources)
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
        places = Places(folder)
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

    def add_cases(self, sources: Sequence[Source]) -> list[str]:
        """Add cases; a scan that is there already is left out. New patients are decided on, nobody is moved.

        Reads every new scan, and those that an older version added, unless `read_scans` did: slow. A scan that is there
        under another name is on that one's side; which ones they are is in `said`.

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
            holdout.assign(cursor, self.about.id, self.about.holdout, [case.patient for case in cases], groups)
            rows.insert(cursor, cases, self.places.folder)
            details["cases"] = len(cases)
        added = [case.id for case in cases]
        self.changed.emit(tuple(added))
        return added

    @property
    def unread(self) -> list[Path]:
        """Scans that an older version added: the next `add_cases` reads them."""
        return list(twins.unread(self._connection, self.places.folder).values())

    def _fill(self, sources: Sequence[Source]) -> None:
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
        digests = twins.kept(self._connection) | read
        scans = {row["id"]: Path(row["scan"]) for row in cursor.execute("SELECT id, scan FROM cases").fetchall()}
        scans |= {case.id: case.scan for case in cases}
        self.said = twins.said(scans, digests, [case.id for case in cases])
        twins.keep(cursor, read)
        return twins.linked(cursor, cases, digests)

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
        said = before["comment"] if row["comment"] == entry.details["comment"] else row["comment"]
        details = {"of": entry.number, "before": row["status"], "after": before["status"]}
        values = {"status": before["status"], "reviewer": before["reviewer"], "comment": said}
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

    def record_prediction(self, case: str, said: PredictionRecord) -> None:
        """Keep what a run said. A case that was reviewed keeps its status: its masks are a person's."""
        row = self._row(case)
        status = "predicted" if row["status"] in ("new", "predicted") else row["status"]
        details = {"model": said.model, "digest": said.digest, "before": row["status"], "after": status}
        sizes = {name: float(size) for name, size in said.sizes.items()}
        self._note(
            case, "prediction", details, status=status, model=said.model, model_digest=said.digest,
            doubt_mm=float(said.doubt_mm), disagreement_mm3=float(said.disagreement_mm3), sizes=json.dumps(sizes),
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
            for row in cursor.execute("SELECT * FROM cases").fetchall():
                places = moved.under(row, before, after, self.places.folder)
                if places:
                    self._set(cursor, row["id"], **places)
                    details["found"] += 1
                elif not is_file(Path(row["scan"])):
                    details["missing"] += 1
        self.changed.emit(())
        return details["found"], details["missing"]
