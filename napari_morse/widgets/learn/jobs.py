"""What a round of learning needs done beside the window: beginning it, deciding on it, finding the last one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_morse.errors import CancelledError, InputError, MorseError
from napari_morse.session.learn import Choice, Round, RoundDecision, State, prepare_round, rounds
from napari_morse.training.finetuning.verdict import Verdict
from napari_morse.widgets.base import Tell, Work
from napari_morse.widgets.learn.curves import plotting
from napari_morse.widgets.learn.event_log import RoundLog


@dataclass
class RoundView:
    """A round and what is known of it."""

    round: Round
    log: RoundLog = field(default_factory=RoundLog)
    state: State = "ready"
    verdict: Verdict | None = None
    decision: RoundDecision = ""

    def __post_init__(self) -> None:
        with suppress(MorseError):  # a plan that is damaged
            self.log.anew = self.round.plan.anew is not None

    def read_end(self) -> None:
        """Take the verdict and the decision from the disk."""
        self.decision = self.round.decision
        self.verdict = self.round.verdict if self.state == "done" else None


def beginning(folder: Path, reader: str, choice: Choice) -> Work:
    """Makes a round and starts it; gives the `Round`."""

    def work(_tell: Tell, cancelled: Callable[[], bool]) -> Round:
        if any(other.alive for other in rounds(folder)):
            raise InputError("Another round of this project is running.", "Wait for it; it may be in another window.")
        plotting()  # quick from here on, when the first curve is drawn
        new_round = prepare_round(folder, reader, choice, cancelled)
        if cancelled():
            new_round.remove()
            raise CancelledError
        new_round.start()
        return new_round

    return work


def deciding(current_round: Round, reader: str, act: Callable[[Round, str], str | None]) -> Work:
    """Keeps, discards or rolls back; gives what ``act`` gives."""
    return lambda _tell, _cancelled: act(current_round, reader)


def finding(folder: Path) -> Work:
    """The last round, with all that it has told; an hour of it takes too long for the window's thread."""

    def work(_tell: Tell, _cancelled: Callable[[], bool]) -> Any:
        all_rounds = rounds(folder)
        if not all_rounds:
            return folder, None
        plotting()
        view = RoundView(all_rounds[-1])
        view.log.feed(view.round.history())
        view.state = view.round.state
        view.read_end()
        return folder, view

    return work
