"""The project's SQLite file: one transaction an act, audit rows that nothing changes, older versions brought forward.

No write-ahead log: it does not work on network shares.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import write_bytes

VERSION = 2
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
STEPS: tuple[str, ...] = (_CASES, _READINGS)
"""What brings a file of version k to k + 1; the first makes a new one."""


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
    connection = _connect(path, "rw" if writable else "ro")
    try:
        with _sqlite(path):
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            sound = connection.execute("PRAGMA quick_check").fetchone()[0]
        _check(path, found, sound)
        if found < VERSION:
            _bring_forward(connection, path, found, writable)
    except InputError:
        connection.close()
        raise
    return connection


def _check(path: Path, version: int, sound: str) -> None:
    if sound != "ok" or version == 0:
        raise _damaged(path)
    if version > VERSION:
        raise InputError(
            f"The project in {path.parent} was made by a newer version of napari-morse.", "Update napari-morse."
        )


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
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with _sqlite(path):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=5
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        if mode != "ro":
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = FULL")
        return connection


def _bring_forward(connection: sqlite3.Connection, path: Path, found: int, writable: bool) -> None:
    if not writable:
        raise InputError(
            f"The project in {path.parent} is of an older version and cannot be changed here.",
            "Open it once where its folder may be written to.",
        )
    backup = path.with_name(f"{path.stem}-version{found}{path.suffix}")
    if not backup.exists():
        write_bytes(backup, path.read_bytes())
    _forward(connection, found)


def _forward(connection: sqlite3.Connection, found: int) -> None:
    for number in range(found, VERSION):
        with transaction(connection) as cursor:
            for statement in _statements(STEPS[number]):
                cursor.execute(statement)
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


def backup_to(connection: sqlite3.Connection, target: Path) -> None:
    """A consistent copy of the open database as another file."""
    with closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)
