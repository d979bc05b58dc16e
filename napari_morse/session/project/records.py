"""What a project knows of its cases, and which ways lead from one status to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from napari_morse.errors import InputError

Status = Literal["new", "predicted", "in_review", "accepted", "corrected", "rejected", "second_reader"]
STATUSES: tuple[Status, ...] = get_args(Status)
STATUS_WORDS: Mapping[Status, str] = {
    "new": "new",
    "predicted": "predicted",
    "in_review": "in review",
    "accepted": "accepted",
    "corrected": "corrected",
    "rejected": "rejected",
    "second_reader": "needs a second reader",
}
MOVES: Mapping[Status, tuple[Status, ...]] = {
    "new": ("predicted", "in_review", "corrected", "rejected"),
    "predicted": ("predicted", "in_review", "accepted", "corrected", "rejected", "second_reader"),
    "in_review": ("predicted", "accepted", "corrected", "rejected", "second_reader"),
    "accepted": ("in_review", "second_reader"),
    "corrected": ("corrected", "in_review", "accepted", "rejected", "second_reader"),
    "rejected": ("in_review", "predicted"),
    "second_reader": ("in_review", "accepted", "corrected", "rejected"),
}
"""From each status, where a person or a run may lead. Taking the last move back is always possible, and is not here."""
DONE_STATUSES: tuple[Status, ...] = ("accepted", "corrected", "rejected")
TruthFrom = Literal["", "given", "blank_start", "second_reader", "from_model"]
TRUTHS: tuple[TruthFrom, ...] = get_args(TruthFrom)
"""How a held-out case's truth came about; one corrected from the model's own mask flatters that model."""


def check_move(before: Status, after: str) -> Status:
    """``after``, when it may follow ``before``.

    Raises
    ------
    InputError
        When it may not; the sentence names what may.
    """
    for allowed in MOVES[before]:
        if allowed == after:
            return allowed
    ways = ", ".join(STATUS_WORDS[s] for s in MOVES[before])
    named = next((STATUS_WORDS[s] for s in STATUSES if s == after), after)
    raise InputError(f"A case that is {STATUS_WORDS[before]} cannot become {named}.", f"It can become: {ways}.")


COMMENT_LIMIT = 2000
"""Characters of a comment."""
READER_NAME_LIMIT = 100
"""Characters of a reader's name."""


def short(text: str) -> str:
    """A comment as it is kept."""
    return text.encode(errors="replace").decode().strip()[:COMMENT_LIMIT]


def plain_name(reader: str) -> str:
    """A reader's name as it is kept.

    Raises
    ------
    InputError
        It is empty.
    """
    name = " ".join(reader.encode(errors="replace").decode().split())[:READER_NAME_LIMIT]
    if not name:
        raise InputError("Nobody says who is reading.", "Give a name or initials: they stand beside every act.")
    return name


@dataclass(frozen=True)
class CaseFiles:
    """A case as it is found on the disk, before it is in a project.

    Parameters
    ----------
    scan
        Its file.
    mask, truth
        Files on the same grid, when there are any.
    patient
        Whose scan it is; empty: nobody else's, the case is its own patient.
    """

    scan: Path
    mask: Path | None = None
    truth: Path | None = None
    patient: str = ""


@dataclass(frozen=True)
class Case:
    """A row of the worklist.

    Parameters
    ----------
    id
        Safe as a folder's name, made from the scan's own file name.
    number
        Place in the order in which cases were added, from 1.
    stem
        The scan's own file name without extension.
    scan, mask, truth
        Where the files were when they were last found; where they are now say `Project.scan_of`, `mask_of`, `truth_of`.
    patient
        Whose scan it is.
    status, reviewer, comment
        Where the review stands, who moved it there, and what was said.
    seconds
        Time that people spent on it.
    held_out
        Whether its patient is for judging only, never for training.
    truth_from
        See `TruthFrom`.
    model, model_digest
        What predicted it; empty before.
    doubt_mm
        Length of the boundary that is probably wrong: patches' lengths weighed by their probability of error; None
        before a prediction.
    disagreement_mm3
        Volume on which coarse and rendered mask differ; None before a prediction.
    sizes
        ml by structure.
    """

    id: str
    number: int
    stem: str
    scan: Path
    mask: Path | None
    truth: Path | None
    patient: str
    status: Status = "new"
    reviewer: str = ""
    comment: str = ""
    seconds: float = 0.0
    held_out: bool = False
    truth_from: TruthFrom = ""
    model: str = ""
    model_digest: str = ""
    doubt_mm: float | None = None
    disagreement_mm3: float | None = None
    sizes: Mapping[str, float] = field(default_factory=dict)

    @property
    def wants_truth(self) -> bool:
        """Whether it is for judging, and has no truth but one that flatters the model that it was made from."""
        return self.held_out and self.truth is None and self.truth_from in ("", "from_model")


@dataclass(frozen=True)
class PredictionRecord:
    """What a run said of a case; see the fields of that name in `Case`."""

    model: str
    digest: str
    doubt_mm: float
    disagreement_mm3: float
    sizes: Mapping[str, float]


@dataclass(frozen=True)
class Agreement:
    """Two masks of one case against each other: means over the structures that either holds."""

    dice: float
    asd_mm: float | None
    hd95_mm: float | None


@dataclass(frozen=True)
class SecondReading:
    """One second reading of a case.

    Parameters
    ----------
    case, reader
        Whose of what.
    submitted
        Whether the reader is done; until then nobody sees the other's mask.
    verdict, comment
        What the reader said, once submitted.
    agreement
        Of the reader's mask with the first one, when the reader made one.
    """

    case: str
    reader: str
    submitted: bool
    verdict: str = ""
    comment: str = ""
    agreement: Agreement | None = None
