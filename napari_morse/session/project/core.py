"""What every act on a project needs: its file, who works, the lock, and one transaction with its audit row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from psygnal import Signal

from napari_morse.errors import InputError
from napari_morse.io.lock import Lock
from napari_morse.session.project import audit, database, readings, rows
from napari_morse.session.project.layout import Places, ProjectFile
from napari_morse.session.project.records import Status, TruthFrom, short

_TAKEN = "Another window took this project over, or its lock is gone."


class Core:
    """An open project's parts; see `Project`.

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
        self.said: tuple[str, ...] = ()
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
        return readings.open_for(self._connection, self.reader)

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
        if reader and reader != self.reader and (own or readings.is_open(self._connection, case, reader)):
            raise InputError(
                f"The mask of {reader} is not shown before both readings are done.", "Wait for the second reader."
            )
        place = self.places.case(case, self.reader if own else reader)
        if not self.read_only:
            try:
                place.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"The folder of case {case} could not be made: {error.strerror}.",
                    "Make room, or check your rights.",
                ) from error
        return place

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
        said = short(comment) or row["comment"]
        details: dict[str, Any] = {"before": before, "after": status, "comment": said}
        values: dict[str, Any] = {"status": status, "reviewer": self.reader, "comment": said}
        if status == "accepted" and row["held_out"] and not row["truth_from"]:
            values["truth_from"] = details["truth_from"] = _origin(row)
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
            if not self._lock.held:
                self._lose()
            yield cursor


def _origin(row: sqlite3.Row) -> TruthFrom:
    """What an accepted mask of a case comes from, where nobody has said: to be told by what the person was shown."""
    return "from_model" if row["model"] or row["mask"] else "blank_start"
