"""What a model's run means for the open case of a project: it is kept, and may be where corrections begin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_morse.session.case import keep_prediction, record_of
from napari_morse.session.edits import Corrections
from napari_morse.session.project import after_look, begins_anew_with_run
from napari_morse.types import Prediction
from napari_morse.widgets.case.host import CaseHost
from napari_morse.widgets.case.layers import CaseInView
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
        host, here, prediction = self._host, self._host.here, self._session.result
        if status != "done" or here is None or prediction is None:
            return
        if self._session.result_scan is not here.work.scan or here.work.blind or not here.project.writable:
            return
        host.follow(here.row, after_look(here.row))
        # Asked when its turn in the queue has come: a stroke drawn until then means that corrections stay.
        host.keeper.writes.add(here.work.folder, lambda: _keeping(host, here, prediction))

    def _on_not_kept(self, _error: Exception) -> None:
        if self._host.here is not None and not self._host.submitting:
            self._host.here.set_editable(True)


def _begins_anew(host: CaseHost, here: CaseInView) -> bool:
    """Whether corrections begin as the rendered mask: nobody has touched or decided on them."""
    if host.here is not here or here.work.given or here.work.blank or not begins_anew_with_run(here.row):
        return False
    here.take_strokes()
    return here.work.untouched


def _keeping(host: CaseHost, here: CaseInView, prediction: Prediction) -> Write:
    """Keeps a prediction, and lets corrections begin with it, all beside the window."""
    anew, work = _begins_anew(host, here), here.work
    if anew:
        here.set_editable(False)  # until it has begun anew

    def write() -> Callable[[], None]:
        # The prediction first: corrections that began with it never lie on the disk without it.
        keep_prediction(prediction, work.digest, work.folder)
        record = record_of(prediction, work.scan)

        def noted() -> None:
            host.try_to(lambda project: project.record_prediction(work.id, record))

        if not anew:
            return noted
        begun = Corrections.restart(work.folder, np.asarray(prediction.rendered.data), work.digest)

        def done() -> None:
            noted()
            if host.here is here:
                work.replace(begun)

        return done

    return write
