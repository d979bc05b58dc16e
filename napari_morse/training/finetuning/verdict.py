"""Before and after on held-out cases, from masks that are kept, so that anybody can work it out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text

FILE, MASKS = "verdict.json", "predictions"
FEWEST_CASES = 6
"""Cases below which Wilcoxon's signed rank test cannot reach p < 0.05, whatever they show."""
SIGNIFICANCE = 0.05
NAMED_CASES = 5
"""Cases that are named where there may be many."""

When = Literal["before", "after"]
JudgedStage = Literal["coarse", "rendered"]
WHENS: tuple[When, ...] = ("before", "after")
JUDGED_STAGES: tuple[JudgedStage, ...] = ("rendered", "coarse")
FIGURES = ("dice", "hd95", "asd", "nsd")


class Figures(BaseModel):
    """Means over the model's structures that the case or its mask holds; a missed one counts the image's diagonal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dice: float
    hd95: float
    """mm."""
    asd: float
    """mm."""
    nsd: float
    """At 1 mm."""


class CaseVerdict(BaseModel):
    """One held-out case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    truth: str
    """File of its labels."""
    figures: dict[str, Figures]
    """``before coarse``, ``before rendered``, ``after coarse``, ``after rendered``; without a base model only
    those after."""

    def gain(self, figure: str = "dice", stage: JudgedStage = "rendered") -> float:
        """After minus before."""
        before, after = (getattr(self.figures[f"{when} {stage}"], figure) for when in WHENS)
        return float(after - before)


class Verdict(BaseModel):
    """What a round was worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    digest: str
    parent: str
    """The base model; empty for a model that began with none: there is no before."""
    parent_digest: str
    ids: tuple[int, ...]
    """Labels that are judged."""
    cases: tuple[CaseVerdict, ...]
    p: dict[str, float | None]
    """Wilcoxon's signed rank test over the cases, by ``figure stage``; None where it cannot tell."""
    samples: dict[str, float] = {}
    """Dice between the two models' rendered masks of the shipped sample scans: 1 where nothing changed."""
    sentence: str
    new: tuple[str, ...] = ()
    """Structures that the base model does not know: none of its masks holds them."""
    passed_over: tuple[str, ...] = ()
    """Held-out cases that were not judged: their truths hold structures that the model does not know."""
    left_out: bool = False
    """Each case was judged by a model that was tuned without it (leave-one-out)."""

    @property
    def alone(self) -> bool:
        """Whether there is no base model to compare with."""
        return not self.parent

    def unjudged(self, names: Mapping[str, str]) -> str:
        """A sentence on the cases that were not judged; ``names`` by case, where it has another one. Else empty."""
        return passed(tuple(names.get(case, case) for case in self.passed_over))

    def mean(self, when: When, stage: JudgedStage, figure: str) -> float:
        """Over the cases; NaN without any."""
        values = [getattr(case.figures[f"{when} {stage}"], figure) for case in self.cases]
        return float(np.mean(values)) if values else float("nan")

    def worst(self) -> tuple[CaseVerdict, ...]:
        """Cases by what they gained in rendered Dice, the greatest loss first; by their Dice without a base model."""
        return tuple(sorted(self.cases, key=_dice if self.alone else CaseVerdict.gain))

    def write(self, folder: Path) -> None:
        """Keep it as ``verdict.json``."""
        write_text(folder / FILE, self.model_dump_json(indent=1) + "\n")

    @staticmethod
    def read(folder: Path) -> Verdict:
        """The verdict in a run's folder; raises InputError where there is none."""
        try:
            return Verdict.model_validate_json((folder / FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError(f"{folder} holds no verdict.", "Give the folder that a tuning run wrote.") from error


def _dice(case: CaseVerdict) -> float:
    return case.figures["after rendered"].dice


def passed(names: Sequence[str]) -> str:
    """That held-out cases are not judged; empty without any."""
    if not names:
        return ""
    each = "its truth holds a structure" if len(names) == 1 else "their truths hold structures"
    which = f"{_listed(names[:NAMED_CASES])}{f' (and {len(names) - NAMED_CASES} more)' * (len(names) > NAMED_CASES)}"
    return f"Not judged: {which}; {each} that the model does not know."


def sentence_alone(cases: Sequence[CaseVerdict]) -> str:
    """What a model is worth that began with none, in one sentence."""
    if not cases:
        return "No case was held out, so nothing can be said about what the new model is worth."
    after = [case.figures["after rendered"] for case in cases]
    dice, mm = float(np.mean([f.dice for f in after])), float(np.mean([f.asd for f in after]))
    mean, many = ("mean ", f"over {len(cases)} held-out cases") if len(cases) > 1 else ("", "on one held-out case")
    told = f"{mean}Dice {dice:.3f}, ASD {mm:.2f} mm {many}"
    return f"New model: {told}; there is no base model to compare it with."


def mask_file(folder: Path, case: str, when: When, stage: JudgedStage) -> Path:
    """Where a held-out case's mask lies."""
    return folder / MASKS / f"{case}_{when}_{stage}.nii.gz"


def tested(cases: Sequence[CaseVerdict]) -> dict[str, float | None]:
    """Two-sided p of Wilcoxon's signed rank test for every figure and stage."""
    from scipy import stats

    found: dict[str, float | None] = {}
    for stage in JUDGED_STAGES:
        for figure in FIGURES:
            gains = np.array([case.gain(figure, stage) for case in cases])
            able = len(gains) >= FEWEST_CASES and bool(np.any(gains))
            found[f"{figure} {stage}"] = float(f"{stats.wilcoxon(gains).pvalue:.4g}") if able else None
    return found


def sentence(
    cases: Sequence[CaseVerdict], p: dict[str, float | None], left_out: bool = False, new: Sequence[str] = ()
) -> str:
    """Whether the new model is better, in one sentence; a second one where ``new`` structures are judged, too."""
    said = _compared(cases, p, left_out)
    return f"{said} The base model does not know {_listed(new)}, which counts against it." if cases and new else said


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _compared(cases: Sequence[CaseVerdict], p: dict[str, float | None], left_out: bool) -> str:
    if not cases:
        return "No case was held out, so nothing can be said about whether the new model is better."
    if not any(case.gain(figure) for case in cases for figure in FIGURES):
        return (
            "The new model is not better: its masks of the held-out cases are worth what those of the base model are."
        )
    gain, mm = (float(np.mean([case.gain(figure) for case in cases])) for figure in ("dice", "asd"))
    many = "s" * (len(cases) > 1)
    which = f"{len(cases)} case{many}, each left out in turn" if left_out else f"{len(cases)} held-out case{many}"
    told = f"rendered Dice {gain:+.3f}, ASD {mm:+.2f} mm on {which}"
    if len(cases) < FEWEST_CASES:
        offer = "" if left_out else "; leaving each training case out in turn would tell more"
        seems = "seems better" if gain > 0 else "is not better"
        return (
            f"The new model {seems} ({told}), but fewer than {FEWEST_CASES} cases cannot tell this from chance{offer}."
        )
    return _sure_of(gain, mm, told, p)


def _sure_of(gain: float, mm: float, told: str, p: dict[str, float | None]) -> str:
    chance = p["dice rendered"]
    if chance is None or chance >= SIGNIFICANCE:
        said = 1.0 if chance is None else chance
        return f"The new model is not shown to be better: {told}, which may be chance (p {said:.2g})."
    if gain <= 0:
        return f"The new model is worse: {told} (p {chance:.2g})."
    off = p["asd rendered"]
    if mm > 0 and off is not None and off < SIGNIFICANCE:
        return f"The new model covers more but lies further off: {told} (p {chance:.2g} and {off:.2g})."
    return f"The new model is better: {told} (p {chance:.2g})."
