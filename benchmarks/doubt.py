"""How far a model's doubt can be trusted: what the ranked patches capture, calibration, and what predicts an error.

    python -m benchmarks.doubt --data DIR/hippocampus [--model NAME_OR_DIR] [--split test] [--json FILE]

The folder holds ``images/``, ``labels/`` and ``splits.json``. Figures, defined in docs/metrics.md:

- ``captured``: of all wrongly labelled boundary voxels, the share in the patches that make up the first 10 % and 20 %
  of the listed mm; means over cases. Beside it: the same by the number of boundary voxels instead of mm; what a list of
  single voxels would capture; the most that any calibrated model can be expected to capture (half of the voxels of
  perfect doubt are wrong); and the share that lies more than a voxel off (``far``).
- ``ece``: 15 bins, voxels within 2 of the rendered boundary, without and with the model's temperature.
- ``auroc``: error at re-predicted boundary voxels, from the margin and from what the experts say apart. ``judged``
  compares, on every second case, a logistic regression fitted on the others: the error alone, and with each
  disagreement.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage, optimize
from torch import Tensor

from napari_morse import zoo
from napari_morse.geometry.orientation import AXES
from napari_morse.inference.engine import coarse_pass, frame_of
from napari_morse.inference.rendering import Rendering, render, render_voxels
from napari_morse.metrics import auroc, boundary, calibration_error, captured, doubtful_patches
from napari_morse.metrics.doubt import fit_temperature, softmax
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase, load_case
from napari_morse.training.validation import from_stack
from napari_morse.types import Array, Grid
from napari_morse.zoo import LoadedModel

SHARES = (0.1, 0.2)
BAND = 2
SILENT = -1e9
"""Added to the gate's answer for an expert that is to have no weight."""
APART = ("experts_apart", "expert_left_out", "gate_entropy")
SCORES = ("margin_logit", "margin", "error", "entropy", "experts_apart", "expert_left_out", "gate_entropy")


@dataclass(frozen=True)
class Band:
    """Voxels near the boundary of all cases: logits (N, C), truth (N,)."""

    logits: Array
    truth: Array


@contextmanager
def speaking(net: Morse, speaks: list[bool]) -> Iterator[None]:
    """Only these experts have weight."""
    silence = torch.tensor([0.0 if s else SILENT for s in speaks])
    bias = net.renderer.mixture.gate[-1].bias
    kept = bias.detach().clone()
    bias.data = kept + silence
    try:
        yield
    finally:
        bias.data = kept


def stacked(case: TrainingCase, slice_axis: str | None) -> tuple[Array, Array, tuple[float, ...]]:
    """Image and truth as stacks, and the spacing of their planes."""
    if slice_axis is None:
        return case.image[None], case.labels[None], case.spacing
    axis = AXES[slice_axis]
    plane = tuple(s for a, s in enumerate(case.spacing) if a != axis)
    return np.moveaxis(case.image, axis, 0), np.moveaxis(case.labels, axis, 0), plane


@torch.inference_mode()
def experts_alone(net: Morse, done: object, chosen: Tensor, apart: bool) -> Array:
    """(S, M, C) logits with each expert alone (``apart``), or with each left out."""
    count = len(net.experts)
    answers = []
    for expert in range(count):
        with speaking(net, [(s == expert) == apart for s in range(count)]):
            answers.append(render_voxels(net, done, chosen)[0].numpy())  # type: ignore[arg-type]
    return np.stack(answers)


def spread(probabilities: Array) -> Array:
    """Jensen–Shannon divergence (N,) of S answers (S, N, C)."""
    return entropy(probabilities.mean(axis=0)) - entropy(probabilities).mean(axis=0)


def entropy(probabilities: Array) -> Array:
    return -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=-1)


def scores(
    net: Morse, done: object, result: Rendering, temperature: float, edge: Array
) -> tuple[dict[str, Array], Array]:
    """Every score at the re-predicted boundary voxels, and where they are."""
    kept = edge[tuple(result.voxel_stack.T)]
    voxel = result.voxel_stack[kept]
    shape = tuple(result.rendered.shape)
    chosen = torch.from_numpy(np.ravel_multi_index(tuple(voxel.T), shape))
    at = tuple(voxel.T)
    logits = result.logits[(slice(None), *at)].T
    probability = softmax(logits, temperature)
    top, likely = np.sort(logits, axis=1), np.sort(probability, axis=1)
    found = {
        "margin_logit": top[:, -2] - top[:, -1],
        "margin": likely[:, -2] - likely[:, -1],
        "error": 1 - likely[:, -1],
        "entropy": entropy(probability),
        "gate_entropy": entropy(result.weights[kept]),
    }
    for name, apart in (("experts_apart", True), ("expert_left_out", False)):
        answers = experts_alone(net, done, chosen, apart)
        found[name] = spread(np.stack([softmax(a, temperature) for a in answers]))
    return found, voxel


def capture(
    mask: Array, truth: Array, error: Array, case: TrainingCase, slice_axis: str | None
) -> dict[str, float | None]:
    """What the list of one case holds; arrays in the model's axes."""
    grid = Grid(mask.shape, np.diag([*case.spacing, 1.0]))
    begun = time.perf_counter()
    found = doubtful_patches(mask, error, grid, None if slice_axis is None else AXES[slice_axis])
    seconds = time.perf_counter() - begun
    at = tuple(found.voxel.T)
    wrong = (mask != truth)[at]
    patch = np.repeat(np.arange(len(found)), found.voxels)
    held = np.bincount(patch, wrong, minlength=len(found))
    edges = boundary(truth, range(3))
    off = ndimage.distance_transform_cdt(~edges, metric="taxicab")[at] > 1 if edges.any() else wrong
    far = np.bincount(patch, wrong & off, minlength=len(found))
    order = np.argsort(-found.error, kind="stable")
    sure = np.sort(found.error)[::-1]
    out: dict[str, float | None] = {
        "patches": float(len(found)), "mm": float(found.length.sum()), "seconds": seconds,
        "wrong_boundary": float(wrong.mean()) if len(wrong) else None,
        "claimed_boundary": float(found.error.mean()) if len(wrong) else None,
        "far": float(far.sum() / max(held.sum(), 1)),
    }  # fmt: skip
    for share in SHARES:
        name = f"{share:.0%}"
        out[f"captured_{name}"] = captured(found.length, held, share)
        out[f"captured_{name}_by_voxels"] = captured(found.voxels.astype(float), held, share)
        out[f"captured_{name}_single_voxels"] = captured(np.ones(len(wrong)), wrong[order].astype(int), share)
        out[f"captured_{name}_of_far"] = captured(found.length, far, share)
        out[f"expected_{name}_single_voxels"] = float(sure[: int(share * len(sure))].sum() / max(sure.sum(), 1e-9))
        out[f"ceiling_{name}"] = min(1.0, 0.5 * share / float(wrong.mean())) if wrong.any() else None
    return out


def measure(model: LoadedModel, data: Path, names: list[str]) -> dict[str, object]:
    """All figures over the named cases."""
    card, net = model.card, model.net.eval()
    ids = tuple(entry.id for entry in card.labels)
    rows, parts, told, wrong = [], [], [], []
    for name in names:
        case = load_case(data / "images" / name, data / "labels" / name, ids, card.intensity)
        image, truth, spacing = stacked(case, card.slice_axis)
        done = coarse_pass(net, image, frame_of(image, spacing, card.spacing, net))
        result = render(net, done)
        axes = range(1, truth.ndim)
        near = boundary(result.rendered, axes, BAND)
        parts.append(Band(result.logits[:, near].T, truth[near]))
        found, voxel = scores(net, done, result, card.temperature, boundary(result.rendered, axes))
        told.append(found)
        wrong.append((result.rendered != truth)[tuple(voxel.T)])
        flat = softmax(result.logits.reshape(len(result.logits), -1).T, card.temperature)
        error = (1 - flat.max(axis=1)).reshape(truth.shape)
        whole = [from_stack(a, card.slice_axis) for a in (result.rendered, truth, error)]
        rows.append({"case": case.stem, **capture(*whole, case, card.slice_axis)})
    errors = np.concatenate(wrong)
    return {
        "cases": len(rows),
        "capture": {k: mean([row[k] for row in rows]) for k in rows[0] if k != "case"},
        "ece": calibration(parts, card.temperature),
        "auroc": {k: auroc(np.concatenate([t[k] for t in told]), errors) for k in SCORES},
        "judged": added(told, wrong),
        "rows": rows,
    }


def added(told: list[dict[str, Array]], wrong: list[Array]) -> dict[str, float | None]:
    """AUROC on every second case of the error alone and of the error with a disagreement, fitted on the others."""
    fit, judge = slice(0, None, 2), slice(1, None, 2)
    errors = [np.concatenate(wrong[part]) for part in (fit, judge)]
    out = {}
    for name in (None, *APART):
        columns = [np.concatenate([_columns(t, name) for t in told[part]]) for part in (fit, judge)]
        weights = _logistic(columns[0], errors[0])
        out["error" if name is None else f"error+{name}"] = auroc(columns[1] @ weights, errors[1])
    return out


def _columns(told: dict[str, Array], name: str | None) -> Array:
    error = np.clip(told["error"], 1e-6, 1 - 1e-6)
    extra = [] if name is None else [np.log(told[name] + 1e-4)]
    return np.stack([np.ones(len(error)), np.log(error / (1 - error)), *extra], axis=1)


def _logistic(columns: Array, wrong: Array) -> Array:
    def loss(weights: Array) -> tuple[float, Array]:
        z = columns @ weights
        slope = columns.T @ (1 / (1 + np.exp(-z)) - wrong) / len(z)
        return float((np.logaddexp(0, z) - wrong * z).mean()), slope

    return optimize.minimize(loss, np.zeros(columns.shape[1]), jac=True, method="BFGS").x


def calibration(parts: list[Band], temperature: float) -> dict[str, float]:
    logits, truth = np.concatenate([p.logits for p in parts]), np.concatenate([p.truth for p in parts])
    out = {"voxels": float(len(truth)), "temperature": temperature, "fitted_here": fit_temperature(logits, truth)}
    for name, t in (("before", 1.0), ("after", temperature)):
        probability = softmax(logits, t)
        out[name] = calibration_error(probability.max(axis=1), probability.argmax(axis=1) == truth)
    return out


def mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="hippocampus-3d")
    parser.add_argument("--split", default="test")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(2)
    model = zoo.load(given.model)
    names = json.loads((given.data / "splits.json").read_text())[given.split]
    report = {"model": given.model, "digest": model.digest, "split": given.split} | measure(model, given.data, names)
    print(f"{given.model} on {given.split}, {report['cases']} cases")
    for part in ("capture", "ece", "auroc", "judged"):
        for name, value in report[part].items():  # type: ignore[attr-defined]
            print(f"  {part:<8} {name:<32} {'n/a' if value is None else f'{value:.4f}'}")
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
