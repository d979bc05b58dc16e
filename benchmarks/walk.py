"""A simulated reviewer: what the ranked list is worth against walking the whole boundary in order.

    python -m benchmarks.walk --data DIR/hippocampus [--model NAME_OR_DIR] [--split test] [--order NAME …] [--json FILE]

The reviewer visits one piece of the rendered mask's boundary after the other, and at each visit everything that is
wrong around it is corrected: every voxel whose label is not the true one belongs to the piece of the nearest boundary
voxel (mm), so that the last visit leaves the truth. A visit costs the piece's length in mm, whether or not anything was
wrong.

Walks:

- ``list`` and the other rankings in ``RANKINGS``: the patches of ``Prediction.patches``, best score first.
- ``in order``: the same patches as a person comes by them, slice by slice and around the contour in each.
- ``slices``: the boundary cut by slices instead of patches, one after the other: walking as it is done without a list.
- ``random``: the same patches shuffled, 20 times.
- ``truth``: the patches with the most wrong voxels per mm first. It needs the truth: no ranking of these patches is
  likely to be much better.

``in order`` and ``slices`` go both ways, from either end; their lengths are means of the two.

Figures are means over the structures (a missed one counts the image's diagonal, as in docs/metrics.md), and ``merged``
of the union. *Halfway* is half of the figure before the first visit. Per figure:

- ``first``, ``last``: share of the whole length walked when the figure is at halfway for the first time, and from where
  on it stays there; ``visits`` until ``first``.
- ``of in order``, ``of slices``: mm of this walk until ``first`` over mm of the other; sums over cases, and the median
  of the cases' own quotients.
- ``curve``: share of the length at which the mean over cases of the figure is at half of what it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import edt
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_morse import zoo
from napari_morse.inference import Predictor
from napari_morse.io import case_stem, open_mask, open_scan
from napari_morse.metrics.patches import contour_shares
from napari_morse.metrics.surface import BinaryMask, _edges, bounding_box
from napari_morse.types import Array, Patches, Prediction

FIGURES = ("hd95", "asd", "hd95_merged", "asd_merged")
DRAWS = 20
FAR = 1e6
"""mm between slices that are not neighbours."""
BAND = 2.0
"""mm: doubt this near to a patch is the patch's, for ``band mean``; of a 2-D model only in its slice."""
STEPS = np.linspace(0, 1, 401)
"""Shares of the length at which curves are read."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One case, cropped to what is there: (I, J, K) arrays.

    Parameters
    ----------
    mask, truth
        Label ids.
    uncertainty
        In [0, 1].
    patches
        Of ``mask``, on the whole image.
    spacing, diagonal
        mm; the diagonal is that of the whole image.
    voxel
        (M, 3) all boundary voxels, those of the first patch first, counted from the crop.
    piece
        (I, J, K) rank of the patch to which each voxel belongs.
    planar
        Whether the model goes slice by slice.
    """

    mask: Array
    truth: Array
    uncertainty: Array
    patches: Patches
    voxel: NDArray[np.int64]
    spacing: tuple[float, ...]
    diagonal: float
    piece: NDArray[np.int64]
    planar: bool

    @property
    def patch(self) -> NDArray[np.int64]:
        """(M,) rank of the patch of each boundary voxel."""
        return np.repeat(np.arange(len(self.patches)), self.patches.voxels)


@dataclass(frozen=True, eq=False)
class Walk:
    """Pieces in the order in which they are visited: ``length`` (N,) mm each, ``wrong`` (N,) flat indices in each."""

    length: NDArray[np.float64]
    wrong: list[NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Course:
    """What a walk did: ``length`` (N + 1,) mm so far, ``figures`` (N + 1, F); the first row is before it."""

    length: NDArray[np.float64]
    figures: NDArray[np.float64]


def scene_of(found: Prediction, truth: Array, planar: bool = False) -> Scene | None:
    """The case as the reviewer meets it; None where the mask has no boundary to walk."""
    patches, mask = found.patches, found.rendered.data
    if not len(patches):
        return None
    listed = np.zeros(mask.shape, bool)
    listed[tuple(patches.voxel.T)] = True
    box = bounding_box(listed | (mask > 0) | (truth > 0))
    voxel = patches.voxel - [s.start for s in box]
    spacing = found.rendered.grid.spacing
    _, piece = nearest(voxel, np.repeat(np.arange(len(patches)), patches.voxels), mask[box].shape, spacing)
    diagonal = float(np.linalg.norm(np.multiply(mask.shape, spacing)))
    cropped = (each[box] for each in (mask, truth, found.uncertainty))
    return Scene(*cropped, patches, voxel, spacing, diagonal, piece, planar)


def nearest(
    voxel: NDArray[np.int64], number: NDArray[np.int64], shape: tuple[int, ...], spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """mm from each voxel to the nearest of the listed ones, and that one's number."""
    where = np.full(shape, -1, np.int64)
    where[tuple(voxel.T)] = number
    off, index = ndimage.distance_transform_edt(where < 0, sampling=spacing, return_indices=True)
    return off, where[tuple(index)]


# Rankings: a score for each patch, the highest is visited first.


def per_patch(scene: Scene, values: Array) -> NDArray[np.float64]:
    """Sum over each patch of values given for its boundary voxels."""
    return np.bincount(scene.patch, values, minlength=len(scene.patches))


def error_per_mm(scene: Scene) -> NDArray[np.float64]:
    return per_patch(scene, scene.patches.error) / scene.patches.length


def band_mean(scene: Scene) -> NDArray[np.float64]:
    """Mean uncertainty of the voxels near each patch: a thick band of doubt may hide a large error."""
    across = scene.patches.slice_axis
    spacing = [FAR if scene.planar and a == across else s for a, s in enumerate(scene.spacing)]
    off, piece = nearest(scene.voxel, scene.patch, scene.mask.shape, spacing)
    near = off <= BAND
    return np.bincount(piece[near], scene.uncertainty[near]) / np.bincount(piece[near])


RANKINGS: dict[str, Callable[[Scene], NDArray[np.float64]]] = {
    "list": lambda scene: -np.arange(len(scene.patches), dtype=float),
    "highest": lambda scene: scene.patches.highest,
    "wrong mm": lambda scene: scene.patches.probability * scene.patches.length,
    "error/mm": error_per_mm,
    "band mean": band_mean,
    "truth": lambda scene: (
        np.bincount(scene.piece[scene.mask != scene.truth], minlength=len(scene.patches)) / scene.patches.length
    ),
}


# Walks: pieces in an order.


def walks(scene: Scene, name: str, seed: int = 0) -> Iterator[Walk]:
    """One walk for a ranking, two for a walk in order (from either end), ``DRAWS`` random ones."""
    by_patch = pieces(scene, scene.piece, scene.patches.length)
    if name in RANKINGS:
        yield taken(by_patch, np.argsort(-RANKINGS[name](scene), kind="stable"))
    elif name == "random":
        rng = np.random.default_rng(seed)
        yield from (taken(by_patch, rng.permutation(len(scene.patches))) for _ in range(DRAWS))
    else:
        whole, order = (by_patch, in_order(scene)) if name == "in order" else by_slice(scene)
        yield taken(whole, order)
        yield taken(whole, order[::-1])


def pieces(scene: Scene, number: NDArray[np.int64], length: NDArray[np.float64]) -> Walk:
    """What is wrong in each numbered piece."""
    wrong = np.flatnonzero(scene.mask != scene.truth)
    of = number.ravel()[wrong]
    order = np.argsort(of, kind="stable")
    return Walk(length, np.split(wrong[order], np.searchsorted(of[order], np.arange(1, len(length)))))


def taken(walk: Walk, order: NDArray[np.int64]) -> Walk:
    return Walk(walk.length[order], [walk.wrong[n] for n in order])


def in_order(scene: Scene) -> NDArray[np.int64]:
    """Patches by the slice of their middle, and in it by the angle around the middle of the boundary there."""
    axis = scene.patches.slice_axis
    plane = [a for a in range(3) if a != axis]
    mm = scene.voxel * np.array(scene.spacing)
    middle = np.stack([per_patch(scene, mm[:, a]) for a in range(3)], axis=1) / scene.patches.voxels[:, None]
    at = np.rint(middle[:, axis] / scene.spacing[axis]).astype(np.int64)
    angle = np.zeros(len(at))
    for number in np.unique(at):
        centre = mm[scene.voxel[:, axis] == number].mean(axis=0)
        here = at == number
        step = middle[here][:, plane] - centre[plane]
        angle[here] = np.arctan2(step[:, 1], step[:, 0])
    return np.lexsort((angle, at))


def by_slice(scene: Scene) -> tuple[Walk, NDArray[np.int64]]:
    """The boundary cut at the slices."""
    axis = scene.patches.slice_axis
    kinds, number = np.unique(scene.voxel[:, axis], return_inverse=True)
    _, piece = nearest(scene.voxel, number, scene.mask.shape, scene.spacing)
    length = contour_shares(scene.mask, scene.spacing, axis)[tuple(scene.voxel.T)]
    length[length == 0] = sum(s for a, s in enumerate(scene.spacing) if a != axis) / 4  # as `partition` counts it
    return pieces(scene, piece, np.bincount(number, length)), np.arange(len(kinds))


# Figures.


class Meter:
    """HD95 and ASD against a fixed truth; the same figures as ``metrics.score`` gives, without its other work."""

    def __init__(self, truth: Array, ids: Sequence[int], spacing: Sequence[float], diagonal: float) -> None:
        self.ids, self.spacing, self.diagonal = ids, tuple(float(s) for s in spacing), diagonal
        self._truth = {name: self._ready(region) for name, region in self._regions(truth).items()}
        self._last: dict[str, tuple[BinaryMask, tuple[float, float] | None]] = {}

    def read(self, mask: Array) -> list[float]:
        """``FIGURES`` of a mask."""
        known = {name: self._kept(name, region) for name, region in self._regions(mask).items()}
        single = [known[str(i)] for i in self.ids if known[str(i)] is not None]
        means = np.mean(single, axis=0) if single else np.zeros(2)
        merged = known["merged"] or (0.0, 0.0)
        return [float(means[0]), float(means[1]), *merged]

    def _regions(self, mask: Array) -> dict[str, BinaryMask]:
        regions = {str(i): np.pad(mask == i, 1) for i in self.ids}
        return {**regions, "merged": np.pad(np.isin(mask, self.ids), 1)}

    def _ready(self, region: BinaryMask) -> tuple[BinaryMask, Array] | None:
        if not region.any():
            return None
        edge = _edges(region)
        return edge, edt.edt(~edge, anisotropy=self.spacing, parallel=1)

    def _kept(self, name: str, region: BinaryMask) -> tuple[float, float] | None:
        last = self._last.get(name)
        if last is None or not np.array_equal(last[0], region):
            self._last[name] = last = region, self._figures(region, self._truth[name])
        return last[1]

    def _figures(self, region: BinaryMask, truth: tuple[BinaryMask, Array] | None) -> tuple[float, float] | None:
        if not region.any() or truth is None:
            return None if truth is None and not region.any() else (self.diagonal, self.diagonal)
        edge = _edges(region)
        there, back = truth[1][edge], self._back(edge, truth[0])
        hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
        return float(hd95), float(np.concatenate([there, back]).mean(dtype=np.float64))

    def _back(self, edge: BinaryMask, truth: BinaryMask) -> NDArray[np.float64]:
        """mm from each true edge voxel to the nearest one of the mask; most are on it: no whole map."""
        away = np.argwhere(truth & ~edge) * self.spacing
        back = np.zeros(np.count_nonzero(truth))
        if len(away):
            back[: len(away)] = cKDTree(np.argwhere(edge) * self.spacing).query(away)[0]
        return back


def course(scene: Scene, walk: Walk, meter: Meter) -> Course:
    """Walk, and read the figures after each visit."""
    mask, truth = scene.mask.copy(), scene.truth
    figures = [meter.read(mask)]
    for wrong in walk.wrong:
        if len(wrong):
            mask.ravel()[wrong] = truth.ravel()[wrong]
        figures.append(meter.read(mask) if len(wrong) else figures[-1])
    assert np.array_equal(mask, truth), "a walk along the whole boundary must leave the truth"
    return Course(np.concatenate([[0.0], np.cumsum(walk.length)]), np.array(figures))


def halfway(values: NDArray[np.float64]) -> tuple[int, int]:
    """Visits until half of the first value is reached for the first time, and until it is never left again."""
    there = values <= values[0] / 2 * (1 + 1e-9)
    return int(there.argmax()), len(values) - int((~there[::-1]).argmax())


def measured(scene: Scene, names: Sequence[str], ids: Sequence[int], seed: int) -> dict[str, dict[str, object]]:
    """By walk and figure: mm and visits until halfway, and the curve; means over the walks of one name."""
    meter = Meter(scene.truth, ids, scene.spacing, scene.diagonal)
    out: dict[str, dict[str, object]] = {}
    for name in names:
        courses = [course(scene, walk, meter) for walk in walks(scene, name, seed)]
        out[name] = {f: told(courses, n) for n, f in enumerate(FIGURES) if courses[0].figures[0, n] > 0}
    return out


def told(courses: Sequence[Course], figure: int) -> dict[str, object]:
    rows, curves = [], []
    for way in courses:
        values = way.figures[:, figure]
        first, last = halfway(values)
        rows.append([way.length[first], way.length[last], first])
        reached = np.searchsorted(way.length / way.length[-1], STEPS * (1 + 1e-9), side="right") - 1
        curves.append(values[reached])
    first_mm, last_mm, visits = np.mean(rows, axis=0)
    curve = np.mean(curves, axis=0)
    return {"first": first_mm, "last": last_mm, "visits": visits, "before": float(curve[0]), "curve": curve.tolist()}


def table(rows: Sequence[dict[str, object]], name: str, figure: str) -> dict[str, float]:
    """One line: a walk and a figure over all cases that have something to correct."""
    use = [(row["mm"], row["walks"]) for row in rows if figure in row["walks"][name]]  # type: ignore[operator,index]
    if not use:
        return {"cases": 0}
    mm = np.array([total for total, _ in use])
    here = {key: np.array([w[name][figure][key] for _, w in use]) for key in ("first", "last", "visits", "before")}
    curve = np.mean([w[name][figure]["curve"] for _, w in use], axis=0)
    out = {
        "cases": len(use), "before": float(here["before"].mean()), "visits": float(here["visits"].mean()),
        "first": float(here["first"].sum() / mm.sum()), "last": float(here["last"].sum() / mm.sum()),
        "curve": float(STEPS[(curve <= curve[0] / 2).argmax()]),
    }  # fmt: skip
    for other in ("in order", "slices"):
        if other in use[0][1]:
            for key, end in (("first", ""), ("last", " last")):
                than = np.array([w[other][figure][key] for _, w in use])
                out[f"of {other}{end}"] = float(here[key].sum() / than.sum())
                out[f"of {other}{end}, median"] = float(np.median(here[key] / than))
    return out


def measure(predictor: Predictor, data: Path, files: Sequence[str], names: Sequence[str]) -> list[dict[str, object]]:
    """A row for each case: its mm, and what each walk did."""
    rows: list[dict[str, object]] = []
    for seed, file in enumerate(files):
        scan, truth = open_scan(data / "images" / file), open_mask(data / "labels" / file)
        predictor.set_scan(scan)
        row: dict[str, object] = {"case": case_stem(Path(file)), "mm": 0.0, "walks": {name: {} for name in names}}
        scene = scene_of(predictor.predict(), truth.data, planar=predictor.card.slice_axis is not None)
        if scene is not None:
            ids = [entry.id for entry in predictor.card.labels]
            row |= {"mm": float(scene.patches.length.sum()), "patches": len(scene.patches)}
            row["walks"] = measured(scene, names, ids, seed)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="hippocampus-3d")
    parser.add_argument("--split", default="test")
    parser.add_argument("--order", nargs="+", default=["list", "truth"], choices=list(RANKINGS), help="rankings")
    parser.add_argument("--json", "--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor(zoo.load(given.model), "cpu")
    files = json.loads((given.data / "splits.json").read_text())[given.split]
    names = [*given.order, "in order", "slices", "random"]
    rows = measure(predictor, given.data, files, names)
    tables = {figure: {name: table(rows, name, figure) for name in names} for figure in FIGURES}
    for row in rows:
        for figures in row["walks"].values():  # type: ignore[attr-defined]
            for entry in figures.values():
                del entry["curve"]
    card = {"model": given.model, "digest": predictor.model.digest, "split": given.split}
    report = {**card, "tables": tables, "rows": rows}
    show(report)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")


def show(report: dict[str, object]) -> None:
    """Print a table per figure."""
    for figure, lines in report["tables"].items():  # type: ignore[attr-defined]
        before = next(iter(lines.values()))
        print(f"\n{report['model']} on {report['split']}, {before['cases']} cases: {figure} halfway from "
              f"{before.get('before', 0):.3f} mm")  # fmt: skip
        columns = [key for key in before if key not in {"cases", "before"} and " last" not in key]
        print("  " + " " * 10 + "  ".join(columns))
        for name, line in lines.items():
            print(f"  {name:<10}" + "  ".join(f"{line[key]:>{len(key)}.3g}" for key in columns if key in line))


if __name__ == "__main__":
    main()
