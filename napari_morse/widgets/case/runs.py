"""What a model's run means for the open case of a project: it is kept, and may be where corrections begin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_morse.session.case import OpenCase, keep_prediction, record_of
from napari_morse.session.edits import Corrections
from napari_morse.session.project import after_look, begins_anew_with_run
from napari_morse.types import Prediction
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.case.host import CaseHost
from napari_morse.widgets.case.write_queue import Write


class CaseRuns:
    """Listens to the session's runs.

    Parameters
    ----------
    host
        Holds the case.
    """

    def __init__(self, host: CaseHost) -> None:
        self._host, self._session = host, host.session
        self._session.status_changed.connect(self._on_run)
        host.keeper.writes.failed.connect(self._on_not_kept)

    def close_down(self) -> None:
        """Let go of the session."""
        self._session.status_changed.disconnect(self._on_run)

    def _on_run(self, status: str) -> None:
        """Keep what was found on the open case's own scan, and on no other of that name."""
        host, prediction, scan = self._host, self._session.result, self._session.result_scan
        work, project = host.work, host.project
        if status != "done" or prediction is None or scan is None or work is None or project is None:
            return
        if scan is not work.scan or work.blind or not project.writable:
            return
        case = host.case
        if case is not None:
            host.follow(case, after_look(case))
        host.keeper.writes.add(work.folder, lambda: _keeping(host, work, prediction))

    def _on_not_kept(self, _error: Exception) -> None:
        corrected = self._host.corrected
        if corrected is not None and not self._host.submitting:
            corrected.layer.editable = True


def _to_begin(host: CaseHost, work: OpenCase) -> CorrectedLayer | None:
    """The corrections, where they begin as the rendered mask: nobody has touched or decided on them."""
    corrected, case = host.corrected, host.case
    if corrected is None or host.work is not work or work.given or work.blank:
        return None
    if case is None or not begins_anew_with_run(case):
        return None
    corrected.compare()
    return corrected if corrected.corrections.untouched else None


def _keeping(host: CaseHost, work: OpenCase, prediction: Prediction) -> Write:
    """Keeps a prediction, and lets corrections begin with it, all beside the window."""
    corrected = _to_begin(host, work)
    if corrected is not None:
        corrected.layer.editable = False  # until it has begun anew
    folder, scan, digest = work.folder, work.scan, work.digest

    def write() -> Callable[[], None]:
        keep_prediction(prediction, digest, folder)
        record, begun = record_of(prediction, scan), None
        if corrected is not None:
            begun = Corrections.restart(folder, np.asarray(prediction.rendered.data), digest)

        def done() -> None:
            host.try_to(lambda project: project.record_prediction(work.id, record))
            if corrected is not None and begun is not None and host.corrected is corrected:
                work.replace(begun)

        return done

    return write
