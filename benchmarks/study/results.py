"""Results of runs, and the figures of a patient: what every table is made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.study.spec import RESULT

MEAN, MERGED = -1, 0
"""Structures: the mean over all of them; their union. Otherwise a label id."""
FIGURES = ("dice", "hd95", "hd95_or_diagonal", "asd", "asd_or_diagonal", "nsd")
Values = dict[str, float]
"""A figure per patient."""


@dataclass(frozen=True)
class Side:
    """One mask of one arm: what is compared with another."""

    arm: str
    kind: str

    def __str__(self) -> str:
        return f"{self.arm} {KIND_NAMES[self.kind]}"


KIND_NAMES = {"coarse": "coarse", "one_look": "one look", "rendered": "rendered"}
Results = dict[str, dict[str, dict[int, dict[str, Any]]]]
"""Set (with ``-cases10`` where cut down) → arm → seed → ``result.json``."""


def load_results(runs: Path) -> Results:
    """All finished runs below a folder."""
    found: Results = {}
    for path in sorted(runs.glob(f"**/{RESULT}")):
        result = json.loads(path.read_text(encoding="utf-8"))
        spec = result["spec"]
        few = f"-cases{spec['cases']}" if spec["cases"] is not None else ""
        arms = found.setdefault(spec["set"] + few, {})
        seeds = arms.setdefault(spec["arm"], {})
        if spec["seed"] in seeds:
            raise SystemExit(f"{path} is a second run of {spec['set']}{few}, {spec['arm']}, seed {spec['seed']}.")
        seeds[spec["seed"]] = result
    return found


def of_case(case: dict[str, Any], kind: str, figure: str, structure: int) -> float | None:
    """A figure of a case; of ``MEAN``, the mean over the structures that have one."""
    rows = case["scores"][kind]
    if structure != MEAN:
        return next(row[figure] for row in rows if row["id"] == structure)
    return mean(row[figure] for row in rows if row["id"] != MERGED)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of those there are; None of none."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def by_patient(result: dict[str, Any], kind: str, figure: str, structure: int) -> Values:
    """Mean over the cases of each patient."""
    grouped: dict[str, list[float | None]] = {}
    for case in result["cases"]:
        grouped.setdefault(case["patient"], []).append(of_case(case, kind, figure, structure))
    means = {patient: mean(values) for patient, values in grouped.items()}
    return {patient: value for patient, value in means.items() if value is not None}


def missed(result: dict[str, Any], kind: str, structure: int) -> int:
    """Structures that were there and not found, over all cases."""
    wanted = [
        row
        for case in result["cases"]
        for row in case["scores"][kind]
        if (row["id"] != MERGED if structure == MEAN else row["id"] == structure)
    ]
    return sum(row["missed"] for row in wanted)


def over_seeds(
    seeds: dict[int, dict[str, Any]], kind: str, figure: str, structure: int
) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation, over seeds, of the mean over patients; no deviation of a single seed."""
    each = [mean(by_patient(result, kind, figure, structure).values()) for result in seeds.values()]
    known = [v for v in each if v is not None]
    if not known:
        return None, None
    return float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None


def pooled(seeds: dict[int, dict[str, Any]], chosen: Iterable[int], kind: str, figure: str, structure: int) -> Values:
    """Each patient's mean over the chosen seeds; a patient without a value in one of them is left out."""
    each = [by_patient(seeds[seed], kind, figure, structure) for seed in chosen]
    both = set.intersection(*(set(values) for values in each)) if each else set()
    return {patient: float(np.mean([values[patient] for values in each])) for patient in sorted(both)}


@dataclass(frozen=True)
class Comparison:
    """One side against another, over the patients and seeds that both have."""

    first: float
    second: float
    p: float
    patients: int
    seeds: int

    @property
    def difference(self) -> float:
        """First minus second."""
        return self.first - self.second

    @property
    def ratio(self) -> float:
        """First over second, minus 1."""
        return self.first / self.second - 1 if self.second else float("nan")


def compare(
    arms: dict[str, dict[int, dict[str, Any]]], a: Side, b: Side, figure: str, structure: int
) -> Comparison | None:
    """Paired Wilcoxon test over patients, after each patient's mean over the seeds that both arms have."""
    shared = sorted(set(arms.get(a.arm, {})) & set(arms.get(b.arm, {})))
    if not shared:
        return None
    one, other = (pooled(arms[s.arm], shared, s.kind, figure, structure) for s in (a, b))
    patients = sorted(set(one) & set(other))
    if not patients:
        return None
    first, second = np.array([one[p] for p in patients]), np.array([other[p] for p in patients])
    return Comparison(float(first.mean()), float(second.mean()), wilcoxon(first - second), len(patients), len(shared))


def wilcoxon(difference: np.ndarray) -> float:
    """Two-sided p; 1 where nothing differs."""
    if not np.any(difference):
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)
