"""The open project and its case in the window: opening, going on, deciding, and what is painted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session import SegmentSession
from napari_morse.session.case import OpenCase, OpenCaseRequest, OpenCases, ProjectHome
from napari_morse.session.case_files import CORRECTED
from napari_morse.session.edits import Unfinished
from napari_morse.session.project import Agreement, Arrangement, Case, Project, Status, WorkClock, rules
from napari_morse.widgets.base import JobRunner, each_of
from napari_morse.widgets.bridge import Presentation, prepare_presentation
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.case.decisions import Decisions
from napari_morse.widgets.case.keeper import CaseKeeper
from napari_morse.widgets.case.layers import CaseInView, CaseLayers
from napari_morse.widgets.case.runs import CaseRuns
from napari_morse.widgets.case.truths import CaseTruths
from napari_morse.widgets.case.write_queue import submitting

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_morse.session.edits import OnUnfinished

HEARTBEAT = 30_000
"""Milliseconds between two signs of life of the project."""
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
        self.cases = OpenCases(session)
        """All cases that are open in this window, of the project and others."""
        # Where Qt deletes the window without a word, a plain list is all that is left to close the project by.
        self._open: list[Project] = []
        self.destroyed.connect(partial(_close_all, self._open))
        self.here: CaseInView | None = None
        """The open case; None where none is, also while one is on its way."""
        self.arrangement = Arrangement()
        self.loader = JobRunner("morse-case", self)
        safe = "Every stroke is in the journal, and offered when the case is opened."
        self.keeper = CaseKeeper(safe, self.cases, replaces_changed=False, parent=self)
        self._clock = WorkClock()
        self.wanted = ""
        """Id of the case that is open or on its way; empty when none is."""
        self._next: Callable[[], None] | None = None
        self.submitting = False
        """Whether a second reading is being ended."""
        self._grumbled: dict[str, str] = {}
        self._journal = (False, 0)
        """Whether there was anything to save, and how much was in memory only, when it was told last."""
        self._runs, self.truths, self.decisions = CaseRuns(self), CaseTruths(self), Decisions(self, self)
        self.loader.succeeded.connect(self._on_loaded)
        self.loader.failed.connect(self._on_failed)
        self.keeper.rested.connect(self._on_saved)
        self.keeper.writes.failed.connect(self._on_not_saved)
        viewer.dims.events.current_step.connect(self._on_look)
        viewer.scene.camera.events.connect(self._on_look)
        self._beat = QTimer(self)
        self._beat.setInterval(HEARTBEAT)
        self._beat.timeout.connect(self._on_beat)

    # The project

    def take(self, project: Project) -> None:
        """Work on a project, at the case where it was left."""
        self.close_project()
        self.project = project
        self._open[:] = [project]
        self._beat.start()
        self.changed.emit()
        cases = project.cases()
        if cases:
            self.go(project.current or cases[0].id)

    def close_project(self) -> None:
        """Save what is to be saved, and let the project go."""
        self.may_leave(may_stay=False)
        self.decisions.cancel()
        # First: what still arrives of a case that is read or saved finds nothing wanted, and opens none.
        self.wanted, self._next = "", None
        each_of(
            (
                self.leave_case,
                self._beat.stop,
                self.loader.cancel,
                partial(self.loader.join, 10),  # it may write into the project
                self.keeper.writes.finish,
                self.keeper.conflicts.clear,
                self._let_go,
            )
        )

    def _let_go(self) -> None:
        project, self.project, self.here = self.project, None, None  # also where its case could not be left in order
        if project is not None:
            project.close()
            self._open.clear()
            self.changed.emit()

    # Cases

    @property
    def case(self) -> Case | None:
        """The open case as the worklist has it."""
        return None if self.here is None else self.here.row

    @property
    def work(self) -> OpenCase | None:
        """The open case."""
        return self.keeper.case

    @property
    def layers(self) -> CaseLayers | None:
        """Those of the open case."""
        return None if self.here is None else self.here.layers

    @property
    def corrected(self) -> CorrectedLayer | None:
        """The layer that is corrected, where one may be."""
        return self.keeper.layer

    @property
    def in_view(self) -> bool:
        """Whether the open case's scan is the one in view: another scan may be open beside the project."""
        return self.here is not None and self.cases.current is self.here.work

    @property
    def decided(self) -> Labels | None:
        """The mask of the open case that its reader has decided on, while its scan is in view."""
        return self.here.layers.seen if self.here is not None and self.in_view else None

    def bring(self) -> None:
        """Bring the open case back into view."""
        if self.here is not None and not self.in_view:
            self.staging.emit(self.here.layers.scan)

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
            # Before the open case is left: where a scan is not found the person stays where they are.
            request = OpenCaseRequest.of(project, case, unfinished)
        except MorseError as error:
            show_error(str(error))
            return
        if not self.may_leave():
            return
        self.leave_case()
        self.wanted, self._next = case, None
        self.opening.emit(case)
        # Never read while it is written: the older mask would come, and its last strokes be offered as if a crash had
        # left them.
        if self.loader.busy or self.keeper.writes.busy_in(request.folder):
            self._next = partial(self.go, case, unfinished)
        else:
            self.loader.start(_reading(request))
        self.changed.emit()

    def _go_on(self) -> None:
        """Open what was asked for meanwhile."""
        if self._next is not None and not self.loader.busy and not self.keeper.writes.busy:
            due, self._next = self._next, None
            due()

    def step(self, by: int) -> None:
        """The next case of the worklist (+1), or the one before (−1), in the order and filter that it shows."""
        project = self.project
        if project is None or not self.wanted:
            return
        shown = self.arrangement
        beside = project.next if by > 0 else project.previous
        found = beside(self.wanted, shown.order, shown.descending, shown.statuses, shown.text)
        if found is None:
            show_info("That was the last case." if by > 0 else "That is the first case.")
        else:
            self.go(found.id)

    def may_leave(self, may_stay: bool = True) -> bool:
        """As `CaseKeeper.may_leave`."""
        return self.keeper.may_leave(may_stay)

    def leave_case(self) -> None:
        """Save the open case's corrections and time, and take its layers away."""
        here = self.here
        if here is None:
            return
        self.leaving.emit()
        # The layers first: the last stroke becomes an act as they go, and is saved with the rest.
        here.layers.take_away()
        self.keeper.save()
        self._spend(here)
        # Saving goes on in the queue with the corrections themselves: the case may be let go of before it has ended.
        self.keeper.drop()
        self.here = None
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
        here = self.here
        if here is not None and here.blind != here.work.blind and not self.busy:
            self.go(here.work.id)  # what may be seen of it is another now
        return True

    # Corrections

    @property
    def blind(self) -> bool:
        """Whether the open case is a second reading that is not submitted."""
        return self.here is not None and self.here.blind

    def submit(self) -> None:
        """End the second reading: the mask is compared with the first reader's, which the reader has not seen."""
        here = self.here
        if here is None or self.submitting or not here.project.writable:
            return
        corrected = here.layers.corrected
        if corrected is None:
            return
        corrected.compare()
        # Nothing is drawn between the mask that is compared and the submission, which shows the first reader's.
        corrected.layer.editable, self.submitting = False, True
        case, first = here.work.id, here.project.places.case(here.work.id) / CORRECTED

        def done(found: Agreement | None) -> None:
            self.try_to(lambda project: project.submit_reading(case, "read", "", found))

        begin = submitting(corrected.corrections, first, here.work.scan.grid.spacing, done)
        self.keeper.writes.add(here.work.folder, begin)

    @property
    def unwritten(self) -> str:
        """What of the open case is in memory only, and why; empty when all is on the disk."""
        return "" if self.corrected is None else self.corrected.unwritten.why

    def _on_saved(self) -> None:
        self._journal = (False, 0)
        self._go_on()
        self.changed.emit()

    def _on_not_saved(self, error: Exception) -> None:
        if self.submitting and self.corrected is not None:
            self.submitting, self.corrected.layer.editable = False, True
        self.keeper.complaints.say(error)

    def _on_rest(self) -> None:
        self._clock.touch()
        here = self.here
        corrected = None if here is None else here.layers.corrected
        if here is None or corrected is None:
            return
        row = here.row
        self.follow(row, rules.after_edit(row, here.blind), of_itself=True)
        journal = (corrected.corrections.dirty, corrected.corrections.unwritten)
        if journal != self._journal:
            self._journal = journal
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

    def _on_loaded(self, read: tuple[OpenCaseRequest, OpenCase, Presentation | None]) -> None:
        request, work, presentation = read
        # The person has gone on while it was read: only what was asked for last is shown.
        if self.project is None or work.id != self.wanted or self._next is not None:
            self._go_on()
            return
        if work.corrections is None and work.unfinished is not None:
            self.go(work.id, "recover" if self._ask(work.unfinished) else "set_aside")
            return
        # Only here: the project's database belongs to the window's thread, and the case was read in another.
        work.home = ProjectHome(self.project, request.folder)
        work.labels = work.labels or self.session.labels
        here = self.here = CaseInView(self.project, work, CaseLayers(self._viewer, work, self))
        self.keeper.hold(work, here.layers.corrected)
        self.session.forbidden = BLIND if work.blind else ""
        if here.layers.corrected is not None:
            here.layers.corrected.rested.connect(self._on_rest)
            here.layers.corrected.unwritten.changed.connect(self.changed)
        self._clock = WorkClock()
        self._clock.touch()
        self.try_to(here.note_opened)
        if presentation is not None:
            self.presenting.emit(presentation, here.layers.scan)

    def _on_look(self, _event: Any = None) -> None:
        self._clock.touch()  # while no case is open it is nobody's time: the next one brings a clock of its own

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            show_error(str(error) if isinstance(error, MorseError) else f"The case could not be opened: {error}")
        self._go_on()
        self.changed.emit()

    def _on_beat(self) -> None:
        if self.here is not None:
            self._spend(self.here)
        self.try_to(lambda project: project.beat(), "beat")

    def _spend(self, here: CaseInView) -> None:
        seconds = self._clock.take()
        if seconds >= 1 and not here.project.read_only:
            self.try_to(lambda project: project.add_time(here.work.id, seconds), "time")

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


def _reading(request: OpenCaseRequest) -> Any:
    """Reads a case, and makes ready what a model said of it; the thread holds no widget."""

    def read(_tell: Any, _cancelled: Any) -> tuple[OpenCaseRequest, OpenCase, Presentation | None]:
        work = request.run()
        return request, work, None if work.prediction is None else prepare_presentation(work.prediction, work.scan)

    return read


def _move(project: Project, case: str, status: Status) -> None:
    project.set_status([case], status)


def _close_all(projects: list[Project], _gone: QObject | None = None) -> None:
    for project in projects:
        project.close()
