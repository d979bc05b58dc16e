"""Whole files or nothing: write beside the target, flush to the disk, then replace it in one step."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_morse.errors import InputError

_HOST_IN_NAMES = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
# Host and process stand in the name, hashed: on a shared folder only the computer that wrote a part knows whether its
# writer still runs, and no name of a computer is left behind.
_TEMPORARY = re.compile(r"\.morse-part-([0-9a-f]{6})-(\d+)-[0-9a-f]{8}(\.[\w.]*)?")
_STALE_SECONDS = 24 * 3600.0
"""Age after which a leftover of another computer on a shared folder is taken for dead."""
_swept: set[Path] = set()


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """A path to write to; on success it becomes ``target``, on any error it goes and ``target`` stays as it was.

    The path lies in the same folder (so that the replacement is one step), has the same suffix, and does not exist yet.
    A link stays a link: the file that it points to is replaced. What a crash of an earlier run left in the folder goes.

    Raises
    ------
    InputError
        The folder does not exist, is read-only, or the disk is full.
    """
    # Behind the links: a rename onto a link would leave the file that it names as it was, and the link gone.
    final = Path(os.path.realpath(target))
    part = final.parent / f".morse-part-{_HOST_IN_NAMES}-{os.getpid()}-{secrets.token_hex(4)}{_suffix(final)}"
    try:
        _check(final)
        yield part
        _publish(part, final)
    except OSError as error:
        raise InputError(
            f"“{final.name}” could not be written: {error.strerror or error}.",
            "What was there before is unchanged. Choose a folder with space that you may write to.",
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


def _check(final: Path) -> None:
    """Raises InputError, or OSError where the folder cannot even be looked at."""
    if not final.parent.is_dir():
        raise InputError(f"There is no folder for “{final.name}”.", "Make the folder first.")
    if final.is_dir():
        raise InputError(f"“{final.name}” is a folder.", "Give the name of a file.")
    if final.parent not in _swept:
        _swept.add(final.parent)
        sweep(final.parent)


def _suffix(path: Path) -> str:
    ending = ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix
    return ending if re.fullmatch(r"(\.\w{1,12}){0,2}", ending) else ""


def _publish(part: Path, final: Path) -> None:
    if final.exists():
        shutil.copymode(final, part)
    # Content first, then the name: renamed before it is on the disk, a file may come back empty after a power cut.
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(final)
    flush_folder(final.parent)


def replace_files(parts: Iterable[Path], folder: Path) -> list[Path]:
    """Move finished files of the same disk into ``folder``, each in one step; returns where they lie now.

    A link of that name is itself replaced; what it points to stays.

    Raises
    ------
    OSError
        Those before have taken their place.
    """
    finals = []
    for part in parts:
        final = folder / part.name
        if final.is_file() and not final.is_symlink():
            shutil.copymode(final, part)
        part.replace(final)
        finals.append(final)
    # The names alone: what the files hold was flushed where they were written.
    flush_folder(folder)
    return finals


def flush_folder(folder: Path) -> None:
    """Have what was renamed in a folder on the disk."""
    if os.name == "nt":  # Windows cannot open a folder to flush it
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def part_folder(target: Path) -> Path:
    """A name beside a folder that is to be made, for making it; what a killed writer left a day ago goes."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.part-????????"):
        # By age alone: unlike a part's, this name does not say whether its writer still runs.
        if time.time() - left.lstat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    return target.with_name(f".{target.name}.part-{secrets.token_hex(4)}")


def write_bytes(target: Path | str, content: bytes) -> Path:
    """Write ``content`` to ``target``, all or nothing; returns the path."""
    with atomic_path(target) as part:
        part.write_bytes(content)
    return Path(target)


def write_text(target: Path | str, content: str) -> Path:
    """Write ``content`` to ``target`` as UTF-8 with the line ends as given, all or nothing; returns the path."""
    return write_bytes(target, content.encode("utf-8"))


def sweep(folder: Path | str) -> list[str]:
    """Remove what writers that no longer run left in ``folder``; returns the names. Other files are never touched."""
    removed = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False) and _stale(entry, match[1], int(match[2])):
                with suppress(OSError):
                    Path(entry.path).unlink()
                    removed.append(entry.name)
    return removed


def _stale(entry: os.DirEntry[str], host: str, process: int) -> bool:
    if host == _HOST_IN_NAMES and not _runs(process):
        return True
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS


def _runs(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 would end the process instead of asking for it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
