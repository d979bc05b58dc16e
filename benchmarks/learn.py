"""Learning from a few corrected cases: what tuning is worth on held-out patients, in a few minutes on this machine.

    python -m benchmarks.learn --data DIR/hippocampus [--site wider bias noise coarse inverted same] [--cases 5 …]
        [--seeds 0 1 2] [--minutes 2] [--what decoder] [--held 20] [--reference 50] [--json FILE]

An annotator of a site corrects cases in the order of the worklist (a random one, by seed, from the split ``train``)
and tunes the shipped model on the first ``--cases`` of them. Judged on the first ``--held`` cases of the split ``test``
as that site sees them, and on the same cases as the base data have them (``base``). Four cases of ``val`` choose the
moment that is kept, as a user's held-out cases do. The reference is the same model tuned on ``--reference`` cases in
four times the time.

Sites:

- ``wider``: draws every boundary one voxel further out; the scans are the base data's.
- ``bias``, ``noise``, ``coarse``, ``inverted``: scans of another look, labels as in the base data.
- ``same``: the base data themselves.

Figures are means over cases of the mean over structures, rendered. ``work``: the correction work left, mm of true
contour (coronal slices) that the mask's contour does not follow (added path length).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from napari_morse import zoo
from napari_morse.inference.normalise import normalise
from napari_morse.metrics import score
from napari_morse.model.morse import Morse
from napari_morse.training.cases import Case, load_case
from napari_morse.training.judge import from_stack, run_case
from napari_morse.training.tuning.bounds import widened
from napari_morse.training.tuning.examples import Example, marked
from napari_morse.training.tuning.looks import inverted_share
from napari_morse.training.tuning.settings import TuneSettings
from napari_morse.training.tuning.tuner import Tuner
from napari_morse.types import Array
from napari_morse.zoo import LoadedModel

SITES = ("wider", "bias", "noise", "coarse", "inverted", "same")
LONGER = 4
"""Times the minutes that the reference has."""
SLICES = 1
"""Axis across coronal slices."""
FIGURES = ("dice", "hd95", "asd", "work")


def wider(labels: Array) -> Array:
    """Every structure one voxel further out, where no other one is."""
    off, index = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    out = labels.copy()
    near = (off <= 1) & (labels == 0)
    out[near] = labels[tuple(index)][near]
    return out


def biased(image: Array, rng: np.random.Generator) -> Array:
    """A smooth field that brightens one end and darkens the other by half."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in image.shape], indexing="ij")
    slope = rng.standard_normal(3)
    field = sum(s * a for s, a in zip(slope / np.linalg.norm(slope), axes, strict=True))
    return (image - image.min()) * np.exp(0.8 * field)


def noisy(image: Array, rng: np.random.Generator) -> Array:
    """Noise of 0.7 standard deviations of the tissue."""
    return image + 0.7 * rng.standard_normal(image.shape)


def coarser(image: Array, _: np.random.Generator) -> Array:
    """As scanned in slices of 3 mm (coronal), put back on the grid by linear interpolation."""
    thick = ndimage.uniform_filter1d(image, 3, axis=SLICES, mode="nearest")[:, 1::3]
    zoom = [1, image.shape[1] / thick.shape[1], 1]
    return ndimage.zoom(thick, zoom, order=1, mode="nearest", grid_mode=True)


def inverted(image: Array, _: np.random.Generator) -> Array:
    """Dark where it was bright, above the minimum."""
    return image.max() + image.min() - image


LOOKS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "bias": biased, "noise": noisy, "coarse": coarser, "inverted": inverted,
}  # fmt: skip


def seen(case: Case, site: str, model: LoadedModel, number: int) -> Case:
    """A case as a site has it."""
    if site == "wider":
        return replace(case, labels=wider(case.labels))
    if site == "same":
        return case
    image = LOOKS[site](case.image.astype(np.float64), np.random.default_rng((7, number))).astype(np.float32)
    again = normalise(image, model.card.intensity)
    return replace(case, image=again.pixels, skewness=again.skewness)


def judged(net: Morse, cases: Sequence[Case], model: LoadedModel) -> np.ndarray:
    """(cases, figures) of the rendered masks."""
    return np.array([_row(net, case, model) for case in cases])


def _row(net: Morse, case: Case, model: LoadedModel) -> list[float]:
    card = model.card
    mask = from_stack(run_case(net, case, card.spacing, card.slice_axis).rendered, card.slice_axis)
    rows = score(mask, case.labels, case.spacing, range(1, len(card.labels) + 1), 1.0, merged=False)
    mean = [np.mean([getattr(r, f) for r in rows]) for f in ("dice", "hd95_or_diagonal", "asd_or_diagonal")]
    return [*map(float, mean), work_left(mask, case.labels, case.spacing)]


def work_left(mask: Array, truth: Array, spacing: Sequence[float]) -> float:
    """mm of true contour in the slices that the mask's contour does not follow."""
    plane = [a for a in range(3) if a != SLICES]
    missed = 0
    for label in np.unique(truth[truth > 0]):
        missed += int((_edge(truth == label, plane) & ~_edge(mask == label, plane)).sum())
    return missed * float(np.mean([spacing[a] for a in plane]))


def _edge(region: Array, axes: Sequence[int]) -> Array:
    inner = region.copy()
    for axis in axes:
        for step in (1, -1):
            moved = np.roll(region, step, axis)
            index = [slice(None)] * 3
            index[axis] = 0 if step == 1 else -1
            moved[tuple(index)] = False
            inner &= moved
    return region & ~inner


def tuned(model: LoadedModel, cases: Sequence[Case], val: Sequence[Case], given: TuneSettings) -> tuple[Morse, float]:
    """The model tuned as a user's is: timed steps, the best of the moments looked at; and the seconds it took."""
    begun = time.monotonic()
    card = model.card
    examples = []
    for case in cases:
        blank = Example(case, np.zeros(case.labels.shape, np.uint8))
        mask = from_stack(run_case(model.net, case, card.spacing, card.slice_axis).rendered, card.slice_axis)
        examples.append(marked(blank, mask.astype(np.uint8)))
    given = given.model_copy(update={"inverted": inverted_share(model.net, cases, card)})
    with tempfile.TemporaryDirectory() as place:
        settings = given if given.steps else given.model_copy(
            update={"steps": _steps(model, examples, val, given, begun, Path(place))}
        )  # fmt: skip
        best: tuple[float, dict[str, torch.Tensor]] = (-1.0, {})

        def check(_: int, net: Morse) -> None:
            nonlocal best
            found = float(judged(net, val, model)[:, 0].mean())
            if found > best[0]:
                best = found, {k: v.clone() for k, v in net.state_dict().items()}

        net = Tuner(model.net, examples, card.slice_axis, settings, Path(place)).run(check=check)
    net.load_state_dict(best[1])
    if settings.what == "head":
        net.recipe = widened(net.recipe, model.net, examples, card)
    return net.eval(), time.monotonic() - begun


def _steps(
    model: LoadedModel, examples: list[Example], val: Sequence[Case], given: TuneSettings, begun: float, place: Path
) -> int:
    trial = given.model_copy(update={"steps": 10**6})
    seconds = Tuner(model.net, examples, model.card.slice_axis, trial, place).timed()
    start = time.monotonic()
    judged(model.net, val, model)
    check = time.monotonic() - start
    left = given.minutes * 60 - (time.monotonic() - begun) - given.checks * check
    return max(10, int(left / seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="hippocampus-3d")
    parser.add_argument("--site", nargs="+", choices=SITES, default=["wider"])
    parser.add_argument("--cases", nargs="*", type=int, default=[5])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--what", default="decoder")
    parser.add_argument("--held", type=int, default=20)
    parser.add_argument("--reference", type=int, default=50)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model = zoo.load(given.model)
    report = {site: measured(model, site, given) for site in given.site}
    if given.json:
        given.json.write_text(json.dumps({"model": model.digest, **report}, indent=1) + "\n")


def measured(model: LoadedModel, site: str, given: argparse.Namespace) -> list[dict[str, object]]:
    splits = json.loads((given.data / "splits.json").read_text())
    held, plain = (_cases(model, splits["test"][: given.held], given.data, s) for s in (site, "same"))
    val = _cases(model, splits["val"][:4], given.data, site)
    rows: list[dict[str, object]] = []

    def tell(name: str, net: Morse, **more: object) -> None:
        figures = judged(net, held, model).mean(axis=0)
        row = {"site": site, "model": name, **dict(zip(FIGURES, map(float, figures), strict=True)), **more}
        row["base"] = float(judged(net, plain, model)[:, 0].mean()) if site != "wider" else None
        rows.append(row)
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)

    tell("base", model.net)
    for seed in given.seeds:
        order = np.random.default_rng((3, seed)).permutation(splits["train"]).tolist()
        for count in given.cases:
            settings = TuneSettings(what=given.what, minutes=given.minutes, seed=seed)
            net, seconds = tuned(model, _cases(model, order[:count], given.data, site), val, settings)
            tell(f"{count} cases", net, seed=seed, seconds=seconds)
    if given.reference:
        order = np.random.default_rng((3, given.seeds[0])).permutation(splits["train"]).tolist()
        settings = TuneSettings(what="all", minutes=given.minutes * LONGER, seed=given.seeds[0])
        net, seconds = tuned(model, _cases(model, order[: given.reference], given.data, site), val, settings)
        tell(f"{given.reference} cases", net, seconds=seconds)
    return rows


def _cases(model: LoadedModel, files: Sequence[str], data: Path, site: str) -> list[Case]:
    ids = tuple(entry.id for entry in model.card.labels)
    read = [load_case(data / "images" / f, data / "labels" / f, ids, model.card.intensity) for f in files]
    return [seen(case, site, model, n) for n, case in enumerate(read)]


if __name__ == "__main__":
    main()
