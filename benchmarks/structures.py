"""A structure that the model does not know, learned from a few cases; and a new model from the same labels alone.

    python -m benchmarks.structures --data DIR/hippocampus [--how added new] [--cases 5 20] [--seeds 0]
        [--minutes 2 | --steps N] [--held 20] [--json FILE]

The hindmost third (along A) of the posterior hippocampus is the structure *tail*. ``added``: the shipped model learns
it besides its own two (head and decoder). ``new``: a model that begins with nothing learns all three. Trained on the
first ``--cases`` of a random order, by seed, of the split ``train``; four cases of ``val`` choose the moment; judged on
the first ``--held`` cases of ``test``. Dice by structure, rendered; ``hippocampus``: of the union; ``base``: of the
union by the shipped model; ``seconds`` a case that predicting takes. With ``--json`` a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.learn import CHOOSE, Report
from napari_morse import zoo
from napari_morse.config import LabelEntry
from napari_morse.geometry.orientation import RAS, axes_to
from napari_morse.io import open_mask, save_mask
from napari_morse.metrics import score
from napari_morse.training.finetuning.from_scratch import NewRun
from napari_morse.training.finetuning.judging import predict_all
from napari_morse.training.finetuning.plan import Anew, Plan
from napari_morse.training.finetuning.round import MODEL, BaseRun, TuningRun
from napari_morse.training.finetuning.verdict import When, mask_file
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import Source
from napari_morse.types import Array

BASE = "hippocampus-3d"
TAIL = LabelEntry(id=3, name="tail", color="#009e73")
POSTERIOR, A = 2, 1


def with_tail(labels: Array) -> Array:
    """Labels in RAS order, the hindmost third of the posterior part renamed."""
    out = labels.copy()
    there = labels == POSTERIOR
    if there.any():
        at = np.indices(labels.shape)[A]
        out[there & (at < np.quantile(at[there], 1 / 3))] = TAIL.id
    return out


def source(data: Path, name: str, place: Path) -> Source:
    """A case with its tail told apart; its labels are written to ``place``."""
    path = place / name
    if not path.exists():
        mask = open_mask(data / "labels" / name)
        axes, drawn = axes_to(mask.grid, RAS), np.array(mask.data)
        axes.to_view(drawn)[...] = with_tail(axes.to_view(mask.data))
        save_mask(replace(mask, data=drawn), path)
    return Source(name=name.removesuffix(".nii.gz"), scan=data / "images" / name, labels=path)


def plan_of(how: str, train: Sequence[Source], val: Sequence[Source], settings: TuneSettings) -> Plan:
    """What a user would ask for."""
    common = {"name": "with-tail", "train": tuple(train), "held_out": tuple(val), "settings": settings}
    if how == "added":
        return Plan.model_validate({"model": BASE, "new_labels": (TAIL,), **common})
    labels = (*zoo.find(BASE).card.labels, TAIL)
    return Plan.model_validate({"model": "", "new_labels": labels, "anew": Anew(whole=False), **common})


def judged(model: zoo.LoadedModel, sources: Sequence[Source], folder: Path, when: When) -> dict[str, float]:
    """Mean Dice by structure and of the union, and seconds a case."""
    begun = time.monotonic()
    predict_all(model, sources, when, folder)
    seconds = (time.monotonic() - begun) / len(sources)
    ids, rows = [1, POSTERIOR, TAIL.id], []
    for case in sources:
        mask, truth = open_mask(mask_file(folder, case.name, when, "rendered")), open_mask(case.labels)
        rows.append([row.dice for row in score(mask.data, truth.data, truth.grid.spacing, ids, 1.0, merged=True)])
    mean = np.array(rows, float).mean(axis=0).tolist()
    return {**dict(zip(("anterior", "posterior", "tail", "hippocampus"), mean, strict=True)), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--how", nargs="+", choices=("added", "new"), default=["added", "new"])
    parser.add_argument("--cases", nargs="+", type=int, default=[5, 20])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--held", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    report = Report(given.json)
    for how in given.how:
        for count in given.cases:
            for seed in given.seeds:
                if not report.has(how=how, cases=count, seed=seed):
                    report.add({"how": how, "cases": count, "seed": seed, **measured(given, how, count, seed)})


def measured(given: argparse.Namespace, how: str, count: int, seed: int) -> dict[str, object]:
    """One model, made and judged."""
    splits = json.loads((given.data / "splits.json").read_text())
    order = np.random.default_rng((3, seed)).permutation(splits["train"]).tolist()
    settings = TuneSettings(minutes=given.minutes, steps=given.steps, seed=seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        train, val, test = (
            [source(given.data, name, folder) for name in names]
            for names in (order[:count], splits["val"][:CHOOSE], splits["test"][: given.held])
        )
        begun = time.monotonic()
        plan = plan_of(how, train, val, settings)
        run: BaseRun = (TuningRun if how == "added" else NewRun)(plan, folder / "run")
        run.train()
        took = time.monotonic() - begun
        after = judged(zoo.load(folder / "run" / MODEL), test, folder / "run", "after")
        before = judged(zoo.load(BASE), test, folder / "run", "before")
    return {**after, "base": before["hippocampus"], "steps": _steps(run.plan), "took": took}


def _steps(plan: Plan) -> int:
    fit = None if plan.anew is None else plan.anew.fit
    return plan.settings.steps if fit is None else fit.recipe.train.iterations


if __name__ == "__main__":
    main()
