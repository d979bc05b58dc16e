"""A coarse pass on coarser voxels, rendered on the scan's own grid, against a finer backbone: accuracy and time."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study.bench import Report, Trained, cases_of, opened
from benchmarks.study.results import MEAN, MERGED, Side, compare, over_seeds
from benchmarks.study.scoring import looking, predicted, rows_of
from benchmarks.study.sets import SETS, Set, patient_of
from benchmarks.study.tables import markdown
from napari_morse.inference import Predictor
from napari_morse.types import Mask, Scan

FINE, UPSAMPLED, ONE_LOOK, RENDERED = "fine", "coarse", "one_look", "rendered"
SAYS = {FINE: "fine backbone alone", UPSAMPLED: "coarse pass, upsampled", ONE_LOOK: "rendered, one look",
        RENDERED: "rendered"}  # fmt: skip
FIGURES = ("dice", "hd95_or_diagonal", "asd_or_diagonal", "nsd")
NOTE = """`fine backbone alone` is the coarse mask of the finer model, on the scan's grid; `coarse pass, upsampled` the
coarse mask of the other; `rendered` its rendered masks. Seconds start at the normalised scan and end, of a backbone
alone, at logits on the scan's grid, of a rendered mask, at its labels; alternated in one process, each first in turn.
Minimum over the rounds of each case, and median over all rounds and cases; shares of the fine backbone's time in the
same round. Tests: paired Wilcoxon over patients."""


def native(given: argparse.Namespace) -> int:
    """Both models on every test case; the tables."""
    fine, coarse = (opened(Trained(given.set, "", 0, _place(name)), Predictor) for name in (given.fine, given.coarse))
    about = {"set": given.set, "first": given.first, "rounds": given.rounds,
             "fine": fine.model.digest, "coarse": coarse.model.digest}  # fmt: skip
    report = Report(given.out, "native", about)
    for stem, scan, truth in cases_of(given.data, SETS[given.set], given.first):
        if not report.has(case=stem):
            report.add(_case(fine, coarse, SETS[given.set], stem, scan, truth, given.rounds))
            print(f"{stem}: done", flush=True)
    report.close(tables(report.rows, SETS[given.set].unit, [cells_of(fine), cells_of(coarse)]))
    return 0


def _place(name: str) -> str | Path:
    return Path(name) if Path(name).exists() else name


def cells_of(predictor: Predictor) -> str:
    """At which resolution a model's coarse pass works."""
    spacing, stride = predictor.card.spacing, predictor.net.backbone.logit_stride
    grid, cells = (" × ".join(f"{factor * s:g}" for s in spacing) for factor in (1, stride))
    return f"`{predictor.card.name}`, grid of {grid} mm, cells of {cells} mm"


@contextmanager
def unrendered(predictor: Predictor) -> Iterator[None]:
    """A model whose renderer has no voxel to look at: its backbone alone."""
    recipe = predictor.net.recipe
    update = {"selection": "margin", "uncertain_below": 1e-30, "looks": 1, "steps": 1}
    predictor.net.recipe = recipe.model_copy(update={"render": recipe.render.model_copy(update=update)})
    try:
        yield
    finally:
        predictor.net.recipe = recipe


def _case(
    fine: Predictor, coarse: Predictor, chosen: Set, stem: str, scan: Scan, truth: Mask, rounds: int
) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {kind: [] for kind in SAYS}
    masks: dict[str, Mask] = {}
    kinds = list(SAYS)
    for turn in range(rounds):
        first = turn % len(kinds)
        for kind in (*kinds[first:], *kinds[:first]):
            predictor = fine if kind == FINE else coarse
            with _as(kind, predictor):
                found = predicted(predictor, scan)
            alone = kind in (FINE, UPSAMPLED)
            seconds[kind].append(found.seconds["coarse"] + (0.0 if alone else found.seconds["render"]))
            masks[kind] = found.coarse if alone else found.rendered
    return {
        "case": stem,
        "patient": patient_of(chosen, stem),
        "seconds": {kind: [round(s, 4) for s in values] for kind, values in seconds.items()},
        "scores": {kind: rows_of(coarse, chosen, mask, truth) for kind, mask in masks.items()},
    }


def _as(kind: str, predictor: Predictor) -> AbstractContextManager[None]:
    """How a predictor is set for a kind of mask."""
    if kind in (FINE, UPSAMPLED):
        return unrendered(predictor)
    return looking(predictor, 1) if kind == ONE_LOOK else nullcontext()


def tables(rows: list[dict[str, Any]], unit: str, models: list[str]) -> str:
    """Markdown: figures, differences from the fine backbone and from the coarse mask, times."""
    arms = {"": {0: {"cases": rows}}}
    structures = [row["id"] for row in rows[0]["scores"][FINE] if row["id"] != MERGED]
    parts = ["# Native resolution\n", NOTE + "\n", f"Fine: {models[0]}. Coarse: {models[1]}. {len(rows)} cases.\n"]
    shown = [(MEAN, "mean of structures"), (MERGED, "merged")] if len(structures) > 1 else [(MERGED, "the structure")]
    for structure, title in shown:
        parts += [f"## {title}\n", _accuracy(arms, structure, unit), _differences(arms, structure)]
    return "\n".join([*parts, "## Time\n", times(rows)])


def _accuracy(arms: Any, structure: int, unit: str) -> str:
    lines = []
    for kind, says in SAYS.items():
        values = [over_seeds(arms[""], kind, figure, structure)[0] for figure in FIGURES]
        digits = (4, 3, 3, 4)
        lines.append([says, *("n/a" if v is None else f"{v:.{d}f}" for v, d in zip(values, digits, strict=True))])
    return markdown(["mask", "Dice", f"HD95*, {unit}", f"ASD*, {unit}", "NSD, one voxel"], lines)


def _differences(arms: Any, structure: int) -> str:
    lines = []
    for kind, other in ((k, o) for o in (FINE, UPSAMPLED) for k in (ONE_LOOK, RENDERED)):
        found = [compare(arms, Side("", kind), Side("", other), figure, structure) for figure in FIGURES]
        cells = []
        for figure, c in zip(FIGURES, found, strict=True):
            size = f"{c.difference:+.4f}" if c is not None else "n/a"
            if c is not None and figure in ("hd95_or_diagonal", "asd_or_diagonal"):
                size = f"{c.difference:+.3f}, {100 * c.ratio:+.1f} %"
            cells.append(size if c is None else f"{size} ({c.p:.2g})")
        lines.append([f"{SAYS[kind]} − {SAYS[other]}", *cells])
    return markdown(["difference", "Dice (p)", "HD95* (p)", "ASD* (p)", "NSD (p)"], lines)


def times(rows: list[dict[str, Any]]) -> str:
    """Seconds and shares of the fine backbone's."""
    lines = []
    for kind, says in SAYS.items():
        every = [s for row in rows for s in row["seconds"][kind]]
        least = float(np.mean([min(row["seconds"][kind]) for row in rows]))
        shares = [a / b for row in rows for a, b in zip(row["seconds"][kind], row["seconds"][FINE], strict=True)]
        of_least = float(np.mean([min(row["seconds"][kind]) / min(row["seconds"][FINE]) for row in rows]))
        lines.append([says, f"{least:.3f}", f"{np.median(every):.3f}", f"{np.median(shares):.3f}", f"{of_least:.3f}"])
    head = ["mask", "seconds, mean of minima", "median", "share of the fine backbone's, median", "of minima"]
    return markdown(head, lines)
