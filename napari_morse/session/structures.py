"""Structures that a person added to those of the models: their names, for all cases of a project or for one scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_morse.config import LabelEntry
from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text
from napari_morse.training.palette import LARGEST_ID, PALETTE
from napari_morse.types import Label

FILE = "structures.json"
LONGEST = 60
"""Characters of a name."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    structures: tuple[LabelEntry, ...] = ()


class Structures:
    """The structures that are named in one folder; read again when the file is another one than before.

    A file that is damaged names nothing, and is not written over.

    Parameters
    ----------
    folder
        Of the project, or of the corrections of a scan.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._stamp: tuple[int, int] | None = None
        self._labels: tuple[Label, ...] = ()

    @property
    def labels(self) -> tuple[Label, ...]:
        """By id; the same object until the file changes."""
        stamp = None
        with suppress(OSError):
            found = self.path.stat()
            stamp = found.st_mtime_ns, found.st_size
        if stamp != self._stamp:
            self._stamp = stamp
            with suppress(InputError):
                self._labels = self._read()
        return self._labels

    def add(self, taken: Iterable[Label], used: Callable[[int], bool]) -> Label:
        """A structure with the least id that is free, and a colour that none has yet.

        Parameters
        ----------
        taken
            Structures that are known besides.
        used
            Whether a mask holds an id.

        Raises
        ------
        InputError
            No id is left, or the file is damaged or cannot be written.
        """
        kept, others = self._read(), list(taken)
        ids = {label.id for label in (*kept, *others)}
        number = next((n for n in range(1, LARGEST_ID + 1) if n not in ids and not used(n)), None)
        if number is None:
            raise InputError("There is no number left for another structure.", "Draw it as one that is there.")
        colors = {label.color for label in (*kept, *others)}
        color = next((c for c in PALETTE if c not in colors), PALETTE[number % len(PALETTE)])
        made = Label(number, f"label {number}", color)
        self._write((*kept, made))
        return made

    def rename(self, number: int, name: str) -> None:
        """Call one of them otherwise; raises InputError for a name that is empty or too long, and as `add`."""
        told = " ".join(name.split())
        if not told or len(told) > LONGEST:
            raise InputError(f"A structure needs a name of 1 to {LONGEST} characters.", "Type another one.")
        kept = self._read()
        self._write(tuple(Label(x.id, told, x.color) if x.id == number else x for x in kept))

    def remove(self, number: int) -> None:
        """Forget one of them; raises as `add`."""
        self._write(tuple(x for x in self._read() if x.id != number))

    def _read(self) -> tuple[Label, ...]:
        try:
            kept = _Kept.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            raise InputError(f"{self.path} is damaged.", "Delete it, and name the structures again.") from error
        return tuple(Label(x.id, x.name, x.color, x.code) for x in kept.structures)

    def _write(self, labels: tuple[Label, ...]) -> None:
        found = tuple(LabelEntry(id=x.id, name=x.name, color=x.color, code=x.code) for x in labels)
        write_text(self.path, _Kept(structures=found).model_dump_json(indent=1) + "\n")
