"""Many cases, one after the other: what goes wrong in one is said in a sentence, and the others are done."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_morse.errors import CancelledError, InputError, MemoryBudgetError, MorseError

PARTLY = 1
"""Exit code where some cases were done, or the fault is the program's own."""
UNUSABLE = 2
"""Exit code where nothing that was given can be used."""
_HERE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Failed:
    """A case that could not be done."""

    name: str
    """Of the file, or of the case."""
    error: MorseError
    foreseen: bool
    """Whether the input is at fault, and not the program."""
    file: str = ""
    """Its whole path."""


@contextmanager
def one_of_many(name: str, failed: list[Failed], file: str = "") -> Iterator[None]:
    """Do one case; what stops it is added to ``failed`` and said on stderr (once), whatever it is.

    Ctrl+C, a cancelled run and a terminal that is gone end the whole batch.
    """
    try:
        yield
    # A broken pipe is an OSError, too: caught below, all further cases would be done for nobody.
    except (CancelledError, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is one case's: the others are still to be done
        foreseen = isinstance(error, (MorseError, MemoryError, OSError))
        this = Failed(name, as_morse_error(error, name), foreseen, file)
        if str(this.error) not in {str(each.error) for each in failed}:
            print_failure(this)
        failed.append(this)


def print_failure(failed: Failed) -> None:
    """One line on stderr that names the case."""
    named = failed.name in str(failed.error)
    sys.stderr.write(f"Error: {'' if named else f'{failed.name}: '}{failed.error}\n")


def exit_code(done: int, failed: list[Failed]) -> int:
    """0 when all went well, `UNUSABLE` when nothing given could be used, else `PARTLY`."""
    if not failed:
        return 0
    return UNUSABLE if not done and all(each.foreseen for each in failed) else PARTLY


def check_summary(path: Path, ours: Callable[[dict[str, Any]], bool]) -> None:
    """Look that a summary is written over nothing but an earlier one.

    Raises
    ------
    InputError
        There is a file of that name, and it is no JSON of which ``ours`` is true.
    """
    if not path.is_file():
        return
    try:
        content = path.read_bytes()
        summary = json.loads(content) if content.lstrip().startswith(b"{") else None
    except (OSError, ValueError, RecursionError):
        summary = None
    if not isinstance(summary, dict) or not ours(summary):
        raise InputError(
            f"“{path.name}” is there already, and no earlier summary: it would be overwritten.",
            "Give another name to --json.",
        )


def as_morse_error(error: Exception, name: str) -> MorseError:
    """A sentence for any error; the texts of unforeseen ones stay out, which may repeat what a header says."""
    if isinstance(error, MorseError):
        return error
    if isinstance(error, MemoryError) or _no_memory(error):
        hint = "Close other programs, draw a region with --roi, or take another --device."
        return MemoryBudgetError(f"There is not enough memory for “{name}”.", hint)
    if isinstance(error, OSError) and error.strerror:
        return MorseError(f"“{name}” could not be done: {error.strerror}.", "Check the disk, and who may use it.")
    return MorseError(
        f"“{name}” could not be done: the program has a fault ({type(error).__name__} in {_where(error)}).",
        "Report it with this line; leave the case out meanwhile.",
    )


def _no_memory(error: Exception) -> bool:
    """As torch says it, on a card and on the processor."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _where(error: Exception) -> str:
    """The last line of ours that it came through."""
    lines = traceback.extract_tb(error.__traceback__)
    ours = [line for line in lines if _HERE in Path(line.filename).parents and Path(line.filename) != Path(__file__)]
    if not ours:
        return "another library"
    return f"{Path(ours[-1].filename).relative_to(_HERE).as_posix()}, line {ours[-1].lineno}"
