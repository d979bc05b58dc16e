"""What a model's run means for the open case of a project: it is kept, and may be where corrections begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_warning

from napari_morse.session.casework import OpenCase
from napari_morse.session.edits import Corrections
from napari_morse.session.predicted import keep_prediction, record_of
from napari_morse.session.project import Case
from napari_morse.types import Prediction
from napari_morse.widgets.case_saver import Write
from napari_morse.widgets.corrected import CorrectedLayer

if TYPE_CHECKING:
    from napari_morse.widgets.project_host import ProjectHost

LOOKED = "A model's mask was looked at before the truth was done: this is noted with the truth."


class CaseRuns:
    """Listens to the session's runs.

    Parameters
    ----------
    host
        Holds the case.
    """

    def __init__(self, host: ProjectHost) -> None:
        self._host, self._session = host, host.session
        self._session.status_changed.connect(self._on_run)
        host.saver.failed.connect(self._on_not_kept)

    def close_down(self) -> None:
        """Let go of the session."""
        self._session.status_changed.disconnect(self._on_run)

    def _on_run(self, status: str) -> None:
        """Keep what was found on the open case's own scan, and on no other of that name."""
        host, prediction, scan = self._host, self._session.result, self._session.result_scan
        work, project = host.work, host.project
        if status != "done" or prediction is None or scan is None or work is None or project is None:
            return
        if scan is not work.scan or work.job.blind or not project.writable:
            return
        self._note_look(work)
        corrected = self._to_begin(work)
        if corrected is not None:
            corrected.layer.editable = False  # until it has begun anew
        host.saver.add(work.job.folder, lambda: _keeping(host, work, prediction, corrected))

    def _to_begin(self, work: OpenCase) -> CorrectedLayer | None:
        """The corrections, where they begin as the rendered mask: nobody has touched them, and no mask was given."""
        corrected = self._host.corrected
        if corrected is None or work.job.mask is not None or work.job.blank:
            return None
        corrected.compare()
        return corrected if corrected.corrections.untouched else None

    def _note_look(self, work: OpenCase) -> None:
        """A truth is made without a model; where one was looked at before it was done, that is kept with it."""
        case = self._host.case
        if work.job.blank and case is not None and case.status not in ("accepted", "rejected"):
            self._host.try_to(lambda project: project.set_truth_from(case.id, "from_model"))
            show_warning(LOOKED)

    def _on_not_kept(self, _error: Exception) -> None:
        corrected = self._host.corrected
        if corrected is not None and not self._host.submitting:
            corrected.layer.editable = True


def _keeping(host: ProjectHost, work: OpenCase, prediction: Prediction, corrected: CorrectedLayer | None) -> Write:
    """Keeps a prediction, and lets corrections begin with it, all beside the window."""
    job, scan, digest = work.job, work.scan, work.digest

    def write() -> Callable[[], None]:
        keep_prediction(prediction, digest, job.folder)
        record, begun = record_of(prediction, scan), None
        if corrected is not None:
            begun = Corrections.afresh(job.folder, np.asarray(prediction.rendered.data), digest, keep=False)

        def done() -> None:
            host.try_to(lambda project: project.record_prediction(job.case, record))
            if corrected is not None and begun is not None and host.corrected is corrected:
                corrected.replace(begun)

        return done

    return write


def note_stroke(host: ProjectHost, case: Case) -> None:
    """What a stroke says of a truth: it is made from a blank mask, or after a model could be looked at."""
    if case.wants_truth and not case.truth_from:
        host.try_to(lambda project: project.set_truth_from(case.id, "blank_start"))
    elif case.truth_from == "blank_start" and case.model:
        host.try_to(lambda project: project.set_truth_from(case.id, "from_model"))
        show_warning(LOOKED)
