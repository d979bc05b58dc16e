"""One window at a time: who has a project open for writing, and whether that program still runs."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text

STALE = 120.0
"""Seconds without a sign of life after which another computer's lock may be taken over when asked."""
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]


class ProjectLockedError(InputError):
    """Another window has the project open.

    Parameters
    ----------
    message, hint
        As in `MorseError`.
    alive
        Whether that window gave a sign of life lately.
    """

    def __init__(self, message: str, hint: str, alive: bool) -> None:
        super().__init__(message, hint)
        self.alive = alive


class Lock:
    """A lock file that is ours until `release`; made by `acquire`.

    Parameters
    ----------
    path
        Of the file.
    token
        What tells this lock from others.
    reader
        Who holds it.
    """

    def __init__(self, path: Path, token: str, reader: str) -> None:
        self._path, self._token, self._reader = path, token, reader
        self._place = _identity(path.parent)

    @classmethod
    def acquire(cls, path: Path, reader: str, take_over: bool = False) -> Lock:
        """Take the lock.

        A lock whose program is gone from this computer is taken silently: nobody holds it.

        Raises
        ------
        ProjectLockedError
            Another window holds it, and ``take_over`` is False.
        InputError
            The folder cannot be written to.
        """
        lock = cls(path, secrets.token_hex(8), reader)
        while True:
            try:
                # Made and taken in one step: with a look first, two windows could both find the way free.
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                lock._displace(take_over)
                continue
            except OSError as error:
                raise _unwritable(path, error) from error
            lock._sign(handle)
            return lock

    def beat(self) -> bool:
        """Give a sign of life; False when the lock is no longer ours."""
        if not self.held:
            return False
        # Whole or not at all: a lock that cannot be read counts as another window's.
        write_text(self._path, self._text())
        return True

    @property
    def held(self) -> bool:
        """Whether the lock is still ours, as far as can be known: a folder that is out of reach is nobody else's."""
        try:
            lock = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return _identity(self._path.parent) != self._place
        except OSError:
            return True
        except (ValueError, RecursionError):
            return False
        return isinstance(lock, dict) and lock.get("token") == self._token

    def release(self) -> None:
        """Give it back; a lock that another window took over stays that window's."""
        if self.held:
            with suppress(OSError):
                self._path.unlink()

    def _sign(self, handle: int) -> None:
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self._text())
        except OSError as error:
            with suppress(OSError):
                self._path.unlink()
            raise _unwritable(self._path, error) from error

    def _displace(self, take_over: bool) -> None:
        """Remove the lock in the way, when it may be: under a name of our own, lest it is another one by then."""
        holder = _read(self._path)
        if holder is None:
            return
        if not take_over and not _gone(holder):
            raise _locked(self._path, holder)
        aside = self._path.with_name(f"{self._path.name}.{self._token}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unwritable(self._path, error) from error
        if _read(aside) != holder and not take_over:  # another window displaced it first: its lock goes back
            with suppress(OSError):
                os.link(aside, self._path)  # unlike renaming back, it fails where a third window has locked meanwhile
        with suppress(OSError):
            aside.unlink()

    def _text(self) -> str:
        return json.dumps(
            {"token": self._token, "host": _HOST, "process": os.getpid(), "reader": self._reader, "at": time.time()}
        )


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder lies at a path; another one, or None, where a share was taken away."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"The project in {path.parent} cannot be changed: {error.strerror or error}.",
        "Open it for reading only, make room, or check your rights.",
    )


def _read(path: Path) -> dict[str, Any] | None:
    """What a lock says; an empty dict when it says nothing that can be read; None when there is none."""
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}  # not None: a lock is empty between being made and being signed, and is somebody's even so
    return lock if isinstance(lock, dict) else {}


def _age(path: Path, lock: dict[str, Any]) -> float:
    at = lock.get("at")
    if not isinstance(at, int | float) or not math.isfinite(at):
        at = 0.0
        with suppress(OSError):
            at = path.stat().st_mtime
    return time.time() - at


def _gone(lock: dict[str, Any]) -> bool:
    """Whether the holder is known to be gone: only a process of this computer can be asked."""
    process = lock.get("process")
    # On Windows signal 0 is Ctrl-C, which would end the process: there, nobody is known to be gone.
    if lock.get("host") != _HOST or not isinstance(process, int) or os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _locked(path: Path, lock: dict[str, Any]) -> ProjectLockedError:
    age = _age(path, lock)
    alive = age < STALE
    where = "on this computer" if lock.get("host") == _HOST else "on another computer"
    who = str(lock.get("reader") or "somebody")
    seen = "a moment ago" if alive else f"{age / 60:.0f} minutes ago"
    return ProjectLockedError(
        f"The project is open in another window ({who}, {where}, last seen {seen}).",
        "Close it there; if that window is gone, take the project over.",
        alive,
    )
