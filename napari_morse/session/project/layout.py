"""The folder of a project: what it is called, where its parts lie, and names that are safe everywhere."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import write_text

FORMAT = "napari-morse-project"
VERSION = 1
NAME_LIMIT = 80
"""Characters of a case's id: folder names stay within what every file system takes."""
SAMPLE = 65536
"""Bytes of a file that its quick digest reads, at each end."""


class ProjectFile(BaseModel):
    """``project.json``: what never changes after the project is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = FORMAT
    format_version: int = Field(VERSION, ge=1)
    id: str
    name: str
    created: str
    holdout: float = Field(ge=0, lt=1)
    root: str
    """Folder that all scans lay below, when the project was made."""


class Places:
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
        self.lock = self.folder / "lock.json"
        self.reports = self.folder / "reports"

    def case(self, case: str, reader: str = "") -> Path:
        """Folder of a case's masks and journal; of a second reader's own ones."""
        place = self.folder / "cases" / case
        return place / f"reader-{_short(reader)}" if reader else place


def make_empty(folder: Path) -> None:
    """Have a folder that holds nothing.

    Raises
    ------
    InputError
        It holds something, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"The folder {folder} is not empty.", "Choose a new folder for the project.")
    except OSError as error:
        raise InputError(
            f"The folder {folder} could not be made: {error.strerror or error}.", "Choose another place."
        ) from error


def new_about(name: str, holdout: float, scans: Iterable[Path]) -> ProjectFile:
    """A new project's own file, with an id that nothing else has."""
    parents = {os.path.dirname(os.path.abspath(scan)) for scan in scans}  # noqa: PTH100, PTH120 (links are kept)
    try:
        root = os.path.commonpath(parents) if parents else ""
    except ValueError:  # on different drives
        root = ""
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return ProjectFile(id=secrets.token_hex(16), name=name, created=created, holdout=holdout, root=root)


def save_about(places: Places, about: ProjectFile) -> None:
    """Write ``project.json``, whole or not at all."""
    write_text(places.about, about.model_dump_json(indent=1) + "\n")


def load_about(places: Places) -> ProjectFile:
    """Read ``project.json``.

    Raises
    ------
    InputError
        There is none, or a newer program made it.
    DamagedFileError
        It is not such a file.
    """
    if not places.about.is_file():
        raise InputError(f"There is no project in {places.folder}.", "Choose a folder that `project new` made.")
    try:
        content = json.loads(places.about.read_text(encoding="utf-8"))
        version = content["format_version"]
        if isinstance(version, int) and version > VERSION and content["format"] == FORMAT:
            raise InputError(f"The project in {places.folder} was made by a newer version.", "Update napari-morse.")
        about = ProjectFile.model_validate(content)
    except (OSError, ValueError, TypeError, KeyError, ValidationError) as error:
        raise DamagedFileError(
            f"“{places.about.name}” in {places.folder} is damaged.", "Restore it from a backup of the folder."
        ) from error
    return about


def safe_id(stem: str, taken: set[str]) -> str:
    """A folder name for a case: its stem with odd letters replaced, and a number where others share it."""
    plain = re.sub(r"[^\w.-]+", "_", stem).strip("._-") or "case"
    if len(plain) > NAME_LIMIT:
        plain = f"{plain[: NAME_LIMIT - 9]}-{_short(stem)}"
    known = {name.casefold() for name in taken}
    found, number = plain, 2
    while found.casefold() in known:
        found, number = f"{plain}-{number}", number + 1
    return found


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
            start = file.read(SAMPLE)
            file.seek(max(len(start), size - SAMPLE))
            end = file.read(SAMPLE)
    except OSError as error:
        raise InputError(f"“{path.name}” could not be read: {error.strerror or error}.", "Check the file.") from error
    return size, hashlib.sha256(b"%d:" % size + start + end).hexdigest()[:32]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
