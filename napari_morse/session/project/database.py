"""The project's SQLite file: one transaction an act, audit rows that nothing changes, older versions brought forward.

No write-ahead log: it does not work on network shares.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import write_bytes

SCHEMA_VERSION = 3
_CASES = """
CREATE TABLE cases (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, stem TEXT NOT NULL,
    scan TEXT NOT NULL, scan_relative TEXT NOT NULL, mask TEXT, truth TEXT,
    size INTEGER NOT NULL, digest TEXT NOT NULL, patient TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'new', reviewer TEXT NOT NULL DEFAULT '', comment TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0, truth_from TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '', model_digest TEXT NOT NULL DEFAULT '',
    doubt_mm REAL, disagreement_mm3 REAL, sizes TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX cases_status ON cases (status);
CREATE TABLE patients (name TEXT PRIMARY KEY, held_out INTEGER NOT NULL) STRICT;
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, reader TEXT NOT NULL, case_id TEXT NOT NULL,
    act TEXT NOT NULL, details TEXT NOT NULL, chain TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are never removed'); END;
"""
_READINGS = """
CREATE TABLE readings (
    case_id TEXT NOT NULL REFERENCES cases (id), reader TEXT NOT NULL, submitted INTEGER NOT NULL DEFAULT 0,
    verdict TEXT NOT NULL DEFAULT '', comment TEXT NOT NULL DEFAULT '', dice REAL, asd_mm REAL, hd95_mm REAL,
    PRIMARY KEY (case_id, reader)
) STRICT;
"""
_COMPANIONS = """
ALTER TABLE cases ADD COLUMN mask_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE cases ADD COLUMN truth_digest TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_case ON audit (case_id);
"""
SCHEMA_STEPS: tuple[str, ...] = (_CASES, _READINGS, _COMPANIONS)
"""What brings a file of version k to k + 1; the first makes a new one."""
_TABLES = {"cases", "patients", "state", "audit"}


class _Connection(sqlite3.Connection):
    """Reading that fails (a share that is gone, a project that was closed) is a sentence."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*arguments)
        except sqlite3.Error as error:
            raise InputError(
                f"The project could not be read: {error}.", "Open it again, when its folder can be reached."
            ) from error


def create(path: Path) -> sqlite3.Connection:
    """A new, empty file.

    Raises
    ------
    InputError
        There is one, or the folder cannot be written to.
    """
    if path.exists():
        raise InputError(f"The folder {path.parent} already holds a project.", "Open it, or choose another folder.")
    connection = _connect(path, "rwc")
    try:
        _forward(connection, 0)
    except InputError:
        connection.close()
        with suppress(OSError):
            path.unlink()
        raise
    return connection


def connect(path: Path, writable: bool) -> sqlite3.Connection:
    """Open a file, checked, and brought to the present version (a copy of the older one stays beside it).

    Raises
    ------
    InputError
        There is none, a newer program made it, or it is damaged.
    """
    if not path.is_file():
        raise InputError(f"There is no project in {path.parent}.", "Choose a folder that `project new` made.")
    connection = _connect(path, "rw")
    try:
        with _sqlite(path):
            cursor = connection.cursor()
            if not writable:
                cursor.execute("PRAGMA query_only = ON")
            version = int(cursor.execute("PRAGMA user_version").fetchone()[0])
            sound = cursor.execute("PRAGMA quick_check").fetchone()[0]
            tables = {row["name"] for row in cursor.execute("SELECT name FROM sqlite_master")}
        _check(path, version, sound == "ok" and tables >= _TABLES)
        if version < SCHEMA_VERSION:
            _bring_forward(connection, path, version, writable)
    except InputError:
        connection.close()
        raise
    return connection


def _check(path: Path, version: int, sound: bool) -> None:
    if version > SCHEMA_VERSION:
        raise InputError(
            f"The project in {path.parent} was made by a newer version of napari-morse.", "Update napari-morse."
        )
    if not sound or version < 1:
        raise _damaged(path)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Cursor]:
    """All of it or nothing, on the disk when it ends.

    Raises
    ------
    InputError
        The disk is full, or the file cannot be written.
    """
    cursor = connection.cursor()
    try:
        # IMMEDIATE takes the right to write at once: two that begin by reading would each wait for the other to end.
        cursor.execute("BEGIN IMMEDIATE")
        yield cursor
        cursor.execute("COMMIT")
    except sqlite3.Error as error:
        _back(connection)
        raise InputError(
            f"The project could not be written: {error}.", "Nothing was changed. Make room, or check your rights."
        ) from error
    except BaseException:
        _back(connection)
        raise
    finally:
        cursor.close()


def _back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        connection.rollback()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """``rw`` also for looking only: what a program that was killed left half written is then taken back first.

    Where the file may not be written to, SQLite opens it for reading.
    """
    with _sqlite(path):
        # isolation_level None: Python's module begins no transactions behind our back; ours begin IMMEDIATE.
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=5, factory=_Connection
        )
        connection.row_factory = sqlite3.Row
        connection.create_function("fold", 1, str.casefold, deterministic=True)  # SQLite's NOCASE knows ASCII only
        cursor = connection.cursor()
        try:
            # DELETE: a write-ahead log needs shared memory, which network shares don't have. FULL: what was said to be
            # done outlives a power cut.
            for pragma in ("foreign_keys = ON", "journal_mode = DELETE", "synchronous = FULL"):
                cursor.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _bring_forward(connection: sqlite3.Connection, path: Path, version: int, writable: bool) -> None:
    if not writable:
        raise InputError(
            f"The project in {path.parent} is of an older version and cannot be changed here.",
            "Open it once where its folder may be written to.",
        )
    _back_up(path, version)
    _forward(connection, version)


def _back_up(path: Path, version: int) -> None:
    """A copy that replaces no other one."""
    content, names = path.read_bytes(), (f"{path.stem}-version{version}{end}{path.suffix}" for end in _endings())
    for backup in map(path.with_name, names):
        if not backup.exists():
            write_bytes(backup, content)
            return
        if backup.read_bytes() == content:
            return


def _endings() -> Iterator[str]:
    yield ""
    yield from (f"-{number}" for number in itertools.count(2))


def _forward(connection: sqlite3.Connection, version: int) -> None:
    for number in range(version, SCHEMA_VERSION):
        with transaction(connection) as cursor:
            for statement in _statements(SCHEMA_STEPS[number]):
                cursor.execute(statement)
            # In the same transaction: a crash leaves the old tables under the old number, never new ones under it.
            cursor.execute(f"PRAGMA user_version = {number + 1}")


def _statements(script: str) -> Iterator[str]:
    """One at a time: ``executescript`` would end the transaction."""
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""


@contextmanager
def _sqlite(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise InputError(
            f"The project in {path.parent} could not be opened: {error}.", "Check that you may read its folder."
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> DamagedFileError:
    return DamagedFileError(f"“{path.name}” in {path.parent} is damaged.", "Restore it from a backup of the folder.")
