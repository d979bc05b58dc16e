"""A round of learning that is followed, and what is done beside the window: beginning, deciding, finding the last."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from napari_morse.errors import CancelledError, InputError, MorseError
from napari_morse.session.learn import GOING_ON, Choice, Round, RoundDecision, State, prepare_round, rounds
from napari_morse.session.project import Project
from napari_morse.training.finetuning.verdict import Verdict
from napari_morse.widgets.base import Tell, Work
from napari_morse.widgets.learn.curves import plotting
from napari_morse.widgets.learn.event_log import RoundLog

ALIVE: tuple[State, ...] = ("running", "paused")

Act = Callable[[Round, str], str | None]
"""What is decided on a round, by whom; gives the name of the model to be chosen, or None."""


class NoRound:
    """Where there is no round: nothing goes on, nothing was told, and there is nothing to decide on."""

    def __init__(self) -> None:
        self.folder = Path()
        """Of the round."""
        self.log = RoundLog()
        """What it has told."""
        self.state: State | Literal[""] = ""
        """Where it stood at the last look; empty for no round."""
        self.asked = ""
        """What it was asked for and has not done yet."""
        self.verdict: Verdict | None = None
        """Once it has come to its end."""
        self.decision: RoundDecision = ""

    @property
    def alive(self) -> bool:
        """Whether it runs, or waits."""
        return self.state in ALIVE

    @property
    def resumable(self) -> bool:
        """Whether it can go on from where it stopped."""
        return self.state in GOING_ON

    @property
    def blocks(self) -> str:
        """Why no other round can be begun before something becomes of this one; empty when one can."""
        return ""

    def take_up(self) -> None:
        """Follow it from here on."""

    def pause_or_go(self) -> None:
        """Pause it, or let it go on."""

    def cancel(self) -> None:
        """End it before its next step."""

    def hear(self) -> bool:
        """Take in what it has told since; whether there was anything."""
        return False

    def move(self) -> bool:
        """See where it stands; whether that is elsewhere than before."""
        return False

    def end(self) -> None:
        """Take in all that is left of one that has ended."""

    @property
    def round(self) -> Round:
        """Itself.

        Raises
        ------
        InputError
            There is none.
        """
        raise InputError("There is no round to decide on.", "Train a model first.")

    def take_decision(self) -> None:
        """Take what was decided from the disk."""

    def record(self, project: Project, what: str) -> None:
        """Say in the project's audit what became of it."""

    def leave(self) -> None:
        """Follow it no more; its process goes on."""


class RoundView(NoRound):
    """A round that is followed, and what is known of it."""

    def __init__(self, followed: Round) -> None:
        super().__init__()
        self._round, self.folder = followed, followed.folder
        self.state = "ready"
        with suppress(MorseError):  # a plan that is damaged
            self.log.anew = followed.plan.anew is not None

    @property
    def blocks(self) -> str:
        """What has to be decided before."""
        undecided = self.state == "done" and self.verdict is not None and not self.decision
        return "Keep or discard the model of the last round first." if undecided else ""

    def take_up(self) -> None:
        """Take where it stands, and its end, from the disk."""
        self.asked, self.state = "", self._round.state
        self._read_end()

    def _read_end(self) -> None:
        self.take_decision()
        self.verdict = self._round.verdict if self.state == "done" else None

    def pause_or_go(self) -> None:
        """Pause it, or let it go on, from where it stopped if it has."""
        if self.resumable:
            self._round.start(resume=self.state != "ready")
            self.take_up()
        elif self.state == "paused":
            self._round.go()
            self.asked = "going on"
        elif self.state == "running":
            self._round.pause()
            self.asked = "pausing"

    def cancel(self) -> None:
        """Ask it to end."""
        if self.alive:
            self._round.cancel()
            self.asked = "cancelling"

    def hear(self) -> bool:
        """Feed the log."""
        events = self._round.poll()
        self.log.feed(events)
        return bool(events)

    def move(self) -> bool:
        """Another state is mostly what was asked for; a round that is being cancelled may go on for a moment."""
        before, self.state = self.state, self._round.state
        if self.state == before:
            return False
        if self.asked != "cancelling" or not self.alive:
            self.asked = ""
        return True

    def end(self) -> None:
        """Its last words, verdict and decision."""
        self.hear()  # to find where it stands is to read: what was told meanwhile is not in the log yet
        self._read_end()

    @property
    def round(self) -> Round:
        """Itself."""
        return self._round

    def take_decision(self) -> None:
        """Which stays empty before."""
        self.decision = self._round.decision

    def record(self, project: Project, what: str) -> None:
        """With its number, and the name of its model."""
        project.record_learning(what, self._round.number, self._round.plan.name)

    def leave(self) -> None:
        """Let go of its process."""
        self._round.leave()


def beginning(folder: Path, reader: str, choice: Choice) -> Work:
    """Makes a round and starts it; gives the `Round`."""

    def work(_tell: Tell, cancelled: Callable[[], bool]) -> Round:
        # Asked again on the disk: another window may have begun one since.
        if any(other.alive for other in rounds(folder)):
            raise InputError("Another round of this project is running.", "Wait for it; it may be in another window.")
        plotting()  # quick from here on, when the first curve is drawn
        new_round = prepare_round(folder, reader, choice, cancelled)
        if cancelled():
            # Cancelled while masks were copied: a round that never began must not be found as the last one.
            new_round.remove()
            raise CancelledError
        new_round.start()
        return new_round

    return work


def deciding(judged: Round, reader: str, act: Act) -> Work:
    """Keeps, discards or rolls back; gives what ``act`` gives."""
    return lambda _tell, _cancelled: act(judged, reader)


def finding(folder: Path) -> Work:
    """The last round, with all that it has told; an hour of it takes too long for the window's thread."""

    def work(_tell: Tell, _cancelled: Callable[[], bool]) -> tuple[Path, NoRound]:
        all_rounds = rounds(folder)
        if not all_rounds:
            return folder, NoRound()
        plotting()
        view = RoundView(all_rounds[-1])
        view.log.feed(view.round.history())
        view.take_up()
        return folder, view

    return work
