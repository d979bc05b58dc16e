"""Long work beside the window: one thread at a time, progress and cancel, nothing left behind.

The work runs in a plain Python thread and knows nothing of layers or widgets; what it says arrives in the window's
thread through queued signals.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_morse.errors import CancelledError, InputError

logger = logging.getLogger(__name__)

Tell = Callable[[Any], None]
Work = Callable[[Tell, Callable[[], bool]], Any]
"""``work(progress, cancelled)``: what it returns is the result; it raises `CancelledError` when it leaves early."""

_alive: set[_Post] = set()
"""Posts of running threads: each lives until its last signal has arrived, whatever happens to the window."""


class _Post(QObject):
    """Carries what the thread says to the window's thread."""

    progressed = Signal(object)
    ended = Signal(object, object)  # result, error

    def __init__(self) -> None:
        super().__init__()
        self.ended.connect(self._leave)

    def _leave(self) -> None:
        _alive.discard(self)


class JobRunner(QObject):
    """Runs one piece of work at a time beside the window.

    Parameters
    ----------
    name
        Name of the thread, for whoever looks at a list of threads.
    parent
        Owner; when it goes, a running work is cancelled.
    """

    progressed = Signal(object)
    """What the work told."""
    succeeded = Signal(object)
    """What the work returned."""
    failed = Signal(object)
    """The exception that ended it, `CancelledError` included."""

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.stop_event = threading.Event()
        """Set to ask the work to stop; outlives this object."""
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a work was started whose end has not arrived yet."""
        return self._thread is not None

    def start(self, work: Work) -> None:
        """Start ``work`` in a thread of its own.

        Raises
        ------
        InputError
            When another one is still under way.
        """
        if self.busy:
            raise InputError("The last run has not ended yet.", "Wait for it or cancel it.")
        self.stop_event.clear()
        post = _Post()
        post.progressed.connect(self.progressed)
        post.ended.connect(self._end)
        _alive.add(post)
        self._thread = threading.Thread(target=_run, args=(work, post, self.stop_event), name=self._name)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop at its next step; returns at once."""
        self.stop_event.set()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the thread, which stops at its next step after `cancel`. Whether it has ended."""
        if self._thread is None:
            return True
        self._thread.join(seconds)
        # `busy` stays true here: the end itself comes by a queued signal, in the window's thread.
        return not self._thread.is_alive()

    def _end(self, result: object, error: BaseException | None) -> None:
        # Before the signals: whoever hears of the end may start the next work at once.
        self._thread = None
        if error is None:
            self.succeeded.emit(result)
        else:
            self.failed.emit(error)


def _run(work: Work, post: _Post, stop: threading.Event) -> None:
    result: Any = None
    error: Exception | None = None
    try:
        with warnings.catch_warnings():
            # A warning shown from here would open a dialog in the wrong thread and freeze the window.
            warnings.simplefilter("default")
            warnings.showwarning = _log_warning  # type: ignore[assignment]
            result = work(lambda progress: _say(post.progressed, progress), stop.is_set)
        # Cancelled though it is done: who pressed Cancel never sees a result appear.
        if stop.is_set():
            error = CancelledError()
    except Exception as caught:  # whatever it is, the window must learn that the work has ended
        if not isinstance(caught, CancelledError):
            logger.debug("%s ended with an error", threading.current_thread().name, exc_info=True)
        error = caught
    _say(post.ended, None if error is not None else result, error)


def _say(signal: Any, *what: object) -> None:
    try:
        signal.emit(*what)
    # Qt deletes the post with the application, while the thread may still be in a long step.
    except RuntimeError:
        logger.debug("The application closed before the work ended.")


def _log_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    logger.debug("%s:%s: %s: %s", filename, lineno, category.__name__, message)
