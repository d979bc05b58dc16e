"""The folder of a project: what it is called, where its parts lie, and names that are safe everywhere."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import write_text
from napari_morse.io.lock import Lock
from napari_morse.session.case_files import LOCK

PROJECT_FORMAT: Final = "napari-morse-project"
PROJECT_VERSION = 1
CASE_ID_LIMIT = 80
"""Bytes of a case's id: folder names stay within what every file system takes."""
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices."""
DIGEST_SAMPLE = 65536
"""Bytes of a file that its quick digest reads, at each end."""


class ProjectFile(BaseModel):
    """``project.json``: what never changes after the project is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["napari-morse-project"] = PROJECT_FORMAT
    format_version: int = Field(PROJECT_VERSION, ge=1)
    id: str
    name: str
    created: str
    holdout: float = Field(ge=0, lt=1)
    root: str
    """Folder that all scans lay below, when the project was made."""


class ProjectPaths:
    """Where the parts of a project lie.

    Parameters
    ----------
    folder
        Of the project.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.about = self.folder / "project.json"
        self.database = self.folder / "worklist.sqlite"
        self.lock = self.folder / LOCK
        self.reports = self.folder / "reports"

    def case(self, case: str, reader: str = "") -> Path:
        """Folder of a case's masks and journal; of a second reader's own ones."""
        own = self.folder / "cases" / case
        return own / f"reader-{_short(reader.casefold())}" if reader else own


def new_about(name: str, holdout: float, scans: Iterable[Path]) -> ProjectFile:
    """A new project's own file, with an id that nothing else has.

    Raises
    ------
    InputError
        The share to hold out is none.
    """
    if not 0 <= holdout < 1:
        raise InputError(f"{holdout} of the patients can't be held out.", "Give a share from 0 to less than 1.")
    parents = {os.path.dirname(os.path.abspath(scan)) for scan in scans}  # noqa: PTH100, PTH120 (links are kept)
    try:
        root = os.path.commonpath(parents) if parents else ""
    except ValueError:  # on different drives
        root = ""
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return ProjectFile(id=secrets.token_hex(16), name=name, created=created, holdout=holdout, root=root)


def save_about(places: ProjectPaths, about: ProjectFile) -> None:
    """Write ``project.json``, whole or not at all."""
    write_text(places.about, about.model_dump_json(indent=1) + "\n")


def load_about(places: ProjectPaths) -> ProjectFile:
    """Read ``project.json``.

    Raises
    ------
    InputError
        There is none, or a newer program made it.
    DamagedFileError
        It is not such a file.
    """
    try:
        content = json.loads(places.about.read_text(encoding="utf-8"))
        version = content["format_version"]
        if isinstance(version, int) and version > PROJECT_VERSION and content["format"] == PROJECT_FORMAT:
            raise InputError(f"The project in {places.folder} was made by a newer version.", "Update napari-morse.")
        about = ProjectFile.model_validate(content)
    except (FileNotFoundError, NotADirectoryError) as error:
        interrupted = places.database.exists()
        raise InputError(
            f"There is no project in {places.folder}" + (": its making was interrupted." if interrupted else "."),
            "Make it again in that folder." if interrupted else "Choose a folder that `project new` made.",
        ) from error
    except OSError as error:
        raise InputError(
            f"“{places.about.name}” in {places.folder} could not be read: {error.strerror}.", "Check your rights."
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedFileError(
            f"“{places.about.name}” in {places.folder} is damaged.", "Restore it from a backup of the folder."
        ) from error
    return about


def safe_id(stem: str, taken: set[str]) -> str:
    """A folder name for a case: its stem with odd letters replaced, and a number where others share it.

    Parameters
    ----------
    stem
        Of the scan.
    taken
        Ids of other cases, casefolded: not every file system tells capitals apart.
    """
    # NFKC, and casefolded when compared: what one file system tells apart is one folder on another.
    plain = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFKC", stem)).strip("._-") or "case"
    if _RESERVED.fullmatch(plain):
        plain = f"case-{plain}"
    if len(plain.encode()) > CASE_ID_LIMIT:
        cut = plain.encode()[: CASE_ID_LIMIT - 9].decode(errors="ignore")
        plain = f"{cut}-{_short(stem)}"
    name, number = plain, 2
    while name.casefold() in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


def is_file(path: Path) -> bool:
    """Whether there is a file; names that no file can have, and folders that may not be looked into, hold none."""
    try:
        return path.is_file()
    except OSError:
        return False


def quick_digest(path: Path) -> tuple[int, str]:
    """Size in bytes, and a digest of size, beginning and end: enough to tell one scan's file from another's.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            start = file.read(DIGEST_SAMPLE)
            file.seek(max(len(start), size - DIGEST_SAMPLE))
            end = file.read(DIGEST_SAMPLE)
    except OSError as error:
        raise InputError(f"“{path.name}” could not be read: {error.strerror or error}.", "Check the file.") from error
    return size, hashlib.sha256(b"%d:" % size + start + end).hexdigest()[:32]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


_OURS = re.compile(r"lock\.json(\.[0-9a-f]+)?|worklist\.sqlite(-journal)?|\.morse-part-.*")


def check_new(folder: Path | str, holdout: float) -> None:
    """Raise InputError where no project could be made, before anything slow is done for it."""
    places = ProjectPaths(folder)
    new_about("", holdout, ())
    if places.folder.exists():
        with _made(places):
            _check(places)


@contextmanager
def _made(places: ProjectPaths) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The folder {places.folder} could not be made: {error.strerror or error}.", "Choose another place."
        ) from error


@contextmanager
def locked_folder(places: ProjectPaths, reader: str) -> Iterator[Lock]:
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


def _check(places: ProjectPaths) -> None:
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
        # rw, though nothing is written: what a killed program left half written is taken back before it is counted.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=5)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchone():
                return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
            return bool(connection.execute("SELECT count(*) FROM audit").fetchone()[0] > 1)
    except sqlite3.Error:
        return True


def _clear(places: ProjectPaths) -> None:
    for path in (places.database, places.database.with_name(f"{places.database.name}-journal")):
        with suppress(FileNotFoundError):
            path.unlink()


def _unmake(places: ProjectPaths, lock: Lock, was_there: bool) -> None:
    with suppress(OSError):
        # This file first: without it the folder is no project, however far the rest gets.
        places.about.unlink(missing_ok=True)
        _clear(places)
    # The lock lies in the folder, which can be removed only when it is empty.
    lock.release()
    if not was_there:
        with suppress(OSError):
            places.folder.rmdir()
