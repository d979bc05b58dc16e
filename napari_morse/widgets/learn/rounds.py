"""The project's last round of fine-tuning in the window: begun, followed, paused, ended, found again, decided on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Literal

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.learn import GOING_ON, Choice, Round
from napari_morse.widgets.base import JobRunner, Work
from napari_morse.widgets.case import ProjectHost
from napari_morse.widgets.learn.before_after import BeforeAfter
from napari_morse.widgets.learn.jobs import RoundView, beginning, deciding, finding
from napari_morse.widgets.learn.structures_scan import StructuresLook
from napari_morse.widgets.segment import SegmentTab

if TYPE_CHECKING:
    from napari.components import ViewerModel

BEAT, SOON = 300, 100
"""Milliseconds between two looks at a round that runs, and at one that is being cancelled."""
ALIVE = ("running", "paused")

Doing = Literal["", "preparing", "keeping", "discarding", "rolling back"]


class Learner(QObject):
    """One round at a time.

    Parameters
    ----------
    viewer
        Where cases before and after are shown.
    host
        Holds the project.
    segment
        Gets the model that is kept, or rolled back to.
    parent
        Owner.
    """

    changed = Signal()
    """Another round, state or decision."""
    told = Signal()
    """The round has told something."""

    def __init__(
        self, viewer: ViewerModel, host: ProjectHost, segment: SegmentTab, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.host, self.segment = host, segment
        self.before_after = BeforeAfter(viewer, host, segment, self)
        self.finder, self.runner = JobRunner("morse-rounds", self), JobRunner("morse-learn", self)
        self.structures = StructuresLook(host, self)
        self.view: RoundView | None = None
        self.doing: Doing = ""
        self.asked = ""
        """What the round was asked for and has not done yet."""
        self.stays = True
        """Whether a round goes on when the window closes."""
        self._place: Path | None = None
        self._waiting: Callable[[], None] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(BEAT)
        self._timer.timeout.connect(self._on_beat)
        self.finder.succeeded.connect(self._on_found)
        self.finder.failed.connect(self._on_not_found)
        self.runner.succeeded.connect(self._on_done)
        self.runner.failed.connect(self._on_failed)
        host.changed.connect(self._on_host)
        host.keeper.writes.changed.connect(self._when_saved)

    @property
    def runners(self) -> tuple[JobRunner, ...]:
        """All that run something beside the window."""
        return self.finder, self.runner, self.before_after.runner, self.structures.runner

    @property
    def stop_events(self) -> tuple[Event, ...]:
        """What to set to cancel whatever runs beside the window."""
        return tuple(runner.stop_event for runner in self.runners)

    @property
    def alive(self) -> bool:
        """Whether the round runs, or waits."""
        return self.view is not None and self.view.state in ALIVE

    @property
    def blocked(self) -> str:
        """Why no round can be begun now, whatever is chosen; empty when one can."""
        project, view = self.host.project, self.view
        if project is None:
            return "Open or make a project: Project ▸ New…"
        if project.read_only:
            return "The project is open for looking only: open it again to train."
        if self.finder.busy:
            return "Looking for the last round: a moment."
        if self.doing or self.alive:
            return "A round is running: wait for it, or cancel it."
        if view is not None and view.state == "done" and view.verdict is not None and not view.decision:
            return "Keep or discard the model of the last round first."
        return ""

    # Beginning

    def start(self, choice: Choice) -> None:
        """Begin a round, once all corrections are saved: one that is not would be missing."""
        if self.blocked or self.runner.busy or self.host.project is None:
            show_warning(self.blocked or "Wait until the last round is done.")
            return
        project = self.host.project
        if self.host.corrected is not None:
            self.host.corrected.compare()
        self.host.keeper.save()
        self.doing = "preparing"
        self._waiting = partial(self._run, beginning(project.places.folder, project.reader, choice))
        self.changed.emit()
        self._when_saved()

    def _when_saved(self) -> None:
        waiting = self._waiting
        if waiting is None or self.host.keeper.writes.busy:
            return
        self._waiting = None
        if why := self.host.unwritten:
            self.doing = ""
            show_warning(f"The training is not begun, it would lack what you drew last. {why}")
            self.changed.emit()
            return
        waiting()

    def _run(self, work: Work) -> None:
        self.runner.start(work)

    # While it runs

    def pause_or_go(self) -> None:
        """Pause it, or let it go on."""
        view = self.view
        if view is None or self.doing:
            return
        if view.state in GOING_ON:
            self._resume(view)
        elif view.state == "paused":
            self._ask("going on", view.round.go)
        elif view.state == "running":
            self._ask("pausing", view.round.pause)

    def _resume(self, view: RoundView) -> None:
        try:
            view.round.start(resume=view.state != "ready")
        except MorseError as error:
            show_error(str(error))
            return
        self._follow(view)

    def cancel(self) -> None:
        """End the round before its next step, or what is made ready for one."""
        if self._waiting is not None:
            self._waiting, self.doing = None, ""
            self.changed.emit()
        elif self.doing == "preparing":
            self.runner.cancel()
        elif self.view is not None and self.alive:
            self._ask("cancelling", self.view.round.cancel)

    def _ask(self, word: str, act: Callable[[], None]) -> None:
        try:
            act()
        except MorseError as error:
            show_error(str(error))
            return
        self.asked = word
        self._timer.setInterval(SOON if word == "cancelling" else BEAT)
        self.changed.emit()

    def _follow(self, view: RoundView) -> None:
        self.view, self.asked = view, ""
        view.state = view.round.state
        view.read_end()
        if view.state in ALIVE:
            self._timer.start(BEAT)
        self.told.emit()
        self.changed.emit()

    def _on_beat(self) -> None:
        view = self.view
        if view is None:
            self._timer.stop()
            return
        events = view.round.poll()
        if events:
            view.log.feed(events)
            self.told.emit()
        state = view.round.state
        if state == view.state:
            return
        view.state = state
        if not (self.asked == "cancelling" and state in ALIVE):
            self.asked = ""
        if state not in ALIVE:
            self._timer.stop()
            self._end(view)
        self.changed.emit()

    def _end(self, view: RoundView) -> None:
        view.log.feed(view.round.poll())
        try:
            view.read_end()
        except MorseError as error:
            show_error(str(error))
        if view.log.trouble:
            show_error(view.log.trouble)
        elif view.verdict is not None:
            show_info(view.verdict.sentence)
        self.told.emit()

    # The end

    def keep(self) -> None:
        """Take the new model into the library, and choose it."""
        self._decide("keeping", lambda view, by: view.keep(by).name)

    def discard(self) -> None:
        """Delete the new model."""
        self._decide("discarding", lambda view, by: view.discard(by))

    def roll_back(self) -> None:
        """Choose the model that was tuned from again."""
        self._decide("rolling back", lambda view, by: view.roll_back(by))

    def _decide(self, doing: Doing, act: Callable[[Round, str], str | None]) -> None:
        project, view = self.host.project, self.view
        if project is None or view is None or self.doing or self.runner.busy:
            return
        self.doing = doing
        self.runner.start(deciding(view.round, project.reader, act))
        self.changed.emit()

    def show_case(self, case: str) -> None:
        """Open a held-out case with the masks of both models."""
        if self.view is not None and case:
            self.before_after.show(self.view.round.folder, case)

    # What arrives

    def _on_done(self, result: object) -> None:
        doing, self.doing = self.doing, ""
        if isinstance(result, Round):
            if self.host.project is not None and result.folder.is_relative_to(self.host.project.places.folder):
                self._note("begun", result)
                self._follow(RoundView(result))
                return
        elif isinstance(result, str) and not self.segment.choose(result):
            show_warning(f"The model {result} is no longer there: choose another one.")
        if self.view is not None and doing != "preparing":
            self.view.decision = self.view.round.decision
            self._note(self.view.decision, self.view.round)
        self.changed.emit()

    def _note(self, what: str, of: Round) -> None:
        """Say in the project's audit what became of a round."""
        project = self.host.project
        if project is None or not what:
            return
        try:
            project.record_learning(what, of.number, of.plan.name)
        except MorseError as error:
            show_error(str(error))

    def _on_failed(self, error: Exception) -> None:
        doing, self.doing = self.doing, ""
        if isinstance(error, MorseError) and not isinstance(error, CancelledError):
            show_error(str(error))
        elif not isinstance(error, CancelledError):
            show_error(f"The round could not be begun or ended ({doing}): {type(error).__name__}: {error}")
        self.changed.emit()

    # Found again

    def _on_host(self) -> None:
        project = self.host.project
        folder = None if project is None else project.places.folder
        if folder == self._place:
            return
        self._place = folder
        self._timer.stop()
        self._leave()
        self.asked, self._waiting = "", None
        if folder is None:
            self.finder.cancel()
        else:
            self._find()
        self.changed.emit()
        self.told.emit()

    def _find(self) -> None:
        if not self.finder.busy and self._place is not None:
            self.finder.start(finding(self._place))

    def _on_found(self, result: tuple[Path, RoundView | None]) -> None:
        folder, view = result
        if folder != self._place:
            self._find()
        elif view is not None and self.view is None:
            self._follow(view)
        else:
            self.changed.emit()

    def _on_not_found(self, error: Exception) -> None:
        if isinstance(error, CancelledError):
            self._find()
        else:
            show_error(f"The last round of training could not be read: {error}")
        self.changed.emit()

    # Leaving

    def stop_work(self) -> None:
        """Stop what is made ready; a round goes on where that was wanted."""
        self._waiting = None
        for event in self.stop_events:
            event.set()
        if not self.stays and self.view is not None and self.alive:
            self.view.round.cancel()
        self._timer.stop()

    def close_down(self) -> None:
        """Stop, and let go of the project."""
        self.stop_work()
        self.host.changed.disconnect(self._on_host)
        self.host.keeper.writes.changed.disconnect(self._when_saved)
        self.before_after.close_down()
        self.structures.close_down()
        self._leave()
        self._place = None

    def _leave(self) -> None:
        """Forget the round; its process goes on."""
        view, self.view = self.view, None
        if view is not None:
            view.round.leave()
