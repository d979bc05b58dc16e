"""What a run is to do, as a file in its folder; who finds the folder can go on with it, in any process."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_morse.config import NAME, LabelEntry, ModelCard, Recipe
from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text
from napari_morse.training.tuning.settings import TuneSettings
from napari_morse.training.tuning.source import Source, digests

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
    name: str = Field(pattern=f"^{NAME}$")
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


def check_apart(plan: Plan, card: ModelCard | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Digests of what is trained on and of what judges, after looking that nothing and nobody is on both sides.

    Also of earlier rounds: a case that once judged never trains, and one that trained never judges. A new model has no
    card yet, and reads one image a case.

    Raises
    ------
    InputError
        A scan or a patient is on both sides; the message names the case.
    """
    channels = 1 if card is None else len(card.channels)
    seen = (*plan.train, *plan.earlier)
    trained, held = digests(seen, channels), digests(plan.held_out, channels)
    before = None if card is None else card.tuned
    never_train = {*held, *(before.held_out if before else ())}
    never_judge = {*trained, *(before.trained if before else ())}
    _refuse(seen, trained, never_train, "judges the model, now or in an earlier round, and cannot be trained on")
    _refuse(plan.held_out, held, never_judge, "was trained on, now or in an earlier round, and cannot judge")
    if plan.leave_one_out:
        _refuse(plan.train, digests(plan.train, channels), set(before.trained if before else ()),
                "was trained on in an earlier round, and cannot judge by being left out")  # fmt: skip
    patients = {source.patient for source in seen if source.patient}
    for source in plan.held_out:
        if source.patient in patients:
            raise InputError(
                f"The patient of the held-out case {source.name} is also trained on.",
                "Keep all cases of a patient on one side.",
            )
    return (
        tuple(dict.fromkeys((*(before.trained if before else ()), *trained))),
        tuple(dict.fromkeys((*(before.held_out if before else ()), *held))),
    )


def _refuse(sources: tuple[Source, ...], found: tuple[str, ...], never: set[str], why: str) -> None:
    for source, digest in zip(sources, found, strict=True):
        if digest in never:
            raise InputError(f"The case {source.name} {why}.", "Leave it out.")
