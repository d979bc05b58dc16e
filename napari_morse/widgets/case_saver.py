"""Writing what belongs to cases beside the window: one after the other, none left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.casework import first_mask
from napari_morse.session.edits import ChangedOnDiskError, Corrections
from napari_morse.session.project import Agreement, agreement
from napari_morse.widgets.workers import JobRunner, Work

Write = Callable[[], Callable[[], None] | None]
"""Runs beside the window; what it returns is called in the window's thread."""
Begin = Callable[[], Write | None]
"""Called in the window's thread when its turn has come; None when there is nothing to write any more."""


class CaseSaver(QObject):
    """A queue of writes.

    Parameters
    ----------
    parent
        Owner.
    """

    changed = Signal()
    """A write has ended."""
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
        self._runner.join()
        self._after()
        while self._queue:
            _, begin = self._queue.popleft()
            try:
                write = begin()
                if write is not None:
                    self._written.append(write())
            except MorseError as error:
                self.failed.emit(error)
            self._after()

    def _next(self) -> None:
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
        self._next()
        self.changed.emit()

    def _on_failed(self, error: Exception) -> None:
        self._after()  # it may have been told to stop when it had written
        if not isinstance(error, CancelledError):
            self.failed.emit(error)
        self._next()
        self.changed.emit()


def _work(write: Write, written: list[Callable[[], None] | None]) -> Work:
    """Without the queue: the thread holds no widget."""
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
        if not corrections.dirty:
            return None
        job = corrections.begin_checkpoint(replace_changed=conflict is None)

        def write() -> Callable[[], None]:
            try:
                return partial(corrections.finish_checkpoint, job, job.run())
            except ChangedOnDiskError:
                if conflict is None:
                    raise
                return partial(conflict, job.beside())

        return write

    return begin


def submitting(
    corrections: Corrections, first: Path, spacing: Sequence[float], done: Callable[[Agreement | None], None]
) -> Begin:
    """Saves a second reading and compares it with the ``first`` reader's file, which the reader has not seen."""

    def begin() -> Write:
        own, job = np.array(corrections.mask), corrections.begin_checkpoint()

        def write() -> Callable[[], None]:
            written = job.run()
            before = first_mask(first)
            found = None if before is None else agreement(before, own, spacing)

            def finish() -> None:
                corrections.finish_checkpoint(job, written)
                done(found)

            return finish

        return write

    return begin
