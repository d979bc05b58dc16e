"""The open project and its case in the window: opening, going on, deciding, and what is painted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session import SegmentSession
from napari_morse.session.case.open_case import CaseJob, OpenCase
from napari_morse.session.case_files import CORRECTED
from napari_morse.session.edits import Corrections, Unfinished
from napari_morse.session.project import Agreement, Case, Project, Status, rules
from napari_morse.session.project.clock import WorkClock
from napari_morse.session.project.rows import Arrangement
from napari_morse.widgets.base.closing import each_of
from napari_morse.widgets.base.jobs import JobRunner
from napari_morse.widgets.bridge.presentation import Presentation, prepare
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.case.decisions import Decisions
from napari_morse.widgets.case.layers import CaseLayers
from napari_morse.widgets.case.runs import CaseRuns
from napari_morse.widgets.case.settling import settled
from napari_morse.widgets.case.truths import CaseTruths
from napari_morse.widgets.case.write_queue import CaseSaver, Complaints, saving, submitting

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_morse.session.edits.corrections import OnUnfinished

BEAT = 30_000
"""Milliseconds between two signs of life of the project."""
SAVE = 120_000
"""Milliseconds after which corrections are saved; every stroke that the disk takes is in the journal at once."""
BLIND = "You read this case blind: submit your reading before a model is run."


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
    opening = Signal(str)
    """Id of the case that is about to be read."""
    leaving = Signal()
    """The open case's layers are about to go."""
    staging = Signal(object)
    """The image layer of the open case's scan, which is to come into view."""
    presenting = Signal(object, object)
    """A `Presentation` of what a model said of the case that was opened, and the layer of its scan."""

    def __init__(
        self,
        viewer: ViewerModel,
        session: SegmentSession,
        ask: Callable[[Unfinished], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self.session, self._ask = viewer, session, ask
        self.project: Project | None = None
        # Where Qt deletes the window without a word, a plain list is all that is left to close the project by.
        self._open: list[Project] = []
        self.destroyed.connect(partial(_close_all, self._open))
        self.work: OpenCase | None = None
        self.layers: CaseLayers | None = None
        self.arrangement = Arrangement()
        self.conflicts: dict[Path, Corrections] = {}
        """What could not be saved because something else had changed the saved mask, by folder."""
        self.loader, self.saver = JobRunner("morse-case", self), CaseSaver(self)
        self._complaints = Complaints(
            self.saver, "Every stroke is in the journal, and offered when the case is opened."
        )
        self._clock = WorkClock()
        self.wanted = ""
        """Id of the case that is open or on its way; empty when none is."""
        self._next: Callable[[], None] | None = None
        self.submitting = False
        """Whether a second reading is being ended."""
        self._grumbled: dict[str, str] = {}
        self._runs, self.truths, self.decisions = CaseRuns(self), CaseTruths(self), Decisions(self)
        self.loader.succeeded.connect(self._on_loaded)
        self.loader.failed.connect(self._on_failed)
        self.saver.changed.connect(self._on_saved)
        self.saver.failed.connect(self._on_not_saved)
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
        self.may_leave(may_stay=False)
        self.decisions.cancel()
        self.wanted, self._next = "", None
        each_of(
            (
                self.leave_case,
                self._beat.stop,
                self._autosave.stop,
                self.loader.cancel,
                partial(self.loader.join, 10),  # it may write into the project
                self.saver.finish,
                self.conflicts.clear,
                self._let_go,
            )
        )

    def _let_go(self) -> None:
        project, self.project = self.project, None
        if project is not None:
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

    @property
    def corrected(self) -> CorrectedLayer | None:
        """The layer that is corrected, where one may be."""
        return None if self.layers is None else self.layers.corrected

    @property
    def in_view(self) -> bool:
        """Whether the open case's scan is the one in view: another scan may be open beside the project."""
        return self.work is not None and self.work.scan is self.session.scan

    @property
    def decided(self) -> Labels | None:
        """The mask of the open case that its reader has decided on, while its scan is in view."""
        layers = self.layers
        return layers.mask if layers is not None and layers.corrected is None and self.in_view else None

    def bring(self) -> None:
        """Bring the open case back into view."""
        if self.layers is not None and not self.in_view:
            self.staging.emit(self.layers.scan)

    @property
    def busy(self) -> bool:
        """Whether a case is on its way."""
        return self.loader.busy or self._next is not None

    def go(self, case: str, unfinished: OnUnfinished = "ask") -> None:
        """Open a case; the one before is saved. While one is being opened: the last one asked for is the next."""
        project = self.project
        if project is None:
            return
        try:
            job = self._job(project, case, unfinished)
        except MorseError as error:
            show_error(str(error))
            return
        if not self.may_leave():
            return
        self.leave_case()
        self.wanted, self._next = case, None
        self.opening.emit(case)
        if self.loader.busy or self.saver.busy_in(job.folder):
            self._next = partial(self.go, case, unfinished)
        else:
            self.loader.start(_reading(job))
        self.changed.emit()

    def _job(self, project: Project, case: str, unfinished: OnUnfinished) -> CaseJob:
        found, blind = project.case(case), case in project.to_read()
        chosen, hidden = "" if blind else project.final_reader(case), rules.hides_model_output(found)
        return CaseJob(
            case,
            project.scan_of(case),
            None if blind or hidden else project.mask_of(case),
            project.folder_of(case),
            unfinished,
            project.read_only,
            blank=not blind and hidden,
            blind=blind,
            keep_mask=rules.keeps_untouched(found, project.decided_unpredicted(case)),
            final=project.folder_of(case, chosen) / CORRECTED if chosen else None,
            model_digest=found.model_digest,
        )

    def _go_on(self) -> None:
        """Open what was asked for meanwhile."""
        if self._next is not None and not self.loader.busy and not self.saver.busy:
            due, self._next = self._next, None
            due()

    def step(self, by: int) -> None:
        """The next case of the worklist (+1), or the one before (−1), in the order and filter that it shows."""
        project = self.project
        here = self.wanted or (self.work.job.case if self.work is not None else "")
        if project is None or not here:
            return
        shown = self.arrangement
        beside = project.next if by > 0 else project.previous
        found = beside(here, shown.order, shown.descending, shown.statuses, shown.text)
        if found is None:
            show_info("That was the last case." if by > 0 else "That is the first case.")
        else:
            self.go(found.id)

    def may_leave(self, may_stay: bool = True) -> bool:
        """Whether nothing goes unsaid when the open case is left; see `settled`."""
        return self.corrected is None or settled(self.corrected, self.save_now, may_stay)

    def leave_case(self) -> None:
        """Save the open case's corrections and time, and take its layers away."""
        work, layers = self.work, self.layers
        if work is None or layers is None:
            return
        self.leaving.emit()
        layers.take_away()
        self.save()
        self._spend()
        self.work = self.layers = None
        self.submitting, self.session.forbidden = False, ""
        self.changed.emit()

    def set_status(self, cases: Sequence[str], status: Status, comment: str = "") -> None:
        """Move cases; a sentence when one may not go there."""
        self.try_to(lambda project: project.set_status(cases, status, comment))

    def try_to(self, act: Callable[[Project], Any], of_itself: str = "") -> bool:
        """Do something with the project; whether it went well.

        Parameters
        ----------
        act
            What; where it fails, that is said.
        of_itself
            A word for what is done without being asked for: while it fails for one reason, that is said once.
        """
        if self.project is None:
            return False
        try:
            act(self.project)
        except MorseError as error:
            if not of_itself or self._grumbled.get(of_itself) != str(error):
                show_warning(str(error))
            self._grumbled[of_itself] = str(error)
            return False
        finally:
            self.changed.emit()
        self._grumbled.pop(of_itself, None)
        if self.work is not None and self.blind != self.work.job.blind and not self.busy:
            self.go(self.work.job.case)  # what may be seen of it is another now
        return True

    # Corrections

    @property
    def blind(self) -> bool:
        """Whether the open case is a second reading that is not submitted."""
        return self.project is not None and self.work is not None and self.work.job.case in self.project.to_read()

    def submit(self) -> None:
        """End the second reading: the mask is compared with the first reader's, which the reader has not seen."""
        project, work, corrected = self.project, self.work, self.corrected
        if project is None or work is None or corrected is None:
            return
        if self.submitting or not project.writable:
            return
        corrected.compare()
        corrected.layer.editable, self.submitting = False, True
        case, first = work.job.case, project.places.case(work.job.case) / CORRECTED

        def done(found: Agreement | None) -> None:
            self.try_to(lambda project: project.submit_reading(case, "read", "", found))

        begin = submitting(corrected.corrections, first, work.scan.grid.spacing, done)
        self.saver.add(work.job.folder, begin)

    def save(self) -> None:
        """Save the corrections, beside the window, when there is something to save."""
        work, corrected, project = self.work, self.corrected, self.project
        if work is None or corrected is None or project is None:
            return
        if not (corrected.corrections.dirty or corrected.unwritten.count):
            return
        if project.writable and work.job.folder not in self.conflicts:
            folder, corrections = work.job.folder, corrected.corrections
            self.saver.add(folder, saving(corrections, partial(self._on_conflict, folder, corrections)))

    def save_now(self) -> None:
        """Save, and wait until that has ended, well or not."""
        self.save()
        self.saver.finish()

    @property
    def unwritten(self) -> str:
        """What of the open case is in memory only, and why; empty when all is on the disk."""
        return "" if self.corrected is None else self.corrected.unwritten.why

    def save_anyway(self) -> None:
        """Save corrections over files that something else changed."""
        conflicts, self.conflicts = self.conflicts, {}
        for folder, corrections in conflicts.items():
            self.saver.add(folder, saving(corrections))

    def _on_conflict(self, folder: Path, corrections: Corrections, aside: Path) -> None:
        self.conflicts[folder] = corrections
        show_warning(
            f"The saved mask of {folder.name} was changed by another program or window. Yours is kept beside it as "
            f"“{aside.name}”; Project ▸ Save anyway puts it in the other's place."
        )

    def _on_saved(self) -> None:
        self._go_on()
        self.changed.emit()

    def _on_not_saved(self, error: Exception) -> None:
        if self.submitting and self.corrected is not None:
            self.submitting, self.corrected.layer.editable = False, True
        self._complaints.say(error)

    def _on_act(self) -> None:
        self._clock.touch()
        case = self.case
        if case is not None:
            self.follow(case, rules.after_edit(case, self.blind), of_itself=True)
        self.changed.emit()

    def follow(self, case: Case, consequence: rules.Consequence, *, of_itself: bool = False) -> None:
        """Note in the project what an act leads to; with ``of_itself``, nobody asked for it: a failure is said once."""
        source, truth, status = consequence.truth_from, *(("truth", "status") if of_itself else ("", ""))
        if source is not None:
            self.try_to(lambda project: project.set_truth_from(case.id, source), truth)
        for after in consequence.statuses:
            self.try_to(partial(_move, case=case.id, status=after), status)
        if consequence.told:
            show_warning(consequence.told)

    # What arrives

    def _on_loaded(self, read: tuple[OpenCase, Presentation | None]) -> None:
        work, presentation = read
        if self.project is None or work.job.case != self.wanted or self._next is not None:
            self._go_on()
            return
        if work.corrections is None and work.unfinished is not None:
            self.go(work.job.case, "recover" if self._ask(work.unfinished) else "set_aside")
            return
        self.work = work
        self.conflicts.pop(work.job.folder, None)  # what is on the disk was taken; the other mask lies beside it
        self.layers = CaseLayers(self._viewer, work, self.session.labels, self._may_write, self)
        self.session.forbidden = BLIND if work.job.blind else ""
        if self.corrected is not None and work.corrections is not None:
            self.corrected.acted.connect(self._on_act)
            self.corrected.unwritten.changed.connect(self.changed)
            self.corrected.unwritten.due.connect(self.save)
            for sentence in work.corrections.notices:
                show_warning(sentence)
        self._clock = WorkClock()
        self._clock.touch()
        self.try_to(self._note_opened)
        if presentation is not None:
            self.presenting.emit(presentation, self.layers.scan)

    def _may_write(self) -> bool:
        return self.project is not None and self.project.writable

    def _on_look(self, _event: Any = None) -> None:
        if self.work is not None:
            self._clock.touch()

    def _note_opened(self, project: Project) -> None:
        work = self.work
        if project.read_only or work is None:
            return
        project.current = work.job.case
        if work.record is not None:
            project.record_prediction(work.job.case, work.record)
        for status in rules.after_opening(project.case(project.current)).statuses:
            project.set_status([project.current], status)

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            show_error(str(error) if isinstance(error, MorseError) else f"The case could not be opened: {error}")
        self._go_on()
        self.changed.emit()

    def _on_beat(self) -> None:
        self._spend()
        self.try_to(lambda project: project.beat(), "beat")

    def _spend(self) -> None:
        seconds, work = self._clock.take(), self.work
        if self.project is None or work is None or self.project.read_only or seconds < 1:
            return
        self.try_to(lambda project: project.add_time(work.job.case, seconds), "time")

    def close_down(self) -> None:
        """Save, and let everything go."""
        each_of(
            (
                self.loader.cancel,
                self._runs.close_down,
                partial(self._viewer.dims.events.current_step.disconnect, self._on_look),
                partial(self._viewer.scene.camera.events.disconnect, self._on_look),
                self.close_project,
            )
        )


def _reading(job: CaseJob) -> Any:
    """Reads a case, and makes ready what a model said of it; the thread holds no widget."""

    def read(_tell: Any, _cancelled: Any) -> tuple[OpenCase, Presentation | None]:
        work = job.run()
        return work, None if work.said is None else prepare(work.said, work.scan)

    return read


def _move(project: Project, case: str, status: Status) -> None:
    project.set_status([case], status)


def _close_all(projects: list[Project], _gone: QObject | None = None) -> None:
    for project in projects:
        project.close()
