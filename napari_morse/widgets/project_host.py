"""The open project and its case in the window: opening, going on, and what is painted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session import SegmentSession
from napari_morse.session.casework import CORRECTED, CaseJob, OpenCase, first_mask, keep_masks, record_of
from napari_morse.session.edits import Unfinished
from napari_morse.session.project import Case, Project, Status, agreement
from napari_morse.session.project.clock import WorkClock
from napari_morse.widgets.corrected import CorrectedLayer
from napari_morse.widgets.layers import mask_layer_data, scan_layer_data
from napari_morse.widgets.workers import JobRunner

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_morse.session.edits.corrections import OnUnfinished

BEAT = 30_000
"""Milliseconds between two signs of life of the project."""
SAVE = 120_000
"""Milliseconds after which corrections are saved; every stroke is in the journal at once in any case."""
TOUCHED: tuple[Status, ...] = ("new", "predicted", "in_review")


class ProjectHost(QObject):
    """Holds a `Project`, one of its cases and the layer that is corrected.

    Parameters
    ----------
    viewer
        Where cases are shown.
    session
        Runs models; what it finds on the open case is kept in the project.
    ask
        Asks what to do with strokes that were not saved: True takes them over.
    parent
        Owner.
    """

    changed = Signal()
    """Another project, case, status or state of the journal."""

    def __init__(
        self,
        viewer: ViewerModel,
        session: SegmentSession,
        ask: Callable[[Unfinished], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._session, self._ask = viewer, session, ask
        self.project: Project | None = None
        # Where Qt deletes the window without a word, a plain list is all that is left to close the project by.
        self._open: list[Project] = []
        self.destroyed.connect(partial(_close_all, self._open))
        self.work: OpenCase | None = None
        self.corrected: CorrectedLayer | None = None
        self.loader = JobRunner("morse-case", self)
        self.saver = JobRunner("morse-corrections", self)
        self._scan_layer: Image | None = None
        self._seen_layer: Labels | None = None
        self._clock = WorkClock()
        self._wanted = ""
        self.loader.succeeded.connect(self._on_loaded)
        self.loader.failed.connect(self._on_failed)
        self.saver.succeeded.connect(self._on_saved)
        self.saver.failed.connect(self._on_not_saved)
        session.status_changed.connect(self._on_run)
        viewer.dims.events.current_step.connect(self._on_look)
        viewer.scene.camera.events.connect(self._on_look)
        self._beat, self._autosave = QTimer(self), QTimer(self)
        for timer, pause, due in ((self._beat, BEAT, self._on_beat), (self._autosave, SAVE, self.save)):
            timer.setInterval(pause)
            timer.timeout.connect(due)

    # The project

    def take(self, project: Project) -> None:
        """Work on a project, at the case where it was left."""
        self.close_project()
        self.project = project
        self._open[:] = [project]
        self._beat.start()
        self._autosave.start()
        self.changed.emit()
        cases = project.cases()
        if cases:
            self.go(project.current or cases[0].id)

    def close_project(self) -> None:
        """Save what is to be saved, and let the project go."""
        self.leave_case()
        self._beat.stop()
        self._autosave.stop()
        project, self.project = self.project, None
        if project is not None:
            self.saver.join(10)
            project.close()
            self._open.clear()
            self.changed.emit()

    # Cases

    @property
    def case(self) -> Case | None:
        """The open case as the worklist has it."""
        if self.project is None or self.work is None:
            return None
        return self.project.case(self.work.job.case)

    def go(self, case: str, unfinished: OnUnfinished = "ask") -> None:
        """Open a case; the one before is saved."""
        project = self.project
        if project is None or self.loader.busy:
            return
        try:
            mask = None if case in project.to_read() else project.mask_of(case)
            folder = project.folder_of(case)
            job = CaseJob(case, project.scan_of(case), mask, folder, unfinished, project.read_only)
        except MorseError as error:
            show_error(str(error))
            return
        self.leave_case()
        self._wanted = case
        self.loader.start(lambda _tell, _cancelled: job.run())
        self.changed.emit()

    def step(self, by: int) -> None:
        """The next case of the worklist (+1), or the one before (−1)."""
        project, work = self.project, self.work
        if project is None or work is None:
            return
        found = project.next(work.job.case) if by > 0 else project.previous(work.job.case)
        if found is None:
            show_info("That was the last case." if by > 0 else "That is the first case.")
        else:
            self.go(found.id)

    def leave_case(self) -> None:
        """Save the open case's corrections and time, and take its layers away."""
        work, corrected = self.work, self.corrected
        if work is None:
            return
        if corrected is not None:
            corrected.close_down()
            self.save()
        self._spend()
        layers = [corrected.layer if corrected else None, self._seen_layer, self._scan_layer]
        self.work = self.corrected = self._scan_layer = self._seen_layer = None
        for layer in layers:
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.changed.emit()

    def set_status(self, cases: Sequence[str], status: Status, comment: str = "") -> None:
        """Move cases; a sentence when one may not go there."""
        self.try_to(lambda project: project.set_status(cases, status, comment))

    def try_to(self, act: Callable[[Project], Any]) -> bool:
        """Do something with the project; whether it went well."""
        if self.project is None:
            return False
        try:
            act(self.project)
        except MorseError as error:
            show_warning(str(error))
            return False
        finally:
            self.changed.emit()
        return True

    # Corrections

    @property
    def blind(self) -> bool:
        """Whether the open case is a second reading that is not submitted."""
        return self.project is not None and self.work is not None and self.work.job.case in self.project.to_read()

    def submit(self) -> None:
        """End the second reading: the mask is compared with the first reader's, which the reader has not seen."""
        project, work, corrected = self.project, self.work, self.corrected
        if project is None or work is None or corrected is None or self.saver.busy:
            return
        corrected.compare()
        case, own, spacing = work.job.case, np.array(corrected.corrections.mask), work.scan.grid.spacing
        first, job = project.places.case(case) / CORRECTED, corrected.corrections.begin_checkpoint()

        def read(_tell: Any, _cancelled: Any) -> Callable[[], None]:
            written = job.run()
            before = first_mask(first)
            found = None if before is None else agreement(before, own, spacing)

            def finish() -> None:
                corrected.corrections.finish_checkpoint(job, written)
                self.try_to(lambda project: project.submit_reading(case, "read", "", found))

            return finish

        self.saver.start(read)

    def save(self) -> None:
        """Save the corrections, beside the window, when there is something to save."""
        corrections = self.corrected.corrections if self.corrected is not None else None
        if corrections is None or not corrections.dirty or self.saver.busy:
            return
        job = corrections.begin_checkpoint()

        def write(_tell: Any, _cancelled: Any) -> Callable[[], None]:
            written = job.run()
            return lambda: corrections.finish_checkpoint(job, written)

        self.saver.start(write)

    def _on_saved(self, finish: Callable[[], None]) -> None:
        finish()
        self.changed.emit()

    def _on_not_saved(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            show_warning(f"{error} Every stroke is in the journal, and is offered when the case is opened again.")

    def _on_act(self) -> None:
        self._clock.touch()
        case = self.case
        if case is not None and case.status in TOUCHED and not self.blind:
            self.set_status([case.id], "corrected")
        else:
            self.changed.emit()

    # What arrives

    def _on_loaded(self, work: OpenCase) -> None:
        if self.project is None or work.job.case != self._wanted:
            return
        if work.corrections is None and work.unfinished is not None:
            self.go(work.job.case, "recover" if self._ask(work.unfinished) else "set_aside")
            return
        data, attributes, _ = scan_layer_data(work.scan)
        self._scan_layer = Image(data, **attributes)
        self._viewer.add_layer(self._scan_layer)
        self.work = work
        if work.corrections is not None:
            self.corrected = CorrectedLayer(self._viewer, work.scan, work.corrections, work.labels, self)
            self.corrected.acted.connect(self._on_act)
            for sentence in work.corrections.notices:
                show_warning(sentence)
        if work.seen is not None:
            data, attributes, _ = mask_layer_data(work.seen, work.scan, f"mask · {work.scan.stem}")
            self._seen_layer = Labels(data, **attributes)
            self._seen_layer.editable = False
            self._viewer.add_layer(self._seen_layer)
        self._clock = WorkClock()
        self._clock.touch()
        self.try_to(self._note_opened)

    def _on_look(self, _event: Any = None) -> None:
        if self.work is not None:
            self._clock.touch()

    def _note_opened(self, project: Project) -> None:
        if project.read_only or self.work is None:
            return
        project.current = self.work.job.case
        if project.case(project.current).status in ("new", "predicted"):
            project.set_status([project.current], "in_review")

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, CancelledError):
            return
        show_error(str(error) if isinstance(error, MorseError) else f"The case could not be opened: {error}")
        self.changed.emit()

    def _on_run(self, status: str) -> None:
        """Keep what a model found on the open case."""
        prediction, scan, work = self._session.result, self._session.result_scan, self.work
        if status != "done" or prediction is None or scan is None or work is None or self.project is None:
            return
        if self._scan_layer is None or scan.stem != work.scan.stem or not scan.grid.same_as(work.scan.grid):
            return
        folder = work.job.folder
        self.try_to(lambda project: project.record_prediction(work.job.case, record_of(prediction, scan)))
        corrections = self.corrected.corrections if self.corrected is not None else None
        if corrections is not None and not corrections.undoable and not corrections.mask.any():
            corrections.diff(prediction.rendered.data.astype(corrections.mask.dtype), None, "prediction")
            if self.corrected is not None:
                self.corrected.redraw()

        def write(_tell: Any, _cancelled: Any) -> Callable[[], None]:
            keep_masks(prediction, folder)
            return lambda: None

        if not self.saver.busy:
            self.saver.start(write)

    def _on_beat(self) -> None:
        self._spend()
        self.try_to(lambda project: project.beat())

    def _spend(self) -> None:
        seconds, work = self._clock.take(), self.work
        if self.project is None or work is None or self.project.read_only or seconds < 1:
            return
        self.try_to(lambda project: project.add_time(work.job.case, seconds))

    @property
    def stop_events(self) -> tuple[Any, ...]:
        """What to set to end the work beside the window."""
        return self.loader.stop_event, self.saver.stop_event

    def close_down(self) -> None:
        """Save, and let everything go."""
        self.loader.cancel()
        self._session.status_changed.disconnect(self._on_run)
        self._viewer.dims.events.current_step.disconnect(self._on_look)
        self._viewer.scene.camera.events.disconnect(self._on_look)
        self.close_project()


def _close_all(projects: list[Project], _gone: QObject | None = None) -> None:
    for project in projects:
        project.close()
