"""Masks of held-out cases by the base model and by the new one, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import napari_morse
from napari_morse.errors import CancelledError, MorseError
from napari_morse.inference.predictor import Predictor
from napari_morse.io import open_mask, open_scan, save_mask
from napari_morse.io.channels import open_case
from napari_morse.metrics import dice, score
from napari_morse.training.finetuning.plan import Plan
from napari_morse.training.finetuning.verdict import (
    JUDGED_STAGES,
    MASKS,
    WHENS,
    CaseVerdict,
    Figures,
    Verdict,
    When,
    mask_file,
    sentence,
    sentence_alone,
    tested,
)
from napari_morse.training.source import Source
from napari_morse.types import Array, Scan
from napari_morse.zoo import LoadedModel

TOLERANCE = 1.0
"""mm, of NSD."""


def predict_all(
    model: LoadedModel, sources: Sequence[Source], when: When, folder: Path,
    cancelled: Callable[[], bool] | None = None, told: Callable[[str], None] | None = None,
) -> None:  # fmt: skip
    """Write both masks of every held-out case by one model; what lies there already is not predicted again."""
    predictor = Predictor(model)
    (folder / MASKS).mkdir(parents=True, exist_ok=True)
    for source in sources:
        if cancelled is not None and cancelled():
            raise CancelledError
        files = {stage: mask_file(folder, source.name, when, stage) for stage in JUDGED_STAGES}
        # Only both together count: a run that was killed between them predicts the case again.
        if all(path.exists() for path in files.values()):
            continue
        scan = open_case(source.scan, len(model.card.channels))
        predictor.set_scan(scan)
        found = predictor.predict(cancelled=cancelled)
        save_mask(found.coarse, files["coarse"])
        save_mask(found.rendered, files["rendered"])
        if told is not None:
            told(f"{source.name}: predicted {'with the base model' if when == 'before' else 'with the new model'}")


def judged(
    folder: Path, names: Sequence[tuple[str, Path]], ids: Sequence[int], whens: Sequence[When] = WHENS
) -> tuple[CaseVerdict, ...]:
    """Figures of all cases, from the masks that lie in a run's folder, of ``whens``, and the truths.

    Raises
    ------
    InputError
        A mask is missing or damaged.
    """
    return tuple(_judged(folder, name, truth, ids, whens) for name, truth in names)


def _judged(folder: Path, name: str, truth_file: Path, ids: Sequence[int], whens: Sequence[When]) -> CaseVerdict:
    truth = open_mask(truth_file)
    figures = {}
    for when in whens:
        for stage in JUDGED_STAGES:
            mask = open_mask(mask_file(folder, name, when, stage))
            figures[f"{when} {stage}"] = figures_of(mask.data, truth.data, truth.grid.spacing, ids)
    return CaseVerdict(case=name, truth=str(truth_file), figures=figures)


def figures_of(mask: Array, truth: Array, spacing: Sequence[float], ids: Sequence[int]) -> Figures:
    """Means over the structures ``ids`` of masks of one shape, ``spacing`` in mm."""
    rows = [row for row in score(mask, truth, spacing, ids, TOLERANCE, merged=False) if row.dice is not None]
    if not rows:
        return Figures(dice=1.0, hd95=0.0, asd=0.0, nsd=1.0)
    return Figures(
        dice=_mean([row.dice for row in rows]), hd95=_mean([row.hd95_or_diagonal for row in rows]),
        asd=_mean([row.asd_or_diagonal for row in rows]), nsd=_mean([row.nsd for row in rows]),
    )  # fmt: skip


def _mean(values: Sequence[float | None]) -> float:
    return round(float(np.mean([0.0 if v is None else v for v in values])), 6)


def truth_of(folder: Path, source: Source) -> Path:
    """A case's labels; in the folder of a project's round where that was moved."""
    moved = folder / "labels" / source.labels.name
    return moved if moved.is_file() and not source.labels.is_file() else source.labels


def rederived(folder: Path) -> Verdict:
    """The verdict of a run's folder, from its masks: figures, tests and sentence; the rest as it was written.

    Raises
    ------
    InputError
        It holds no verdict, or a mask or a truth is missing or damaged.
    """
    said = Verdict.read(folder)
    places = [(source.name, truth_of(folder, source)) for source in Plan.read(folder).judges]
    cases = judged(folder, places, said.ids, ("after",) if said.alone else WHENS)
    known = {case.case: case.truth for case in said.cases}
    cases = tuple(case.model_copy(update={"truth": known.get(case.case, case.truth)}) for case in cases)
    if said.alone:
        return said.model_copy(update={"cases": cases, "sentence": sentence_alone(cases)})
    p = tested(cases)
    return said.model_copy(update={"cases": cases, "p": p, "sentence": sentence(cases, p, said.left_out, said.new)})


SAMPLES = Path(napari_morse.__file__).parent / "sample_data"
SCANS = ("colin27_left_hippocampus.nii.gz", "colin27_right_hippocampus.nii.gz")


def sample_changes(base: LoadedModel, new: LoadedModel, stop: Callable[[], bool] = lambda: False) -> dict[str, float]:
    """Dice between the rendered masks (all structures together) of two models, by sample scan.

    Empty for models that do not read one image a case, and of samples that either cannot read.
    """
    found = {}
    if len(base.card.channels) == 1 == len(new.card.channels):
        for name in SCANS:
            if stop():
                raise CancelledError
            try:
                scan = open_scan(SAMPLES / name)
                masks = [_mask(model, scan) for model in (base, new)]
            except MorseError:
                continue
            same = dice(*masks)
            found[name.split(".")[0]] = round(1.0 if same is None else same, 4)
    return found


def _mask(model: LoadedModel, scan: Scan) -> np.ndarray:
    predictor = Predictor(model)
    predictor.set_scan(scan)
    mask: np.ndarray = predictor.predict().rendered.data > 0
    return mask
