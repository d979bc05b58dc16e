"""``napari-morse evaluate``: masks against truth, per case and structure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from napari_morse.cli.batch import Failed, check_summary, exit_code, one_of_many
from napari_morse.errors import GeometryError, InputError
from napari_morse.io import case_stem, open_mask
from napari_morse.io.atomic import write_text
from napari_morse.metrics import MERGED, ClassScore, ClassSummary, score, summarise
from napari_morse.types import Mask

MASK_ENDINGS = (".nii.gz", ".nii", ".png", ".tif", ".tiff", ".bmp")
STAGE_SUFFIXES = ("_coarse", "_rendered")
"""What ``predict`` appends to a case's name."""
EVALUATION_FORMAT = "napari-morse-evaluation"
_TERMINAL_WIDTH = 1000
DEFINITIONS = {
    "hd95": "larger of the two directed 95th percentiles between edge voxels, mm",
    "asd": "symmetric mean distance between edge voxels, mm",
    "nsd": "share of both marching-cubes surfaces within the tolerance of the other",
    "or_diagonal": "the distance, or the image's diagonal where only one of truth and prediction holds the structure",
    "null": "no value: nothing to compare",
}


@dataclass(frozen=True)
class Pairing:
    """Which files belong together, all in the order of their names."""

    pairs: tuple[tuple[str, Path, Path], ...]
    """(case, prediction, truth)."""
    no_prediction: tuple[str, ...]
    """Cases with a truth and no prediction."""
    no_truth: tuple[str, ...]
    """Predictions without a truth."""


@dataclass(frozen=True)
class Run:
    """All cases of one suffix, scored."""

    suffix: str
    pairing: Pairing
    rows: tuple[tuple[ClassScore, ...], ...]
    """One tuple per pair, in their order."""
    summary: tuple[ClassSummary, ...]
    failed: tuple[Failed, ...] = ()
    """Cases that could not be used; none of their pairs is in ``pairing``."""


def evaluate(
    pred: Annotated[Path, typer.Option(help="Folder of masks, named <case><suffix>.nii.gz (or .nii, .png, …).")],
    truth: Annotated[Path, typer.Option(help="Folder of true masks, named <case>.nii.gz (or .nii, .png, …).")],
    suffix: Annotated[
        str | None,
        typer.Option(
            help="Ending of the predictions' names. Without it: _coarse and _rendered where found, else none."
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Of NSD, in mm.")] = 1.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write every row to this file.")] = None,
) -> None:
    """Score masks: Dice, HD95, ASD and NSD in mm per case and structure; missed structures are counted.

    A case that cannot be scored is named and the others are; the exit code is then 1, and 2 where none could be.
    """
    if not math.isfinite(tolerance):
        raise InputError(f"The tolerance {tolerance} is no distance.", "Give a number of mm, such as 1.")
    truths, predictions = _masks(truth), _masks(pred)
    _spare_masks(json_file, (*truths.files(), *predictions.files()))
    suffixes = [suffix] if suffix is not None else _suffixes(predictions.masks)
    pairings = [(s, pair(predictions.masks, truths.masks, s)) for s in suffixes]
    if not any(pairing.pairs for _, pairing in pairings):
        raise InputError(
            f"No mask in {pred} has a truth of the same name in {truth}.",
            "Predictions are named <case><suffix>, truths <case>; give the suffix with --suffix.",
        )
    twice = truths.twice | predictions.twice
    failed: list[Failed] = []
    runs = [_run(s, pairing, twice, tolerance, failed) for s, pairing in pairings]
    scored = sum(len(run.rows) for run in runs)
    if not scored:
        raise typer.Exit(exit_code(0, failed))
    if json_file is not None:
        write_text(json_file, json.dumps(_report(runs, tolerance), indent=1, allow_nan=False) + "\n")
    # Without markup: rich would take square brackets in the names of cases for it.
    console = Console(markup=False, highlight=False)
    for run in runs:
        _show(console, run, tolerance)
    raise typer.Exit(exit_code(scored, failed))


def pair(predictions: dict[str, Path], truths: dict[str, Path], suffix: str) -> Pairing:
    """Match predictions named ``<case><suffix>`` to truths named ``<case>``, both given by stem."""
    cases = {stem[: len(stem) - len(suffix)]: path for stem, path in predictions.items() if stem.endswith(suffix)}
    both = sorted(cases.keys() & truths.keys())
    return Pairing(
        tuple((case, cases[case], truths[case]) for case in both),
        tuple(sorted(truths.keys() - cases.keys())),
        tuple(sorted(cases[case].name for case in cases.keys() - truths.keys())),
    )


def _suffixes(predictions: Iterable[str]) -> list[str]:
    stems = list(predictions)
    return [s for s in STAGE_SUFFIXES if any(stem.endswith(s) for stem in stems)] or [""]


@dataclass(frozen=True)
class Found:
    """Mask files of a folder by case stem, in the order of their names."""

    masks: dict[str, Path]
    others: dict[str, list[Path]]
    """Further files of the same stem."""

    def files(self) -> list[Path]:
        """All of them."""
        return [*self.masks.values(), *(path for paths in self.others.values() for path in paths)]

    @property
    def twice(self) -> dict[Path, list[Path]]:
        """By the file that is taken for a case: others of its name."""
        return {self.masks[stem]: paths for stem, paths in self.others.items()}


def _masks(folder: Path) -> Found:
    if not folder.is_dir():
        raise InputError(f"There is no folder “{folder}”.", "Give a folder of masks.")
    masks = Found({}, {})
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.name.lower().endswith(MASK_ENDINGS) or not path.is_file():
            continue
        stem = case_stem(path)
        if stem in masks.masks:
            masks.others.setdefault(stem, []).append(path)
        else:
            masks.masks[stem] = path
    return masks


def _check_once(path: Path, others: Iterable[Path]) -> None:
    """Refuse a case of which two files say different things."""
    for other in others:
        if not _same_mask(path, other):
            raise InputError(
                f"“{path.name}” and “{other.name}” are two masks of one case.", "Keep one of them in the folder."
            )


def _spare_masks(target: Path | None, masks: Iterable[Path]) -> None:
    """Refuse to write the report over a mask that is scored."""
    clash = next((m for m in masks if target is not None and target.exists() and target.samefile(m)), None)
    if target is not None and clash is None:
        check_summary(target, lambda summary: summary.get("format") == EVALUATION_FORMAT)
    if clash is not None:
        raise InputError(f"The report would overwrite the mask “{clash.name}”.", "Give another name to --json.")


def _same_mask(first: Path, second: Path) -> bool:
    """Whether two files say the same, as the masks of a picture do that ``predict`` writes in two formats."""
    one, other = open_mask(first), open_mask(second)
    return one.grid.same_as(other.grid) and np.array_equal(one.data, other.data)


def _run(
    suffix: str, pairing: Pairing, twice: Mapping[Path, list[Path]], tolerance: float, failed: list[Failed]
) -> Run:
    """Score every pair; ids are those that occur anywhere in the run, so that every case has the same rows."""
    before, ids = len(failed), set[int]()
    usable: list[tuple[str, Path, Path]] = []
    for case, prediction, truth in pairing.pairs:
        with one_of_many(case, failed):
            ids |= _ids(case, prediction, truth, twice)
            usable.append((case, prediction, truth))
    scored: list[tuple[str, Path, Path]] = []
    rows: list[tuple[ClassScore, ...]] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for step in progress.track(usable, description=f"Scoring {suffix}".strip()):
            with one_of_many(step[0], failed):
                rows.append(tuple(_score(*step, sorted(ids), tolerance)))
                scored.append(step)
    scored_pairing = replace(pairing, pairs=tuple(scored))
    return Run(suffix, scored_pairing, tuple(rows), tuple(summarise(rows)), tuple(failed[before:]))


def _ids(case: str, prediction: Path, truth: Path, twice: Mapping[Path, list[Path]]) -> set[int]:
    """Labels of a pair; raises where it cannot be scored."""
    for path in (prediction, truth):
        _check_once(path, twice.get(path, ()))
    masks = open_mask(prediction), open_mask(truth)
    _check_grids(case, *masks)
    return {int(label) for mask in masks for label in np.unique(mask.data)} - {0}


def _score(case: str, prediction: Path, truth: Path, ids: Sequence[int], tolerance: float) -> list[ClassScore]:
    pred_mask, truth_mask = open_mask(prediction), open_mask(truth)
    _check_grids(case, pred_mask, truth_mask)
    return score(pred_mask.data, truth_mask.data, truth_mask.grid.spacing, ids, tolerance)


def _check_grids(case: str, pred: Mask, truth: Mask) -> None:
    if pred.grid.same_as(truth.grid):
        return
    if pred.grid.shape != truth.grid.shape:
        difference = f"their shapes are {pred.grid.shape} and {truth.grid.shape}"
    else:
        difference = "their affines put the voxels at different places"
    raise GeometryError(
        f"The two masks of case “{case}” do not lie on one grid: {difference}.",
        "Resample one of them onto the other's grid first.",
    )


def _report(runs: Sequence[Run], tolerance: float) -> dict[str, Any]:
    return {
        "format": EVALUATION_FORMAT,
        "format_version": 1,
        "tolerance_mm": tolerance,
        "definitions": DEFINITIONS,
        "runs": [_report_run(run) for run in runs],
    }


def _report_run(run: Run) -> dict[str, Any]:
    return {
        "suffix": run.suffix,
        "scored": len(run.pairing.pairs),
        "no_prediction": list(run.pairing.no_prediction),
        "no_truth": list(run.pairing.no_truth),
        "failed": [{"case": each.name, "error": str(each.error)} for each in run.failed],
        "cases": [
            {"case": case, "structures": [_named(row) for row in rows]}
            for (case, _, _), rows in zip(run.pairing.pairs, run.rows, strict=True)
        ],
        "summary": [_named(row) for row in run.summary],
    }


def _named(row: ClassScore | ClassSummary) -> dict[str, Any]:
    return {"structure": _structure(row.id), **asdict(row)}


def _structure(label: int) -> str:
    return "merged" if label == MERGED else f"label {label}"


def _show(console: Console, run: Run, tolerance: float) -> None:
    title = f"{run.suffix.strip('_') or 'masks'}: {len(run.pairing.pairs)} cases scored, NSD at {tolerance:g} mm"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("class", no_wrap=True)
    for column in ("found", "missed", "spurious", "empty", "Dice", "HD95", "HD95*", "ASD", "ASD*", "NSD"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in run.summary:
        counts = (row.found, row.missed, row.spurious, row.both_empty)
        figures = [
            _number(row.dice, 3),
            *(_number(v, 2) for v in (row.hd95, row.hd95_or_diagonal, row.asd, row.asd_or_diagonal)),
            _number(row.nsd, 3),
        ]
        table.add_row(_structure(row.id), *(str(n) for n in counts), *figures)
    needed = console.measure(table, options=console.options.update(width=_TERMINAL_WIDTH)).maximum
    console.width = max(console.width, needed)  # a narrow terminal wraps lines, but no figure is cut
    console.print(table)
    if any(row.missed or row.spurious for row in run.summary):
        console.print(
            "* mm, with the image's diagonal where a structure was missed or spurious (Dice and NSD are 0 there)."
        )
    else:
        console.print("* as HD95 and ASD: no structure was missed or spurious. Distances in mm.")
    _show_left_out(console, "Not scored, no prediction", run.pairing.no_prediction)
    _show_left_out(console, "Not scored, no truth", run.pairing.no_truth)
    _show_left_out(console, "Not scored, could not be used", [each.name for each in run.failed])


def _show_left_out(console: Console, what: str, names: Sequence[str]) -> None:
    if names:
        console.print(f"{what} ({len(names)}): {', '.join(names)}")


def _number(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
