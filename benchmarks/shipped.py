"""The shipped models on held-out hippocampus cases: accuracy, other grids, other axis orders.

    python -m benchmarks.shipped --data DIR/hippocampus [--model NAME_OR_DIR] [--split test] [--looks N] [--json FILE]

Every figure comes twice, for the coarse and for the rendered mask of the same model on the same cases.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage, stats

from napari_morse import zoo
from napari_morse.geometry.orientation import RAS, axes_to, oriented
from napari_morse.inference import Predictor
from napari_morse.inference.engine import coarse_pass, frame_of
from napari_morse.inference.normalise import normalise
from napari_morse.inference.rendering import render
from napari_morse.io import case_stem, open_mask, open_scan
from napari_morse.metrics import MERGED, score
from napari_morse.types import Array, Grid, Mask, Prediction, Scan

FIGURES = ("dice", "hd95_or_diagonal", "asd_or_diagonal", "nsd")
Change = Callable[[Scan, Mask], tuple[Scan, Mask]]


def resampled(scan: Scan, truth: Mask, grid: Grid) -> tuple[Scan, Mask]:
    """Scan (linear, 0 outside) and truth (nearest) on another grid."""
    matrix = np.linalg.inv(scan.grid.affine) @ grid.affine
    where = {"matrix": matrix[:3, :3], "offset": matrix[:3, 3], "output_shape": grid.shape}
    image = ndimage.affine_transform(np.asarray(scan.data, np.float32), order=1, mode="constant", **where)
    labels = ndimage.affine_transform(truth.data, order=0, mode="constant", **where)
    return replace(scan, data=image, grid=grid, header=None), Mask(labels, grid)


def finer(scan: Scan, truth: Mask) -> tuple[Scan, Mask]:
    """0.7 × 0.7 × 1.2 mm over the same field of view."""
    spacing = np.array([0.7, 0.7, 1.2])
    ratio = spacing / scan.grid.spacing
    affine = scan.grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * ratio
    affine[:3, 3] += scan.grid.affine[:3, :3] @ (ratio / 2 - 0.5)
    shape = tuple(int(np.ceil(n / r)) for n, r in zip(scan.grid.shape, ratio, strict=True))
    return resampled(scan, truth, Grid(shape, affine))  # type: ignore[arg-type]


def turned(axis: int, degrees: float = 17.0) -> Change:
    """A grid turned about the scan's centre, of the same shape and spacing."""

    def change(scan: Scan, truth: Mask) -> tuple[Scan, Mask]:
        a, b = (k for k in range(3) if k != axis)
        turn = np.eye(4)
        angle = np.radians(degrees)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        centre = scan.grid.affine @ np.array([*((np.array(scan.grid.shape) - 1) / 2), 1.0])
        turn[:3, 3] = centre[:3] - turn[:3, :3] @ centre[:3]
        return resampled(scan, truth, Grid(scan.grid.shape, turn @ scan.grid.affine))

    return change


GRIDS: dict[str, Change] = {
    "0.7 x 0.7 x 1.2 mm": finer,
    "turned 17 about R": turned(0),
    "turned 17 about A": turned(1),
    "turned 17 about S": turned(2),
}


def rendered_logits(predictor: Predictor, scan: Scan) -> Array:
    """(C, I, J, K) rendered logits of a volume, on its own grid."""
    axes = axes_to(scan.grid, RAS)
    stack = normalise(axes.to_view(scan.data), predictor.card.intensity).pixels[None]
    frame = frame_of(stack, oriented(scan.grid, axes).spacing, predictor.card.spacing, predictor.net)
    logits = render(predictor.net, coarse_pass(predictor.net, np.ascontiguousarray(stack), frame)).logits[:, 0]
    return np.stack([axes.to_storage(channel) for channel in logits])


def carried(logits: Array, ids: Array, source: Grid, grid: Grid) -> Mask:
    """Logits interpolated linearly onto another grid: what a prediction loses to the resampling of its truth alone."""
    matrix = np.linalg.inv(source.affine) @ grid.affine
    where = {"matrix": matrix[:3, :3], "offset": matrix[:3, 3], "output_shape": grid.shape}
    moved = np.stack([ndimage.affine_transform(c, order=1, mode="nearest", **where) for c in logits])
    return Mask(ids[moved.argmax(axis=0)], grid)


def predicted(predictor: Predictor, scan: Scan) -> Prediction:
    predictor.set_scan(scan)
    return predictor.predict()


def figures(predictor: Predictor, masks: dict[str, Mask], truth: Mask) -> dict[str, float]:
    """``coarse_dice_1`` … of one case."""
    ids = [entry.id for entry in predictor.card.labels]
    out: dict[str, float] = {}
    for kind, mask in masks.items():
        for row in score(mask.data, truth.data, mask.grid.spacing, ids, 1.0, merged=True):
            name = "merged" if row.id == MERGED else str(row.id)
            for figure in FIGURES:
                value = getattr(row, figure)
                out[f"{kind}_{figure.removesuffix('_or_diagonal')}_{name}"] = float("nan") if value is None else value
            out[f"{kind}_missed_{name}"] = float(row.missed)
    return out


def both(found: Prediction) -> dict[str, Mask]:
    return {"coarse": found.coarse, "rendered": found.rendered}


def band_share(found: Prediction, truth_free: Array) -> float:
    """Share of the voxels within 2 of the rendered boundary that were predicted again."""
    inside = truth_free > 0
    edge = inside & ~ndimage.binary_erosion(inside) | ndimage.binary_dilation(inside) & ~inside
    band = ndimage.distance_transform_edt(~edge) <= 2
    again = np.zeros(inside.shape, bool)
    again[tuple(found.points.voxel.T)] = True
    return float((again & band).sum() / max(band.sum(), 1))


def orders_agree(predictor: Predictor, scan: Scan) -> int:
    """In how many of the 48 axis orders the masks are the same, voxel for voxel."""
    straight = predicted(predictor, scan)
    agree = 0
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            cut = tuple(slice(None, None, f) for f in flips)
            step = np.zeros((4, 4))
            step[3, 3] = 1
            for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
                step[old, new] = flip
                step[old, 3] = 0 if flip == 1 else scan.grid.shape[old] - 1
            data = np.ascontiguousarray(scan.data.transpose(order)[cut])
            other = predicted(predictor, replace(scan, data=data, grid=Grid(data.shape, scan.grid.affine @ step)))
            agree += all(
                np.array_equal(getattr(other, kind).data, getattr(straight, kind).data.transpose(order)[cut])
                for kind in ("coarse", "rendered")
            )
    return agree


def summary(rows: list[dict[str, float]]) -> dict[str, object]:
    """Means, and the paired Wilcoxon test of rendered against coarse."""
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    tests = {}
    for figure in ("dice", "hd95", "asd", "nsd"):
        change = np.array([row[f"rendered_{figure}_merged"] - row[f"coarse_{figure}_merged"] for row in rows])
        tests[figure] = float(stats.wilcoxon(change).pvalue) if change.any() else 1.0
    return {"cases": len(rows), "means": means, "wilcoxon_merged_p": tests}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="hippocampus-3d")
    parser.add_argument("--split", default="test")
    parser.add_argument("--grids", action="store_true", help="also other spacings and turned grids")
    parser.add_argument("--orders", action="store_true", help="also the 48 axis orders of the first case")
    parser.add_argument("--looks", type=int, choices=(1, 2, 4), help="other than the model's own")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(2)
    predictor = Predictor(zoo.load(given.model), "cpu")
    if given.looks:
        recipe = predictor.net.recipe
        changed_part = recipe.render.model_copy(update={"looks": given.looks})
        predictor.net.recipe = recipe.model_copy(update={"render": changed_part})
    names = json.loads((given.data / "splits.json").read_text())[given.split]
    plain: list[dict[str, float]] = []
    changed: dict[str, list[dict[str, float]]] = {name: [] for name in GRIDS}
    for name in names:
        scan, truth = open_scan(given.data / "images" / name), open_mask(given.data / "labels" / name)
        found = predicted(predictor, scan)
        again = {"again_in_band": band_share(found, found.rendered.data), "seconds": found.seconds["total"]}
        plain.append({**figures(predictor, both(found), truth), **again})
        if given.grids:
            ids = np.array([0, *(entry.id for entry in predictor.card.labels)], np.uint8)
            logits = rendered_logits(predictor, scan)
            for grid, change in GRIDS.items():
                other, other_truth = change(scan, truth)
                result = predicted(predictor, other)
                masks = {**both(result), "carried": carried(logits, ids, scan.grid, other_truth.grid)}
                changed[grid].append(figures(predictor, masks, other_truth))
    looks = predictor.net.recipe.render.looks
    report: dict[str, object] = {
        "model": f"{given.model} ({looks} looks)",
        "digest": predictor.model.digest,
        "split": given.split,
    }
    report["plain"] = summary(plain)
    if given.grids:
        report["grids"] = {grid: summary(rows) for grid, rows in changed.items()}
    if given.orders:
        report["orders_agree"] = orders_agree(predictor, open_scan(given.data / "images" / names[0]))
    report["rows"] = {case_stem(Path(name)): row for name, row in zip(names, plain, strict=True)}
    show(report)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")


def show(report: dict[str, object]) -> None:
    """Print the figures as a table."""
    parts = {"plain": report["plain"], **report.get("grids", {})}  # type: ignore[dict-item]
    for part, block in parts.items():
        means = block["means"]  # type: ignore[index]
        print(f"\n{report['model']} on {report['split']}, {part}, {block['cases']} cases")  # type: ignore[index]
        structures = sorted({name.rsplit("_", 1)[1] for name in means if name.startswith("rendered_dice")})
        for structure in structures:
            for kind in (k for k in ("coarse", "rendered", "carried") if f"{k}_dice_{structure}" in means):
                cells = "  ".join(f"{f} {means[f'{kind}_{f}_{structure}']:.4f}" for f in ("dice", "hd95", "asd", "nsd"))
                print(f"  {structure:>7} {kind:<9} {cells}  missed {means[f'{kind}_missed_{structure}']:.2f}")
        print("  Wilcoxon, rendered against coarse, merged:", block["wilcoxon_merged_p"])  # type: ignore[index]
        if "again_in_band" in means:
            print(f"  re-predicted within 2 voxels of the boundary: {means['again_in_band']:.1%}; "
                  f"{means['seconds']:.2f} s a case")  # fmt: skip
    if "orders_agree" in report:
        print(f"\naxis orders with the same masks: {report['orders_agree']} of 48")


if __name__ == "__main__":
    main()
