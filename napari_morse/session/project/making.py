"""A folder for a new project: empty, or with what a program left that was stopped while it made one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.io.lock import Lock
from napari_morse.session.project.layout import Places, new_about

_OURS = re.compile(r"lock\.json(\.[0-9a-f]+)?|worklist\.sqlite(-journal)?|\.morse-part-.*")


def check_new(folder: Path | str, holdout: float) -> None:
    """Raise InputError where no project could be made, before anything slow is done for it."""
    places = Places(folder)
    new_about("", holdout, ())
    if places.folder.exists():
        with _made(places):
            _check(places)


@contextmanager
def _made(places: Places) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The folder {places.folder} could not be made: {error.strerror or error}.", "Choose another place."
        ) from error


@contextmanager
def locked_folder(places: Places, reader: str) -> Iterator[Lock]:
    """A lock in a folder that holds nothing else; on an error it is left as empty as it was.

    Raises
    ------
    InputError
        It holds something, cannot be made, or another window is making a project there.
    """
    was_there = places.folder.is_dir()
    with _made(places):
        places.folder.mkdir(parents=True, exist_ok=True)
        _check(places)
    lock = Lock.acquire(places.lock, reader)
    try:
        _clear(places)
        yield lock
    except BaseException:
        _unmake(places, lock, was_there)
        raise


def _check(places: Places) -> None:
    """Refuse a folder with anything that a half-made project has not; raises OSError where it cannot be read."""
    if places.about.exists():
        raise InputError(f"The folder {places.folder} already holds a project.", "Open it, or choose another folder.")
    if any(not _OURS.fullmatch(entry.name) for entry in places.folder.iterdir()):
        raise InputError(f"The folder {places.folder} is not empty.", "Choose a new folder for the project.")
    if places.database.exists() and _worked_on(places.database):
        raise InputError(
            f"The folder {places.folder} holds a project whose “{places.about.name}” is gone.",
            "Restore that file from a backup of the folder, or choose another folder.",
        )


def _worked_on(path: Path) -> bool:
    """Whether anything but the project's making is in a database; yes, when that cannot be told."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=5)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchone():
                return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
            return bool(connection.execute("SELECT count(*) FROM audit").fetchone()[0] > 1)
    except sqlite3.Error:
        return True


def _clear(places: Places) -> None:
    for path in (places.database, places.database.with_name(f"{places.database.name}-journal")):
        with suppress(FileNotFoundError):
            path.unlink()


def _unmake(places: Places, lock: Lock, was_there: bool) -> None:
    with suppress(OSError):
        places.about.unlink(missing_ok=True)
        _clear(places)
    lock.release()
    if not was_there:
        with suppress(OSError):
            places.folder.rmdir()
