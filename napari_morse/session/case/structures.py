"""Structures that a person added to those of the models: their names, for all cases of a project or for one scan."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_morse.config import LabelEntry
from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text
from napari_morse.session.case_files import STRUCTURES
from napari_morse.training.palette import LARGEST_ID, MODEL_COLOURS
from napari_morse.types import Array, Label

LONGEST_NAME = 60
"""Characters of a name."""
STRUCTURES_HINT = "Bring a copy back, or delete it: structures then have numbers for names."


class _Entry(LabelEntry):
    name: str = Field(min_length=1)
    by: str = ""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    structures: tuple[_Entry, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> _Kept:
        ids = [entry.id for entry in self.structures]
        if len(set(ids)) < len(ids):
            raise ValueError("an id is there twice")
        return self


class Structures:
    """The structures that are named in one folder; read again when the file is another one than before.

    No number is ever given again, and none goes: it may be drawn in any case, or come back by undo.

    Parameters
    ----------
    folder
        Of the project, or of the corrections of a scan.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / STRUCTURES
        self.trouble = ""
        """Why the file could not be read, when it could not."""
        self._stamp: tuple[int, int] | None = None
        self._labels: tuple[Label, ...] = ()

    @property
    def labels(self) -> tuple[Label, ...]:
        """By id, as last read; the same object until the file changes."""
        stamp = None
        with suppress(OSError):
            found = self.path.stat()
            stamp = found.st_mtime_ns, found.st_size
        if stamp != self._stamp:
            self._stamp, self.trouble = stamp, ""
            try:
                self._labels = tuple(_label(entry) for entry in self._read())
            except InputError as error:
                self.trouble = str(error)
        return self._labels

    def add(self, name: str, taken: Iterable[Label], above: int, mask: Array, by: str = "") -> Label:
        """A structure with a number above all others (else a free one that fits), and a colour that none has yet.

        Parameters
        ----------
        name
            Of no other one.
        taken
            Structures that are known besides.
        above
            The largest id that is known of other masks and of models.
        mask
            That it shall be drawn in.
        by
            Who adds it.

        Raises
        ------
        InputError
            The name is not one, no number is left, or the file is damaged or cannot be written.
        """
        kept, others = self._read(), list(taken)
        known = [*map(_label, kept), *others]
        told = _named(name, known)
        ids = {x.id for x in known}
        largest = min(LARGEST_ID, int(np.iinfo(mask.dtype).max))
        number = max(above, int(mask.max()), *ids, 0) + 1
        if number > largest:
            drawn = set(np.unique(mask).tolist())
            number = next((n for n in range(1, largest + 1) if n not in ids and n not in drawn), 0)
        if not number:
            raise InputError("There is no number left for another structure.", "Draw it as one that is there.")
        colors = {x.color for x in known}
        color = next((c for c in MODEL_COLOURS if c not in colors), MODEL_COLOURS[number % len(MODEL_COLOURS)])
        made = _Entry(id=number, name=told, color=color, by=by)
        self._write((*kept, made))
        return _label(made)

    def rename(self, number: int, name: str, taken: Iterable[Label], only_by: str | None = None) -> None:
        """Call one of them otherwise.

        Raises
        ------
        InputError
            As `add`; it is not there any more; or somebody other than ``only_by`` added it.
        """
        kept = self._read()
        entry = next((x for x in kept if x.id == number), None)
        if entry is None:
            raise InputError(f"The structure {number} is not in {self.path.name} any more.", STRUCTURES_HINT)
        if only_by is not None and entry.by != only_by:
            raise InputError("Another reader added this structure.", "Add one of your own.")
        told = _named(name, [x for x in (*map(_label, kept), *taken) if x.id != number])
        self._write(tuple(x.model_copy(update={"name": told}) if x.id == number else x for x in kept))

    def _read(self) -> tuple[_Entry, ...]:
        try:
            return _Kept.model_validate_json(self.path.read_bytes()).structures
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            raise InputError(f"{self.path.name}, which names the structures, is damaged.", STRUCTURES_HINT) from error

    def _write(self, entries: tuple[_Entry, ...]) -> None:
        write_text(self.path, _Kept(structures=entries).model_dump_json(indent=1) + "\n")


def _label(entry: _Entry) -> Label:
    return Label(entry.id, entry.name, entry.color, entry.code)


def _named(name: str, others: Iterable[Label]) -> str:
    told = " ".join(name.split())
    if not told or len(told) > LONGEST_NAME:
        raise InputError(f"A structure needs a name of 1 to {LONGEST_NAME} characters.", "Type another one.")
    if told.casefold() in {x.name.casefold() for x in others}:
        raise InputError(f"There is a structure {told!r} already.", "Draw that one, or type another name.")
    return told
