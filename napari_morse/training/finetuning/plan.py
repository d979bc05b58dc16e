"""What a run is to do, as a file in its folder; who finds the folder can go on with it, in any process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_morse.config import MODEL_NAME, LabelEntry, ModelCard, Recipe
from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text
from napari_morse.io.subjects import patient_key
from napari_morse.io.voxels import PREFIX
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import Source, digests, older_digests

PLAN = "plan.json"
NEEDED = 1
"""Cases that a run needs to learn from."""


class Fit(BaseModel):
    """What fits the cases of a model that begins with nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    spacing: tuple[float, ...]
    """mm of the model's axes."""
    slice_axis: Literal["R", "A", "S"] | None = None
    """Of a 2-D recipe."""
    why: str
    """A sentence."""
    seconds: tuple[float, float] = (0.0, 0.0)
    """Of a step, without and with the renderer, as timed."""


class Anew(BaseModel):
    """That a run begins with no model, and what is known of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    whole: bool = True
    """As many steps as suit the cases, however long; else as many as fit into the settings' minutes."""
    fit: Fit | None = None
    """None before the run has read the cases."""


class Plan(BaseModel):
    """One round of fine-tuning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """Name or folder of the base model; empty for a new model."""
    name: str = Field(pattern=f"^{MODEL_NAME}$")
    """Of the new model."""
    by: str = Field("", max_length=200)
    created: str = Field(default_factory=lambda: dt.datetime.now(dt.UTC).date().isoformat())
    """Day, on the new model's card: a run that goes on after midnight ends as it would have."""
    train: tuple[Source, ...] = Field(min_length=NEEDED)
    earlier: tuple[Source, ...] = ()
    """Cases of earlier rounds, replayed."""
    held_out: tuple[Source, ...] = ()
    passed_over: tuple[str, ...] = ()
    """Names of held-out cases that cannot judge: their truths hold structures that the model will not know."""
    new_labels: tuple[LabelEntry, ...] = ()
    """Structures that the base model does not know; all, for a new model."""
    anew: Anew | None = None
    """None for a run that tunes a model."""
    leave_one_out: bool = False
    """Judge by the training cases: each by a model that was tuned without it. Takes as many times as long."""
    settings: TuneSettings = TuneSettings()

    @property
    def judges(self) -> tuple[Source, ...]:
        """Cases that the verdict is about."""
        return self.train if self.leave_one_out else self.held_out

    def write(self, folder: Path) -> None:
        """Keep the plan in a run's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / PLAN, self.model_dump_json(indent=1) + "\n")

    @staticmethod
    def read(folder: Path) -> Plan:
        """The plan of a run.

        Raises
        ------
        InputError
            There is none, or it is damaged.
        """
        try:
            return Plan.model_validate_json((folder / PLAN).read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError(f"{folder} holds no tuning run.", "Begin a new one.") from error


def check_apart(
    plan: Plan, card: ModelCard | None, between: Callable[[], None] = lambda: None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is trained on and what judges is known again by, after looking that nothing and nobody is on both sides.

    Also of earlier rounds: a case that once judged never trains, and one that trained never judges, whatever its file
    is called or how it was saved. Reads every scan, once. A new model has no card yet, and reads one image a case.

    Parameters
    ----------
    plan
        Of the round.
    card
        Of the base model; what older versions wrote there, digests of files, is understood.
    between
        Called before each scan.

    Raises
    ------
    InputError
        A scan or a patient is on both sides; the message names the case.
    """
    channels = 1 if card is None else len(card.channels)
    seen = (*plan.train, *plan.earlier)
    trained, held = digests(seen, channels, between), digests(plan.held_out, channels, between)
    past_trained, past_held = _past(card)
    _refuse_twins(seen, trained, plan.held_out, held)
    _refuse(seen, are_among(past_held, seen, channels),
            "judges the model, now or in an earlier round, and cannot be trained on")  # fmt: skip
    _refuse(plan.held_out, are_among(past_trained, plan.held_out, channels),
            "was trained on, now or in an earlier round, and cannot judge")  # fmt: skip
    if plan.leave_one_out:
        _refuse(plan.train, are_among(past_trained, plan.train, channels),
                "was trained on in an earlier round, and cannot judge by being left out")  # fmt: skip
    patients = {patient_key(source.patient) for source in seen if source.patient}
    for source in plan.held_out:
        if patient_key(source.patient) in patients:
            raise InputError(
                f"The patient of the held-out case {source.name} is also trained on.",
                "Keep all cases of a patient on one side.",
            )
    return _with(past_trained, seen, trained, channels), _with(past_held, plan.held_out, held, channels)


def are_among(known: Sequence[str], sources: Sequence[Source], channels: int = 1) -> list[bool]:
    """Which cases a card knows, by their scans or, where an older version wrote the card, by their files."""
    older = older_digests(sources, channels) if _has_older(known) else ("",) * len(sources)
    pairs = zip(digests(sources, channels), older, strict=True)
    return [bool({digest, file} & set(known)) for digest, file in pairs]


def file_settings(plan: Plan, card: ModelCard | None) -> dict[str, list[str]]:
    """Files of the cases, byte by byte: a run goes on with the very files that it was begun with, in any version."""
    channels = 1 if card is None else len(card.channels)
    past_trained, past_held = _past(card)
    trained = older_digests((*plan.train, *plan.earlier), channels)
    held = older_digests(plan.held_out, channels)
    return {
        "trained": list(dict.fromkeys((*past_trained, *trained))), "held_out": list(dict.fromkeys((*past_held, *held))),
    }  # fmt: skip


def _past(card: ModelCard | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a model was trained on and judged by in earlier rounds."""
    tuned = None if card is None else card.tuned
    return (tuned.trained, tuned.held_out) if tuned else ((), ())


def _with(known: Sequence[str], sources: Sequence[Source], found: Sequence[str], channels: int) -> tuple[str, ...]:
    """What a card knew and what is new, each case once."""
    older = set(older_digests(sources, channels)) if _has_older(known) else set()
    return tuple(dict.fromkeys((*(digest for digest in known if digest not in older), *found)))


def _has_older(known: Sequence[str]) -> bool:
    return any(not digest.startswith(PREFIX) for digest in known)


def _refuse(sources: Sequence[Source], found: Sequence[bool], why: str) -> None:
    for source, never in zip(sources, found, strict=True):
        if never:
            raise InputError(f"The case {source.name} {why}.", "Leave it out.")


def _refuse_twins(
    seen: Sequence[Source], trained: Sequence[str], judges: Sequence[Source], held: Sequence[str]
) -> None:
    judge_of = dict(zip(held, judges, strict=True))
    for source, digest in zip(seen, trained, strict=True):
        judge = judge_of.get(digest)
        if judge is None:
            continue
        if judge.name == source.name:
            raise InputError(f"The case {source.name} judges the model, and cannot be trained on.", "Leave it out.")
        raise InputError(
            f"The case {source.name} is the same scan as {judge.name}, which judges: it cannot be trained on.",
            "Leave it out.",
        )
