"""One run: train through the project's own trainer, score the test split, write ``result.json``."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.study.arms import ARMS, recipe_of
from benchmarks.study.queue import ROOT
from benchmarks.study.scoring import score_case
from benchmarks.study.sets import SETS, open_cases, split_of
from benchmarks.study.spec import MODEL, RESULT, STATE, TRAINING, Spec
from napari_morse import zoo
from napari_morse.config import Recipe
from napari_morse.inference import Predictor
from napari_morse.io.atomic import write_text
from napari_morse.training.card import Purpose
from napari_morse.training.checkpoint import has_checkpoint
from napari_morse.training.engine import StepReport
from napari_morse.training.from_folders import TrainingRun


def run_one(folder: Path, data: Path) -> None:
    """Bring the run of a folder to its end, from wherever it stands."""
    spec = Spec.read(folder)
    chosen = SETS[spec.set]
    if not (folder / MODEL / "model.json").is_file():
        _train(spec, folder, data)
    training = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
    predictor = Predictor(zoo.load(folder / MODEL), "cpu" if not torch.cuda.is_available() else "cuda")
    names = split_of(data / spec.set, chosen, spec.cases)["test"]
    cases = []
    for stem, scan, truth in open_cases(data / spec.set, names):
        cases.append(score_case(predictor, chosen, stem, scan, truth))
        print(f"scored {stem}", flush=True)
    net = predictor.net
    report = {
        "format": "napari-morse-study-run",
        "format_version": 1,
        "spec": asdict(spec),
        "recipe": net.recipe.model_dump(mode="json"),
        "parameters": {part: _count(getattr(net, part)) for part in ("backbone", "renderer")},
        "training": training,
        "unit": chosen.unit,
        "labels": {label.id: label.name for label in predictor.card.labels},
        "digest": predictor.model.digest,
        "peak_rss_mb": _peak(),
        "machine": machine(),
        **commit(),
        "cases": cases,
    }
    write_text(folder / RESULT, json.dumps(report, indent=1) + "\n")


def _train(spec: Spec, folder: Path, data: Path) -> None:
    """Train to the end of the budget, or from where it stopped to that end."""
    run = training_run(spec, folder, data)
    again = has_checkpoint(folder / STATE)
    engine = run.engine(again)
    if spec.clock == "processor":
        engine.clock = time.process_time
    begun = time.process_time()
    net = engine.run(_told)
    training = {
        "iterations": engine.progress.iteration,
        "seconds": round(engine.progress.seconds, 1),
        "cpu_seconds": round(time.process_time() - begun, 1),
        "resumed": again,
        "best_iteration": engine.progress.best_iteration,
        "best_val_dice": round(engine.progress.best_dice, 4),
        "train_cases": len(run.train),
        "val_cases": len(run.val),
        "peak_rss_mb": _peak(),
        **commit(),
    }
    (folder / TRAINING).write_text(json.dumps(training, indent=1) + "\n", encoding="utf-8")
    run.finish(net, folder / MODEL)


def training_run(spec: Spec, folder: Path, data: Path) -> TrainingRun:
    """The project's own run of a spec."""
    chosen, place = SETS[spec.set], data / spec.set
    split = folder / "split.json"
    split.write_text(json.dumps(split_of(place, chosen, spec.cases), indent=1), encoding="utf-8")
    return TrainingRun(
        pairs=(place / "images", place / "labels"),
        splits=split,
        recipe=recipe_with_budget(spec),
        seed=spec.seed,
        minutes=spec.minutes,
        spacing=spec.spacing or chosen.spacing,
        slice_axis=chosen.slice_axis,
        names=None,
        purpose=Purpose(
            spec.name.replace("/", "-"), "", spec.set, chosen.licence, chosen.attribution, (), chosen.one_piece
        ),
        state=folder / STATE,
    )


def recipe_with_budget(spec: Spec) -> Recipe:
    """The recipe, with the number of iterations when that is the budget."""
    steps = (f"train.iterations={spec.iterations}",) if spec.iterations is not None else ()
    return recipe_of(ARMS[spec.arm], SETS[spec.set], (*spec.changes, *steps))


def _told(report: StepReport) -> None:
    if report.verdict is not None:
        print(
            f"iteration {report.iteration}, {report.seconds:.0f} s, stage {report.stage}, loss {report.loss:.4f}, "
            f"rendered Dice {report.verdict.dice:.4f}{' best' if report.best else ''}",
            flush=True,
        )


def _count(part: torch.nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def _peak() -> float:
    """Largest resident memory of this process so far, MB (Linux counts in kB)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def machine() -> dict[str, Any]:
    """Where the run ran."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = found[0].split(":", 1)[1].strip() if found else model
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"processor": model, "threads": torch.get_num_threads(), "torch": torch.__version__, "device": device}


def commit() -> dict[str, Any]:
    """The code's commit, and whether files stood changed."""

    def git(*words: str) -> str:
        ended = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return ended.stdout.strip()

    return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "--untracked-files=no"))}
