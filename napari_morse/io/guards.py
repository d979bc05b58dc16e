"""Gates before memory is spent: a budget, the length a header declares, and compressed streams read to their end."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_morse.errors import DamagedFileError, InputError, MemoryBudgetError

MEMORY_VARIABLE = "NAPARI_MORSE_MEMORY_GB"
"""Environment variable that sets the memory budget, in GB (10⁹ bytes)."""
_NO_SYSCONF = 8e9
"""Bytes taken for the physical memory where the system does not tell (Windows)."""
_DEFLATE = 1032
"""Deflate never expands a byte to more than this many (zlib, "Maximum Compression Factor")."""
_TRAILING = 1 << 20
"""Bytes tolerated behind the voxels of a gzipped file: some writers pad; a bomb holds more."""
_READ_AT_ONCE = 1 << 20
COPY_AGAIN = "Copy it again from where it came."


def memory_budget() -> int:
    """Bytes that one image may take: half of the physical memory, or what ``NAPARI_MORSE_MEMORY_GB`` says."""
    text = os.environ.get(MEMORY_VARIABLE, "").strip()
    if not text:
        return int(_physical_memory() / 2)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 < gigabytes < math.inf:
        raise InputError(f"{MEMORY_VARIABLE} is “{text}”, not a number of GB.", "Set it to a number such as 8.")
    return int(gigabytes * 1e9)


def _physical_memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return _NO_SYSCONF


def check_budget(needed: int, name: str) -> None:
    """Raise MemoryBudgetError when ``needed`` bytes for the image ``name`` are above the budget."""
    budget = memory_budget()
    if needed > budget:
        raise MemoryBudgetError(
            f"“{name}” needs {needed / 1e9:.1f} GB of memory; the budget is {budget / 1e9:.1f} GB.",
            f"Close other programs and set {MEMORY_VARIABLE} higher, or crop or resample the image first.",
        )


@contextmanager
def enough_memory(name: str) -> Iterator[None]:
    """Turn a failed allocation into a MemoryBudgetError that names the file."""
    try:
        yield
    except MemoryError as error:
        raise MemoryBudgetError(f"There is not enough memory left for “{name}”.", "Close other programs.") from error


def check_length(declared: int, size: int, gzipped: bool, name: str) -> None:
    """Raise DamagedFileError when a file of ``size`` bytes cannot hold the ``declared`` ones."""
    # Before anything is unpacked: a header that promises more than deflate can give is damage, or an attack.
    if declared > (size * _DEFLATE if gzipped else size):
        raise incomplete(name, size, declared, " on disk" if gzipped else "")


def incomplete(name: str, read: int, declared: int, where: str = "") -> DamagedFileError:
    """The error for a file that ends too early."""
    return DamagedFileError(f"“{name}” is incomplete: {read} of {declared} bytes{where}.", COPY_AGAIN)


def keep_original(target: Path, original: Path | None) -> None:
    """Raise InputError when ``target`` is the very file ``original`` (also by another name or link)."""
    if original is None or not original.exists() or not target.exists():
        return
    # By identity, not by name: a link or the name in another case of letters is the same file.
    if target.samefile(original):
        raise InputError(f"“{target.name}” is the original scan, which is never written over.", "Choose another name.")


class Stream:
    """A file, gzipped or not, read once from its start; short reads and damage become typed errors.

    Parameters
    ----------
    file
        Open for reading at its start.
    name
        For the errors.
    declared
        Bytes that the caller expects in all (uncompressed), for the errors.
    """

    def __init__(self, file: BufferedReader | gzip.GzipFile, name: str, declared: int) -> None:
        self._file = file
        self._name = name
        self._declared = declared
        self.position = 0

    def skip(self, count: int) -> None:
        """Go forward by ``count`` bytes."""
        if isinstance(self._file, gzip.GzipFile):
            while count > 0:
                # Read: seeking past the end of a gzipped file stops there without a word.
                count -= len(self._some(min(count, _READ_AT_ONCE)))
        else:
            self._file.seek(count, os.SEEK_CUR)
            self.position += count

    def take(self, count: int) -> NDArray[np.uint8]:
        """The next ``count`` bytes, in memory of their own."""
        buffer = np.empty(count, np.uint8)
        done = 0
        while done < count:
            chunk = self._some(min(count - done, _READ_AT_ONCE))
            buffer[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            done += len(chunk)
        return buffer

    def finish(self) -> None:
        """Read a gzipped file to its end, which checks its CRC and length; refuse one that goes on and on."""
        if not isinstance(self._file, gzip.GzipFile):
            return
        extra = 0
        while chunk := self._read(_READ_AT_ONCE):
            extra += len(chunk)
            if extra > _TRAILING:
                raise DamagedFileError(
                    f"“{self._name}” holds more than the {self._declared} bytes that its header declares.", COPY_AGAIN
                )

    def _some(self, most: int) -> bytes:
        chunk = self._read(most)
        if not chunk:
            raise incomplete(self._name, self.position, self._declared)
        self.position += len(chunk)
        return chunk

    def _read(self, most: int) -> bytes:
        try:
            return self._file.read1(most)
        except EOFError as error:
            raise incomplete(self._name, self.position, self._declared) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DamagedFileError(f"“{self._name}” is damaged: its checksum does not hold.", COPY_AGAIN) from error
        except OSError as error:
            raise InputError(f"“{self._name}” cannot be read: {error.strerror}.", COPY_AGAIN) from error


@contextmanager
def open_stream(path: Path, gzipped: bool, declared: int) -> Iterator[Stream]:
    """Open ``path`` as a `Stream` of ``declared`` (uncompressed) bytes."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InputError(f"“{path.name}” cannot be read: {error.strerror}.", "Check who may read it.") from error
    with raw:
        if gzipped:
            with gzip.GzipFile(fileobj=raw, mode="rb") as unzipped:
                yield Stream(unzipped, path.name, declared)
        else:
            yield Stream(raw, path.name, declared)
