"""Damaged truth masks, rendered: how much of the mean boundary error goes."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.study.bench import Report, asked, cases_of, opened, set_of
from benchmarks.study.damage import DAMAGES, SAYS, damaged
from benchmarks.study.planes import working_axes
from benchmarks.study.results import MEAN, MERGED, mean, wilcoxon
from benchmarks.study.sets import Set, patient_of, spacing_of
from benchmarks.study.tables import markdown
from napari_morse.inference import Predictor
from napari_morse.metrics import ClassScore, score
from napari_morse.types import Array, Mask, Scan

NOTE = """Truth masks of test cases, damaged and given as the coarse mask (`predict --coarse`). Error: symmetric mean
distance between edge voxels of mask and truth (ASD). Left out, and counted, are structures that the damage wiped out,
or left with an error above 3 voxels (a thin ring, eroded): that is no rough mask any more. A structure that rendering
loses counts with the image's diagonal. Means over patients; p by a paired Wilcoxon test."""
MOST = 3.0
"""Voxels of mean error above which a damaged structure is left out."""
Values = dict[str, dict[str, float | None]]
"""Of a mask: unit → structure → error."""


def rough(given: argparse.Namespace) -> int:
    """Run what is not in the report yet, then the tables."""
    report = Report(given.out, "rough", {"first": given.first})
    for trained in asked(given):
        predictor = opened(trained, Predictor)
        if report.has(name=trained.name, digest=predictor.model.digest):
            continue
        chosen = set_of(trained)
        cases = [
            row for case in cases_of(given.data, chosen, given.first) for row in _case(predictor, chosen, *case)
        ]  # fmt: skip
        labels = {str(label.id): label.name for label in predictor.card.labels}
        report.add({"name": trained.name, "model": str(trained.model), "digest": predictor.model.digest,
                    "labels": labels, "cases": cases}, "name", "model")  # fmt: skip
    report.close(tables(report.rows))
    return 0


def _case(predictor: Predictor, chosen: Set, stem: str, scan: Scan, truth: Mask) -> list[dict[str, Any]]:
    """A row for every damage."""
    predictor.set_scan(scan)
    axes, rows = working_axes(chosen, scan.grid), []
    for name in DAMAGES:
        before = damaged(truth.data, axes, name, stem).astype(truth.data.dtype)
        found = predictor.predict(coarse=Mask(before, scan.grid))
        pair = [errors(predictor, chosen, mask, truth) for mask in (before, found.rendered.data)]
        given, rendered = paired(*pair)
        rows.append({"case": stem, "patient": patient_of(chosen, stem), "damage": name, "before": given,
                     "after": rendered, "seconds": round(found.seconds["total"], 4)})  # fmt: skip
    return rows


def errors(predictor: Predictor, chosen: Set, mask: Array, truth: Mask) -> dict[str, list[ClassScore]]:
    """Scores of every structure and their union, in the set's unit and in voxels."""
    ids = [entry.id for entry in predictor.card.labels]
    spacings = {"voxel": (1.0, 1.0, 1.0), chosen.unit: spacing_of(chosen, truth)}
    return {unit: score(mask, truth.data, spacing, ids) for unit, spacing in spacings.items()}


def paired(before: dict[str, list[ClassScore]], after: dict[str, list[ClassScore]]) -> tuple[Values, Values]:
    """ASD by unit and structure, of those that the damaged mask holds: each, their mean (−1), their union (0)."""
    found: tuple[Values, Values] = ({}, {})
    kept = {row.id for row in before["voxel"] if row.asd is not None and row.asd <= MOST}
    for unit, rows in before.items():
        both = [
            (row.id, row.asd, other.asd_or_diagonal)
            for row, other in zip(rows, after[unit], strict=True)
            if row.id in kept
        ]
        for side, held in enumerate(found):
            held[unit] = {str(label): pair[side] for label, *pair in both}
            held[unit][str(MEAN)] = mean(pair[side] for label, *pair in both if label != MERGED)
    return found


def reduction(cases: list[dict[str, Any]], unit: str, structure: int) -> tuple[float, float, float, int] | None:
    """Mean error before and after, p, patients; None where no case holds the structure."""
    patients: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        old, new = (case[side][unit].get(str(structure)) for side in ("before", "after"))
        if old is not None:
            patients.setdefault(case["patient"], []).append((old, new))
    if not patients:
        return None
    means = np.array([np.mean(pairs, axis=0) for pairs in patients.values()])
    return float(means[:, 0].mean()), float(means[:, 1].mean()), wilcoxon(means[:, 1] - means[:, 0]), len(means)


def tables(rows: list[dict[str, Any]]) -> str:
    """Markdown: a table per model."""
    parts = ["# Damaged masks\n", NOTE + "\n"]
    for row in rows:
        parts += [f"## {row['name']}\n", _table(row)]
    return "\n".join(parts)


def _table(row: dict[str, Any]) -> str:
    cases, labels = row["cases"], row["labels"]
    units = list(cases[0]["before"])
    shown = {MEAN: "mean of structures", MERGED: "merged", **{int(i): name for i, name in labels.items()}}
    if len(labels) == 1:
        shown = {MERGED: next(iter(labels.values()))}
    lines = []
    for name in (*DAMAGES, "all"):
        of_it = [case for case in cases if name in ("all", case["damage"])]
        for structure, title in shown.items():
            each = [reduction(of_it, unit, structure) for unit in units]
            if each[0] is None:
                lines.append([SAYS.get(name, "all of them"), title, "0", str(len(of_it)), *["–"] * (len(units) + 2)])
                continue
            cells = [f"{c[0]:.3f} → {c[1]:.3f}" for c in each if c is not None]
            before, after, p, patients = each[0]
            left_out = sum(case["before"][units[0]].get(str(structure)) is None for case in of_it)
            less = f"{100 * (1 - after / before):+.1f} %" if before else "–"
            lines.append([SAYS.get(name, "all of them"), title, str(patients), str(left_out), *cells, less, f"{p:.2g}"])
    return markdown(
        ["damage", "structure", "patients", "left out", *(f"error, {u}" for u in units), "reduction", "p"], lines
    )
