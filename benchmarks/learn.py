"""Learning from a few corrected cases: what tuning is worth on held-out patients, in a few minutes on this machine.

    python -m benchmarks.learn --data DIR/hippocampus [--site wider bias noise coarse inverted same] [--cases 5 …]
        [--seeds 0 1 2] [--minutes 2 | --steps N] [--what decoder] [--held 20] [--reference 50] [--json FILE]

An annotator of a site corrects cases in the order of the worklist (a random one, by seed, from the split ``train``)
and tunes the shipped model on the first ``--cases`` of them. Judged on the first ``--held`` cases of the split ``test``
as that site sees them, and on the same cases as the base data have them (``base``). Four cases of ``val`` choose the
moment that is kept, as a user's held-out cases do. The reference is the same model tuned on ``--reference`` cases in
three times the time. At the site *wider* the base model's masks grown by that very rule show what is left when all of
the rule is known. ``verdict`` is what a user is told whose held-out cases are those of ``val``. With ``--json`` a run
that was stopped goes on where it was.

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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_morse import zoo
from napari_morse.inference.normalise import normalise
from napari_morse.metrics import score
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase, load_case
from napari_morse.training.examples import Example
from napari_morse.training.finetuning.contrast import either_contrast
from napari_morse.training.finetuning.judging import figures_of
from napari_morse.training.finetuning.learning import Learning, as_read
from napari_morse.training.finetuning.verdict import JUDGED_STAGES, WHENS, CaseVerdict, Figures, sentence, tested
from napari_morse.training.settings import TuneSettings
from napari_morse.training.validation import from_stack, run_case
from napari_morse.types import Array
from napari_morse.zoo import LoadedModel

SITES = ("wider", "bias", "noise", "coarse", "inverted", "same")
LONGER = 3
"""Times the minutes, or steps, that the reference has."""
SLICES = 1
"""Axis across coronal slices."""
FIGURES = ("dice", "hd95", "asd", "work")
CHOOSE = 4
"""Cases of `val` that choose the moment."""


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


def seen(case: TrainingCase, site: str, model: LoadedModel, number: int) -> TrainingCase:
    """A case as a site has it."""
    if site == "wider":
        return replace(case, labels=wider(case.labels))
    if site == "same":
        return case
    image = LOOKS[site](case.image.astype(np.float64), np.random.default_rng((7, number))).astype(np.float32)
    again = normalise(image, model.card.intensity)
    return replace(case, image=again.pixels, skewness=again.skewness)


def judged(
    net: Morse, cases: Sequence[TrainingCase], model: LoadedModel, then: Callable[[Array], Array] = lambda mask: mask
) -> np.ndarray:
    """(cases, figures) of the rendered masks, after ``then``."""
    return np.array([_row(net, case, model, then) for case in cases])


def _row(net: Morse, case: TrainingCase, model: LoadedModel, then: Callable[[Array], Array]) -> list[float]:
    card = model.card
    mask = then(from_stack(run_case(net, case, card.spacing, card.slice_axis).rendered, card.slice_axis))
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


def tuned(
    model: LoadedModel, cases: Sequence[TrainingCase], val: Sequence[TrainingCase], given: TuneSettings
) -> tuple[Morse, int]:
    """The model tuned as a user's is, and the number of steps that it took."""
    begun = time.monotonic()
    model = either_contrast(model, cases)
    examples = [as_read(model, Example(case, np.zeros(case.labels.shape, np.uint8)))[0] for case in cases]
    with tempfile.TemporaryDirectory() as place:
        learning = Learning(model, given, Path(place), begun=begun)
        net = learning.run(examples, val)
    return net.eval(), learning.settings.steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="hippocampus-3d")
    parser.add_argument("--site", nargs="+", choices=SITES, default=["wider"])
    parser.add_argument("--cases", nargs="*", type=int, default=[5])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--what", default="decoder")
    parser.add_argument("--held", type=int, default=20)
    parser.add_argument("--reference", type=int, default=50)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    report = Report(given.json)
    for site in given.site:
        Site(zoo.load(given.model), site, given, report).measured()


class Report:
    """Rows, kept in a file after each one; a run that was stopped goes on with what is missing."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.rows: list[dict[str, object]] = json.loads(file.read_text()) if file and file.exists() else []

    def has(self, **key: object) -> bool:
        """Whether a row of that site, model, seed and so on is there."""
        return any(all(row.get(k) == v for k, v in key.items()) for row in self.rows)

    def add(self, row: dict[str, object]) -> None:
        """One more."""
        self.rows.append(row)
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
        if self._file:
            self._file.write_text(json.dumps(self.rows, indent=1) + "\n")


@dataclass
class Site:
    """What is measured at one site."""

    model: LoadedModel
    site: str
    given: argparse.Namespace
    report: Report

    def measured(self) -> None:
        """The base model, the tuned ones, the one of many cases; at *wider* the base grown by the rule itself."""
        given, data = self.given, self.given.data
        self.splits = json.loads((data / "splits.json").read_text())
        self.held, self.plain = (self._cases(self.splits["test"][: given.held], s) for s in (self.site, "same"))
        self.val = self._cases(self.splits["val"], self.site)
        self.before = _said_of(self.model.net, self.val, self.model)
        self._tell({"model": "base"}, lambda: (self.model.net, {}))
        if self.site == "wider":
            self._tell({"model": "base, grown by the rule"}, lambda: (self.model.net, {}), wider)
        for seed in given.seeds:
            for count in given.cases:
                settings = TuneSettings(what=given.what, minutes=given.minutes, steps=given.steps, seed=seed)
                self._tuned(count, settings, {"seed": seed, "what": given.what})
        if given.reference:
            more = {"minutes": given.minutes * LONGER, "steps": given.steps * LONGER, "seed": given.seeds[0]}
            self._tuned(given.reference, TuneSettings.model_validate({"what": "all", **more}), {"what": "all"})

    def _tuned(self, count: int, settings: TuneSettings, key: dict[str, object]) -> None:
        order = np.random.default_rng((3, settings.seed)).permutation(self.splits["train"]).tolist()

        def make() -> tuple[Morse, dict[str, object]]:
            begun = time.monotonic()
            net, steps = tuned(self.model, self._cases(order[:count], self.site), self.val[:CHOOSE], settings)
            seconds = time.monotonic() - begun
            after = _said_of(net, self.val, self.model)
            return net, {"seconds": seconds, "steps": steps, "verdict": _verdict(self.val, self.before, after)}

        self._tell({"model": f"{count} cases", **key}, make)

    def _tell(
        self, key: dict[str, object], make: Callable[[], tuple[Morse, dict[str, object]]],
        then: Callable[[Array], Array] = lambda mask: mask,
    ) -> None:  # fmt: skip
        if self.report.has(site=self.site, **key):
            return
        net, more = make()
        figures = judged(net, self.held, self.model, then).mean(axis=0)
        others = self.site not in ("wider", "same")
        plain = float(judged(net, self.plain, self.model)[:, 0].mean()) if others else None
        named = dict(zip(FIGURES, map(float, figures), strict=True))
        self.report.add({"site": self.site, **key, **named, "base data": plain, **more})

    def _cases(self, files: Sequence[str], site: str) -> list[TrainingCase]:
        card, data = self.model.card, self.given.data
        ids = tuple(entry.id for entry in card.labels)
        read = [load_case(data / "images" / f, data / "labels" / f, ids, card.intensity) for f in files]
        return [seen(case, site, self.model, n) for n, case in enumerate(read)]


def _said_of(net: Morse, cases: Sequence[TrainingCase], model: LoadedModel) -> list[dict[str, Figures]]:
    """Figures of both masks of every case."""
    card, ids = model.card, range(1, len(model.card.labels) + 1)
    found = [run_case(net, case, card.spacing, card.slice_axis) for case in cases]
    return [
        {
            stage: figures_of(from_stack(getattr(run, stage), card.slice_axis), case.labels, case.spacing, tuple(ids))
            for stage in JUDGED_STAGES
        }
        for run, case in zip(found, cases, strict=True)
    ]


def _verdict(cases: Sequence[TrainingCase], *moments: list[dict[str, Figures]]) -> str:
    """What a user would be told, whose held-out cases these are."""
    told = tuple(
        CaseVerdict(
            case=case.stem, truth="",
            figures={f"{when} {stage}": moment[n][stage] for when, moment in zip(WHENS, moments, strict=True)
                     for stage in JUDGED_STAGES},
        )
        for n, case in enumerate(cases)
    )  # fmt: skip
    return sentence(told, tested(told))


if __name__ == "__main__":
    main()
