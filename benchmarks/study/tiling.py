"""Other windows and overlaps, end to end: do the masks near the boundary stay the same?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from benchmarks.study.bench import Keeping, Report, Trained, asked, cases_of, opened, set_of
from benchmarks.study.planes import steps, working_axes
from benchmarks.study.results import wilcoxon
from benchmarks.study.scoring import looking, predicted
from benchmarks.study.sets import patient_of
from benchmarks.study.tables import markdown
from napari_morse.inference import Predictor
from napari_morse.types import Array, Mask, Scan

TILINGS = {
    "3/4 of the window": (0.75, None),
    "5/4 of the window": (1.25, None),
    "overlap 1/2": (1.0, 0.5),
    "overlap 0": (1.0, 0.0),
    "3/4 of the window, overlap 1/2": (0.75, 0.5),
}
"""Windows as shares of the trained one, rounded to the divisor, and overlaps (None: the recipe's)."""
REACH = 3.0
MARGIN = 0.1
"""Points by which rendered masks may agree less than coarse ones."""
KINDS = ("coarse", "one_look", "rendered")
NOTE = """Share of voxels within 3 voxels of the truth's boundary (any structure's) on which the masks of the recipe's
own windows and of another tiling agree, in per cent. A scan that fits into one window has no overlaps; another window
pads it otherwise, which moves the backbone's cells.
Means over patients. `met`: rendered masks agree at least as well as coarse ones − 0.1 points."""


def tiling(given: argparse.Namespace) -> int:
    """Run what is not in the report yet, then the tables."""
    report = Report(given.out, "tiling", {"first": given.first})
    for trained in asked(given):
        predictor = opened(trained)
        if report.has(name=trained.name, digest=predictor.model.digest):
            continue
        cases = [_case(predictor, trained, *case) for case in cases_of(given.data, set_of(trained), given.first)]
        windows = {name: other_window(predictor, share) for name, (share, _) in TILINGS.items()}
        row = {"name": trained.name, "model": str(trained.model), "digest": predictor.model.digest,
               "window": predictor.net.recipe.train.window, "windows": windows, "cases": cases}  # fmt: skip
        report.add(row, "name", "model")
    report.close(tables(report.rows))
    return 0


def other_window(predictor: Predictor, share: float) -> tuple[int, ...]:
    """The trained window times a share, in whole divisors."""
    divisor = predictor.net.backbone.divisor
    return tuple(max(divisor, round(share * n / divisor) * divisor) for n in predictor.net.recipe.train.window)


@contextmanager
def tiled(predictor: Predictor, share: float, overlap: float | None) -> Iterator[None]:
    """Other windows for a while."""
    recipe = predictor.net.recipe
    window = other_window(predictor, share)
    update = {"window": window, "overlap": recipe.train.overlap if overlap is None else overlap}
    predictor.net.recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update=update)})
    try:
        yield
    finally:
        predictor.net.recipe = recipe


def _masks(predictor: Predictor, scan: Scan) -> dict[str, Array]:
    """Of a scan; the coarse pass of a `Keeping` predictor is made once."""
    found = predicted(predictor, scan)
    with looking(predictor, 1):
        one = predictor.predict()
    return {"coarse": found.coarse.data, "one_look": one.rendered.data, "rendered": found.rendered.data}


def _case(predictor: Predictor, trained: Trained, stem: str, scan: Scan, truth: Mask) -> dict[str, Any]:
    assert isinstance(predictor, Keeping)
    chosen = set_of(trained)
    band = boundary_band(truth.data, working_axes(chosen, truth.grid))
    own, agree = _masks(predictor, scan), {}
    for name, (share, overlap) in TILINGS.items():
        with tiled(predictor, share, overlap):
            other = _masks(predictor, scan)
        agree[name] = {kind: 100 * float(np.equal(own[kind], other[kind])[band].mean()) for kind in KINDS}
    return {"case": stem, "patient": patient_of(chosen, stem), "voxels": int(band.sum()), "agree": agree}


def boundary_band(truth: Array, axes: tuple[int, ...], reach: float = REACH) -> NDArray[np.bool_]:
    """(I, J, K) whether a voxel lies within ``reach`` voxels of another label, along the working axes."""
    band = np.zeros(truth.shape, bool)
    for label in np.unique(truth):
        inside = truth == label
        if not inside.all():
            distance = edt.edt(np.ascontiguousarray(inside), anisotropy=steps(axes), black_border=False, parallel=1)
            band |= inside & (distance <= reach)
    return band


def tables(rows: list[dict[str, Any]]) -> str:
    """Markdown: a table per model."""
    parts = ["# Tilings\n", NOTE + "\n"]
    for row in rows:
        parts += [f"## {row['name']}, windows of {_size(row['window'])}\n", _table(row)]
    return "\n".join(parts)


def _table(row: dict[str, Any]) -> str:
    lines = []
    for name in row["cases"][0]["agree"]:
        means = agreement(row["cases"], name)
        coarse, one, rendered = (means[:, column].mean() for column in range(3))
        p = wilcoxon(means[:, 2] - means[:, 0])
        met = "yes" if rendered >= coarse - MARGIN else "**no**"
        lines.append([name, _size(row["windows"][name]), str(len(means)), f"{coarse:.3f}", f"{one:.3f}",
                      f"{rendered:.3f}", f"{rendered - coarse:+.3f} ({p:.2g})", met])  # fmt: skip
    head = [
        "tiling",
        "window",
        "patients",
        "coarse %",
        "one look %",
        "rendered %",
        "rendered − coarse, points (p)",
        "met",
    ]
    return markdown(head, lines)


def agreement(cases: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    """(patients, kinds) in per cent."""
    patients: dict[str, list[list[float]]] = {}
    for case in cases:
        patients.setdefault(case["patient"], []).append([case["agree"][name][kind] for kind in KINDS])
    return np.array([np.mean(values, axis=0) for values in patients.values()])


def _size(window: list[int]) -> str:
    return " × ".join(map(str, window))
