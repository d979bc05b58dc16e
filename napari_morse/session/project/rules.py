"""The rules of a case: what may be seen of it, and what a run, an edit or a decision means. Beside `records.MOVES`.

Plain functions of a `Case` as its reader sees it: no window, no disk, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from napari_morse.session.project.records import Case, Status, TruthFrom

DECIDED: Final[tuple[Status, ...]] = ("accepted", "rejected")
"""A person has said what becomes of the mask that is there."""
FINAL: Final[tuple[Status, ...]] = ("accepted", "corrected")
"""The mask is a person's: it is exported, and learned from."""
LOOKED: Final = "A model's mask was looked at before the truth was done: this is noted with the truth."


@dataclass(frozen=True)
class Consequence:
    """What an act on a case leads to, in this order.

    Parameters
    ----------
    truth_from
        How its truth came about, from now on; None: as before.
    statuses
        Where it goes, one after the other.
    told
        A sentence for the person; empty where there is nothing to say.
    """

    truth_from: TruthFrom | None = None
    statuses: tuple[Status, ...] = ()
    told: str = ""


NO_CONSEQUENCE: Final = Consequence()


def is_decided(case: Case) -> bool:
    """Whether a person has accepted or rejected it."""
    return case.status in DECIDED


def hides_model_output(case: Case) -> bool:
    """Whether nothing of a model is shown: the case's truth is made from a blank mask, or nobody has said how."""
    return (case.wants_truth and not case.truth_from) or case.truth_from == "blank_start"


def keeps_untouched(case: Case, decided_unpredicted: bool) -> bool:
    """Whether a corrected mask that nobody has touched stands against a given or a rendered one.

    A mask that was decided on is what was decided on, and what is begun blank stays blank. Else an untouched mask is
    only the one that corrections began from, maybe of an earlier run.

    Parameters
    ----------
    case
        As its reader sees it.
    decided_unpredicted
        Whether a person decided on it before a model ever saw it: no model's mask was meant then.
    """
    if hides_model_output(case):
        return True
    return is_decided(case) and (case.mask is not None or not case.model or decided_unpredicted)


def begins_anew_with_run(case: Case) -> bool:
    """Whether corrections that nobody has touched begin again, as the rendered mask of a run that has just ended."""
    return case.mask is None and not hides_model_output(case) and not is_decided(case)


def predicted_ahead(case: Case) -> bool:
    """Whether a case is worth predicting before anybody opens it.

    Never one whose truth is to be made without a model, before it is done; blind ones are never new.
    """
    if case.model or case.mask is not None or (case.wants_truth and not case.truth_from):
        return False
    if case.truth_from in ("blank_start", "second_reader"):
        return case.status == "accepted"
    return case.status in ("new", "in_review")


def after_opening(case: Case) -> Consequence:
    """A person looks at it."""
    return Consequence(statuses=("in_review",)) if case.status in ("new", "predicted") else NO_CONSEQUENCE


def after_look(case: Case) -> Consequence:
    """A model's mask of it is seen, after a run or beside another model's."""
    if not hides_model_output(case) or is_decided(case):
        return NO_CONSEQUENCE
    return Consequence("from_model", told=LOOKED)


def after_edit(case: Case, blind: bool) -> Consequence:
    """Its corrected mask was changed: the first time, each time, and after it was decided on.

    Parameters
    ----------
    case
        As its reader sees it.
    blind
        Whether it is a second reading that is not submitted: then nothing of the first reader's case moves.
    """
    if blind:
        return NO_CONSEQUENCE
    statuses: tuple[Status, ...] = ("in_review",) if is_decided(case) else ()
    if case.status not in ("corrected", "second_reader"):
        statuses = (*statuses, "corrected")
    if case.wants_truth and not case.truth_from:
        return Consequence("blank_start", statuses)
    if case.truth_from == "blank_start" and case.model:
        return Consequence("from_model", statuses, LOOKED)
    return Consequence(statuses=statuses)


def truth_of_accepted(*, begun: bool, predicted: bool, given: bool) -> TruthFrom:
    """What an accepted mask of a case for judging comes from, where nobody has said: told by what was shown.

    Parameters
    ----------
    begun
        Whether it was opened: nothing but a blank mask was shown then.
    predicted, given
        Whether there is a model's mask, or one that it came with: accepted from the worklist, that one is meant.
    """
    return "from_model" if (predicted or given) and not begun else "blank_start"


CaseDecision = Literal["bring", "submit", "adjudicate", "accept", "move"]
"""What a key or button of deciding does: bring the case back into view, submit a second reading, choose whose mask is
final, accept after a look at the mask, or only move it."""


def decision_of(case: Case, wanted: Status, *, blind: bool, in_view: bool) -> CaseDecision | None:
    """What “accept” and “reject” mean for the open case; None: nothing.

    Parameters
    ----------
    case
        As its reader sees it.
    wanted
        ``accepted`` or ``rejected``.
    blind
        Whether it is a second reading that is not submitted.
    in_view
        Whether its scan is the one in view: nobody decides on a mask that is not seen.
    """
    if not in_view:
        return "bring"
    if blind:
        return "submit" if wanted == "accepted" else None
    if wanted != "accepted":
        return "move"
    return "adjudicate" if case.status == "second_reader" else "accept"
