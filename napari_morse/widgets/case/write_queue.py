"""Writing what belongs to cases beside the window: one after the other, none left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal

from napari_morse.errors import CancelledError, InputError, MorseError
from napari_morse.session.case import first_mask
from napari_morse.session.edits import ChangedOnDiskError, Checkpoint, Corrections
from napari_morse.session.project import Agreement, agreement
from napari_morse.widgets.base import JobRunner, Work

Write = Callable[[], Callable[[], None] | None]
"""Runs beside the window; what it returns is called in the window's thread."""
Begin = Callable[[], Write | None]
"""Called in the window's thread when its turn has come; None when there is nothing to write any more."""


class NotSavedError(InputError):
    """Corrections could not be saved.

    Parameters
    ----------
    corrections
        Which.
    why
        What was in the way.
    """

    def __init__(self, corrections: Corrections, why: Exception) -> None:
        what = why.args[0] if isinstance(why, MorseError) else why
        super().__init__(f"The corrections could not be saved: {what}")
        self.corrections = corrections

    @property
    def safe(self) -> bool:
        """Whether every stroke is in the journal all the same."""
        return not self.corrections.unwritten


class WriteQueue(QObject):
    """A queue of writes.

    Parameters
    ----------
    parent
        Owner.
    """

    changed = Signal()
    """A write has ended."""
    written = Signal()
    """It has ended well."""
    failed = Signal(object)
    """The exception that ended one."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runner = JobRunner("morse-corrections", self)
        self._queue: deque[tuple[Path, Begin]] = deque()
        self._now: Path | None = None
        self._written: list[Callable[[], None] | None] = []
        self._runner.succeeded.connect(self._on_written)
        self._runner.failed.connect(self._on_failed)

    @property
    def busy(self) -> bool:
        """Whether anything is being written or waits."""
        return self._now is not None or bool(self._queue)

    def busy_in(self, folder: Path) -> bool:
        """Whether anything is being written in a folder, or waits to be."""
        return folder == self._now or any(place == folder for place, _ in self._queue)

    def add(self, folder: Path, begin: Begin) -> None:
        """Write something in a folder when those before it are done."""
        self._queue.append((folder, begin))
        self._next()

    def finish(self) -> None:
        """Wait until all is written."""
        # Joined, then done here: the thread's own end arrives by a queued signal, which nobody hears while this waits.
        self._runner.join()
        self._after()
        while self._queue:
            _, begin = self._queue.popleft()
            try:
                write = begin()
                if write is not None:
                    self._written.append(write())
            except (MorseError, OSError) as error:
                self.failed.emit(error)
            self._after()

    def _next(self) -> None:
        # Both are asked: after `finish` nothing is written any more, but the runner waits for the signal of its end.
        while self._now is None and not self._runner.busy and self._queue:
            folder, begin = self._queue.popleft()
            write = begin()
            if write is not None:
                self._now = folder
                self._runner.start(_work(write, self._written))

    def _after(self) -> None:
        """What is due in the window's thread after a write; nothing when it was called already."""
        self._now = None
        while self._written:
            done = self._written.pop()
            if done is not None:
                done()

    def _on_written(self, _: object) -> None:
        self._after()
        self.written.emit()
        self._next()
        self.changed.emit()

    def _on_failed(self, error: Exception) -> None:
        self._after()  # it may have been told to stop when it had written
        if not isinstance(error, CancelledError):
            self.failed.emit(error)
        self._next()
        self.changed.emit()


class Complaints(QObject):
    """Says why something was not written: of corrections once while it lasts, for they are tried again by themselves.

    Parameters
    ----------
    saver
        Its owner, too.
    safe
        A sentence on where corrections are that could not be saved, while every stroke is in the journal.
    """

    def __init__(self, saver: WriteQueue, safe: str) -> None:
        super().__init__(saver)
        self._safe, self._said = safe, ""
        saver.written.connect(self._forget)

    def say(self, error: Exception) -> None:
        """Why a write has failed."""
        if not isinstance(error, NotSavedError):
            show_warning(str(error))
            return
        text = f"{error} {self._safe}"
        if error.safe and text != self._said:  # where it is not safe, that was told when it began
            self._said = text
            show_warning(text)

    def _forget(self) -> None:
        self._said = ""


def _work(write: Write, written: list[Callable[[], None] | None]) -> Work:
    """Without the queue: the thread holds no widget."""
    # Into a list, not as the runner's result: a write that was cancelled too late has no result, but did write.
    return lambda _tell, _cancelled: written.append(write())


def saving(corrections: Corrections, conflict: Callable[[Path], None] | None = None) -> Begin:
    """Saves corrections, when there is something to save at its turn.

    Parameters
    ----------
    corrections
        Those.
    conflict
        Called, in the window's thread, with the name under which they were kept when something else has changed the
        saved file; None: such a file is replaced.
    """

    def begin() -> Write | None:
        if not (corrections.dirty or corrections.unwritten):
            return None
        job = corrections.begin_checkpoint(replace_changed=conflict is None)

        def write() -> Callable[[], None]:
            try:
                return partial(corrections.finish_checkpoint, job, job.run())
            except ChangedOnDiskError as error:
                if conflict is None:
                    raise NotSavedError(corrections, error) from error
                return partial(conflict, _kept_beside(corrections, job))
            except (MorseError, OSError) as error:
                raise NotSavedError(corrections, error) from error

        return write

    return begin


def _kept_beside(corrections: Corrections, job: Checkpoint) -> Path:
    try:
        return job.beside()
    except (MorseError, OSError) as error:
        raise NotSavedError(corrections, error) from error


def submitting(
    corrections: Corrections, first: Path, spacing: Sequence[float], done: Callable[[Agreement | None], None]
) -> Begin:
    """Saves a second reading and compares it with the ``first`` reader's file, which the reader has not seen."""

    def begin() -> Write:
        # A copy in the window's thread, with the checkpoint: what is compared is what is saved, whatever is drawn
        # meanwhile.
        own, job = np.array(corrections.mask), corrections.begin_checkpoint()

        def write() -> Callable[[], None]:
            try:
                written = job.run()
            except (MorseError, OSError) as error:
                raise NotSavedError(corrections, error) from error
            before = first_mask(first)
            found = None if before is None else agreement(before, own, spacing)

            def finish() -> None:
                corrections.finish_checkpoint(job, written)
                done(found)

            return finish

        return write

    return begin
