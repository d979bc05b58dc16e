"""The project's last round of fine-tuning in the window: begun, followed, paused, ended, found again, decided on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Literal

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.learn import Choice, Round
from napari_morse.widgets.base import JobRunner, Work
from napari_morse.widgets.case import ProjectHost
from napari_morse.widgets.learn.before_after import BeforeAfter
from napari_morse.widgets.learn.jobs import Act, NoRound, RoundView, beginning, deciding, finding
from napari_morse.widgets.learn.structures_scan import StructuresLook
from napari_morse.widgets.segment import SegmentTab

if TYPE_CHECKING:
    from napari.components import ViewerModel

BEAT, POLL_SOON = 300, 100
"""Milliseconds between two looks at a round that runs, and at one that is being cancelled."""

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
        self.view = NoRound()
        """The project's last round."""
        self.doing: Doing = ""
        self.stays = True
        """Whether a round goes on when the window closes."""
        self._folder: Path | None = None
        """Of the open project."""
        self._waiting: Work | None = None
        """Begins a round, once all corrections are saved."""
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
    def busy(self) -> bool:
        """Whether a round runs or waits, or something is done before or after one."""
        return bool(self.doing) or self.view.alive

    @property
    def writable(self) -> bool:
        """Whether a project is open, and not for looking only."""
        project = self.host.project
        return project is not None and not project.read_only

    @property
    def blocked(self) -> str:
        """Why no round can be begun now, whatever is chosen; empty when one can."""
        if self.host.project is None:
            return "Open or make a project: Project ▸ New…"
        if not self.writable:
            return "The project is open for looking only: open it again to train."
        if self.finder.busy:
            return "Looking for the last round: a moment."
        return "A round is running: wait for it, or cancel it." if self.busy else self.view.blocks

    # Beginning

    def start(self, choice: Choice) -> None:
        """Begin a round, once all corrections are saved: one that is not would be missing."""
        project = self.host.project
        if self.blocked or self.runner.busy or project is None:
            show_warning(self.blocked or "Wait until the last round is done.")
            return
        if self.host.corrected is not None:
            self.host.corrected.compare()
        self.host.keeper.save()
        self.doing = "preparing"
        self._waiting = beginning(project.places.folder, project.reader, choice)
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
        self.runner.start(waiting)

    # While it runs

    def pause_or_go(self) -> None:
        """Pause it, or let it go on."""
        if not self.doing:
            self._ask(self.view.pause_or_go)

    def cancel(self) -> None:
        """End the round before its next step, or what is made ready for one."""
        if self._waiting is not None:
            self._waiting, self.doing = None, ""
            self.changed.emit()
        elif self.doing == "preparing":
            self.runner.cancel()
        else:
            self._ask(self.view.cancel)

    def _ask(self, act: Callable[[], None]) -> None:
        try:
            act()
        except MorseError as error:
            show_error(str(error))
            return
        self._show()

    def _show(self) -> None:
        """Look at the round from now on while it runs; it is another one, or was asked for something."""
        if self.view.alive:
            self._timer.start(POLL_SOON if self.view.asked == "cancelling" else BEAT)
        self.told.emit()
        self.changed.emit()

    def _follow(self, view: NoRound) -> None:
        self.view = view
        view.take_up()
        self._show()

    def _on_beat(self) -> None:
        view = self.view
        if view.hear():
            self.told.emit()
        if not view.move():
            return
        if not view.alive:
            self._timer.stop()
            self._end(view)
        self.changed.emit()

    def _end(self, view: NoRound) -> None:
        try:
            view.end()
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
        self._decide("keeping", lambda judged, by: judged.keep(by).name)

    def discard(self) -> None:
        """Delete the new model."""
        self._decide("discarding", lambda judged, by: judged.discard(by))

    def roll_back(self) -> None:
        """Choose the model that was tuned from again."""
        self._decide("rolling back", lambda judged, by: judged.roll_back(by))

    def _decide(self, doing: Doing, act: Act) -> None:
        project = self.host.project
        if project is None or self.doing or self.runner.busy:
            return
        try:
            work = deciding(self.view.round, project.reader, act)
        except MorseError as error:
            show_warning(str(error))
            return
        self.doing = doing
        self.runner.start(work)
        self.changed.emit()

    def show_case(self, case: str) -> None:
        """Open a held-out case with the masks of both models."""
        if case:
            self.before_after.show(self.view.folder, case)

    # What arrives

    def _on_done(self, result: object) -> None:
        doing, self.doing = self.doing, ""
        if isinstance(result, Round):
            self._on_begun(result)
            return
        if isinstance(result, str) and not self.segment.choose(result):
            show_warning(f"The model {result} is no longer there: choose another one.")
        if doing != "preparing":
            self.view.take_decision()
            self._note(self.view.decision, self.view)
        self.changed.emit()

    def _on_begun(self, begun: Round) -> None:
        if self._folder is not None and begun.folder.is_relative_to(self._folder):
            view = RoundView(begun)
            self._note("begun", view)
            self._follow(view)
        else:
            self.changed.emit()  # another project was opened meanwhile

    def _note(self, what: str, view: NoRound) -> None:
        """Say in the project's audit what became of a round."""
        project = self.host.project
        if project is None or not what:
            return
        try:
            view.record(project, what)
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
        if folder == self._folder:
            return
        self._folder = folder
        self._timer.stop()
        self._leave()
        self._waiting = None
        self._find()
        self.changed.emit()
        self.told.emit()

    def _find(self) -> None:
        if self._folder is None:
            self.finder.cancel()
        elif not self.finder.busy:
            self.finder.start(finding(self._folder))

    def _on_found(self, result: tuple[Path, NoRound]) -> None:
        folder, view = result
        # Another project was opened while the last one was searched.
        if folder != self._folder:
            self._find()
        elif self.view.state:
            self.changed.emit()  # one was begun meanwhile
        else:
            self._follow(view)

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
        if not self.stays:
            self.view.cancel()
        self._timer.stop()

    def close_down(self) -> None:
        """Stop, and let go of the project."""
        self.stop_work()
        self.host.changed.disconnect(self._on_host)
        self.host.keeper.writes.changed.disconnect(self._when_saved)
        self.before_after.close_down()
        self.structures.close_down()
        self._leave()
        self._folder = None

    def _leave(self) -> None:
        """Forget the round; its process goes on."""
        self.view.leave()
        self.view = NoRound()
