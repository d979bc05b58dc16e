"""Predicting the next cases of a project while nothing else runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.io import open_scan
from napari_morse.io.mask_store import pixel_digest
from napari_morse.session import SegmentJob, SegmentSession
from napari_morse.session.case import keep_prediction, record_of
from napari_morse.session.project import Case, PredictionRecord, Project, predicted_ahead
from napari_morse.widgets.base import JobRunner, Tell
from napari_morse.widgets.case import ProjectHost

CASES = 2
"""How many cases after the open one are predicted unasked."""
PAUSE = 1000
"""Milliseconds of rest before one begins."""
BACKGROUND_NICENESS = 10
"""By how much the work gives way to the window."""


@dataclass(frozen=True)
class Predicted:
    """A case that was predicted and kept."""

    project: str
    case: str
    record: PredictionRecord


@dataclass(frozen=True)
class Place:
    """A case, and where its files are."""

    project: str
    case: str
    scan: Path
    folder: Path


class BackgroundPredictor(QObject):
    """Predicts cases that are new, in the worklist's order, with the model and the device that the dock shows.

    A case that came with a mask is left to the person.

    Parameters
    ----------
    host
        Whose cases.
    """

    changed = Signal()
    """Another case is being predicted, or none."""

    def __init__(self, host: ProjectHost) -> None:
        super().__init__(host)
        self._host, self._session = host, host.session
        self.enabled, self.all = True, False
        """Whether to predict the next `CASES`; whether every new case."""
        self.case = ""
        """Id of the case that is being predicted."""
        self._failed: set[tuple[str, str]] = set()
        self.runner = JobRunner("morse-ahead", self)
        self.runner.succeeded.connect(self._on_predicted)
        self.runner.failed.connect(self._on_failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)
        host.changed.connect(self.later)
        host.opening.connect(self._on_opening)
        self._session.status_changed.connect(self._on_run)

    def set_enabled(self, enabled: bool) -> None:
        """Whether to predict the next ones."""
        self.enabled = enabled
        self.stop()
        self.later()

    def set_all(self, wanted: bool) -> None:
        """Whether to predict every new case."""
        self.all = wanted
        self.stop()
        self.later()

    def later(self) -> None:
        """Begin after a pause, if there is anything to do then."""
        if self._host.project is None:
            self.stop()
        elif not self._timer.isActive():
            self._timer.start(PAUSE)

    def stop(self) -> None:
        """Stop within one tile; returns at once."""
        self._timer.stop()
        self.runner.cancel()

    def close_down(self) -> None:
        """Stop, and let go of the session."""
        self.stop()
        self._session.status_changed.disconnect(self._on_run)

    def left(self) -> int:
        """How many cases are still to be predicted when every new one is asked for."""
        project = self._host.project
        return 0 if project is None else sum(self._wanted(case) for case in project.cases())

    def _on_run(self, status: str) -> None:
        if status == "running":
            self.stop()
        else:
            self.later()

    def _on_opening(self, case: str) -> None:
        if case == self.case:
            self.runner.cancel()

    def _begin(self) -> None:
        host, session = self._host, self._session
        project = host.project
        if not (self.enabled or self.all) or project is None or project.read_only or self.runner.busy:
            return
        if host.busy or session.running or not session.model or not session.one_channel:
            return
        case = self._next(project)
        if case is None:
            return
        try:
            scan, folder = project.scan_of(case.id), project.folder_of(case.id)
        except MorseError:
            self._give_up(case.id)  # it is said when the case is opened
            return
        self.case = case.id
        self.changed.emit()
        self.runner.start(_predicting(Place(project.about.id, case.id, scan, folder), session))

    def _next(self, project: Project) -> Case | None:
        shown, open_case = self._host.arrangement, self._host.work
        cases = project.cases(shown.order, shown.descending, shown.statuses, shown.text)
        here = [case.id for case in cases].index(open_case.id) if self._stands_in(cases) and open_case else -1
        coming = cases[here + 1 :]
        wanted = coming + cases[: max(here, 0)] + project.cases() if self.all else coming[:CASES]
        busy = open_case.id if open_case is not None else ""
        return next((case for case in wanted if case.id != busy and self._wanted(case)), None)

    def _stands_in(self, cases: list[Case]) -> bool:
        work = self._host.work
        return work is not None and any(case.id == work.id for case in cases)

    def _wanted(self, case: Case) -> bool:
        return predicted_ahead(case) and (case.id, self._session.model) not in self._failed

    def _on_predicted(self, found: Predicted) -> None:
        self.case = ""
        project = self._host.project
        # Another project may be open by now, and have a case of the same id.
        if project is not None and project.about.id == found.project:
            self._host.try_to(lambda project: project.record_prediction(found.case, found.record))
        self.changed.emit()
        self.later()

    def _on_failed(self, error: Exception) -> None:
        case, self.case = self.case, ""
        if isinstance(error, CancelledError):
            self.later()
        else:
            self._give_up(case)
        self.changed.emit()

    def _give_up(self, case: str) -> None:
        # By model: another one may manage the case, and none is tried in a circle.
        self._failed.add((case, self._session.model))
        self.later()


def _predicting(place: Place, session: SegmentSession) -> Callable[[Tell, Callable[[], bool]], Predicted]:
    # Taken here: the person may choose another model while this one runs.
    engine, model, device = session.engine, session.model, session.device

    def work(_tell: Tell, cancelled: Callable[[], bool]) -> Predicted:
        _give_way()
        scan = open_scan(place.scan)
        said = SegmentJob(engine, scan, model, device).run(lambda _: None, cancelled)
        if cancelled():
            raise CancelledError
        keep_prediction(said, pixel_digest(scan.data), place.folder)
        return Predicted(place.project, place.case, record_of(said, scan))

    return work


def _give_way() -> None:
    """Let the window go first; only Linux can say so of one thread."""
    if sys.platform == "linux":
        with suppress(OSError):
            # Never set back, which needs rights: the thread lasts for one case.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICENESS)
