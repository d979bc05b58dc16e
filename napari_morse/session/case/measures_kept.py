"""The measures of a case, kept in a file beside its masks. No Qt."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import write_text
from napari_morse.session.case.measures import Measure

FILE = "measures.json"
"""In the folder of a case."""
FORMAT: Final = "napari-morse-measures"
VERSION = 1
_Items = tuple[Measure, ...]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["napari-morse-measures"] = FORMAT
    format_version: Literal[1] = 1
    measures: tuple[Measure, ...] = ()


class Measures:
    """The measures of a case; every change is on the disk before the next.

    Parameters
    ----------
    folder
        Of the case; None: they are kept in memory only.
    writable
        Asked before every change of what lies in ``folder``.
    """

    def __init__(self, folder: Path | None, writable: Callable[[], bool] = lambda: True) -> None:
        self._folder, self._writable = folder, writable
        self._items: _Items = ()
        self._before: list[tuple[Measure, Callable[[_Items], _Items]]] = []
        self._locked: InputError | None = None
        self._seen: bytes | None = None
        self.notices: tuple[str, ...] = ()
        """Sentences on what was wrong with the file, the latest last."""
        if folder is not None:
            self._load(folder)

    @property
    def items(self) -> tuple[Measure, ...]:
        """All of them, the oldest first."""
        return self._items

    @property
    def can_undo(self) -> bool:
        """Whether one that was removed or replaced can be put back."""
        return bool(self._before)

    def check(self) -> None:
        """Raise InputError, in a sentence, when nothing may be changed."""
        if self._locked is not None:
            raise self._locked
        if self._folder is not None and not self._writable():
            raise InputError(
                "This project can only be looked at here: no measure is kept.", "Open it again, with your name."
            )

    def add(self, measure: Measure) -> None:
        """Keep a measure.

        Raises
        ------
        InputError
            Nothing may be changed, or it could not be written; then it is not kept.
        """
        self._keep(lambda items: (*items, measure))

    def remove(self, measure: str) -> None:
        """Remove the measure of that id, if there is one; `undo` puts it back. Raises as `add`."""
        place = self._place(measure)
        if place is None:
            return
        item = self._items[place]
        self._keep(lambda items: tuple(other for other in items if other.id != measure))
        self._before.append((item, lambda items: (*items[:place], item, *items[place:])))

    def replace(self, measure: str, by: Measure) -> None:
        """Put another in the place of the measure of that id, if there is one; `undo` changes back. Raises as `add`."""
        place = self._place(measure)
        if place is None:
            return
        item = self._items[place]
        self._keep(lambda items: tuple(by if other.id == measure else other for other in items))
        self._before.append((item, lambda items: tuple(item if other.id == by.id else other for other in items)))

    def undo(self) -> Measure | None:
        """Put back what was removed or replaced last, in its place; None when there is nothing. Raises as `add`."""
        if not self._before:
            return None
        item, act = self._before[-1]
        self._keep(act)
        self._before.pop()
        return item

    def _place(self, measure: str) -> int | None:
        return next((place for place, item in enumerate(self._items) if item.id == measure), None)

    def _keep(self, act: Callable[[_Items], _Items]) -> None:
        self.check()
        if self._folder is not None:
            self._meet(self._folder)
            items = act(self._items)
            self._seen = _write(self._folder, items)
            self._items = items
        else:
            self._items = act(self._items)

    def _load(self, folder: Path) -> None:
        try:
            self._seen = _raw(folder)
            self._items = _parsed(self._seen)
        except DamagedFileError as error:
            self._put_aside(folder, error)
        except InputError as error:
            self._lock(error)

    def _meet(self, folder: Path) -> None:
        """What somebody else wrote meanwhile counts; a file that is gone is written again from what is known."""
        content = _raw(folder)
        if content in (self._seen, None):
            return
        try:
            self._items = _parsed(content)
            self.notices += (f"“{FILE}” was changed elsewhere: its measures were read again.",)
        except DamagedFileError as error:
            self._put_aside(folder, error)
        except InputError as error:
            self._lock(error)
        if self._locked is not None:
            raise self._locked

    def _lock(self, error: InputError) -> None:
        self._locked = error
        self.notices += (str(error),)

    def _put_aside(self, folder: Path, error: DamagedFileError) -> None:
        """A damaged file is never written over: it gets another name, or nothing is written."""
        if self._writable():
            with suppress(OSError):
                aside = next(p for n in range(1, 10_000) if not (p := folder / f"measures-damaged-{n}.json").exists())
                (folder / FILE).rename(aside)
                self._seen = None
                self.notices += (f"The measures of this case are damaged. They are kept as “{aside.name}”.",)
                return
        self._lock(error)


def read_measures(folder: Path) -> tuple[Measure, ...]:
    """The measures that lie in the folder of a case; none where there is no file.

    Raises
    ------
    DamagedFileError
        The file is not whole, or of another kind.
    InputError
        It can't be read, or a newer version made it.
    """
    return _parsed(_raw(folder))


def _raw(folder: Path) -> bytes | None:
    """What the file holds; None where there is none."""
    try:
        return (folder / FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"“{FILE}” could not be read: {error.strerror or error}.", "Check your rights.") from error


def _parsed(content: bytes | None) -> _Items:
    if content is None:
        return ()
    try:
        found = json.loads(content.decode("utf-8"))
        version = found["format_version"]
        if found["format"] == FORMAT and isinstance(version, int) and version > VERSION:
            raise InputError(f"“{FILE}” was made by a newer version: it is left as it is.", "Update napari-morse.")
        return _File.model_validate(found).measures
    except (ValidationError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedFileError(f"“{FILE}” of this case is damaged.", "Restore it from a backup.") from error


def _write(folder: Path, items: _Items) -> bytes:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder of the case could not be made: {error.strerror}.", "Check your rights."
        ) from error
    content = _File(measures=items).model_dump_json(indent=1) + "\n"
    write_text(folder / FILE, content)
    return content.encode("utf-8")
