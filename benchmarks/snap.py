"""Rough strokes made sharp: mean boundary error in a box before and after, and what a stroke costs.

    python -m benchmarks.snap --data DIR/hippocampus [--model NAME_OR_DIR] [--split test] [--json FILE]

In every case one box is drawn around a random voxel of the truth's boundary, and in it the truth is damaged by two to
three voxels, with each of the damages of benchmarks/study/damage.py that move a border so far. The mask is then the
truth outside, the damage inside, and the box is rendered again. Error: mean distance in mm from the boundary voxels of
one mask in the box to the nearest boundary voxel of the other, both ways, of the mean of the structures in the box.
Outside the box not one voxel may change, which is checked.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from pathlib import Path
from typing import Any

import edt
import numpy as np

from benchmarks.study.damage import damaged
from napari_morse import zoo
from napari_morse.inference import Predictor
from napari_morse.inference.local import LocalRenderer
from napari_morse.io import open_mask, open_scan
from napari_morse.metrics.patches import boundary
from napari_morse.types import Array, Roi

KINDS = ("dilated2", "dilated3", "eroded2", "shifted")
SIDE = 16
"""mm of a box along each axis."""


def error_in(mask: Array, truth: Array, box: Roi, spacing: tuple[float, ...]) -> float | None:
    """Mean boundary error of the structures in a box; None where neither mask has any there."""
    found = []
    for label in np.unique(truth[truth > 0]):
        edges = [boundary(part == label, range(3)) & (part == label) for part in (mask, truth)]
        if not all(edge.any() for edge in edges):
            continue
        far = [edt.edt(~edge, anisotropy=spacing) for edge in edges]
        both = [far[1][box.slices][edges[0][box.slices]], far[0][box.slices][edges[1][box.slices]]]
        if sum(map(len, both)):
            found.append(float(np.concatenate(both).mean()))
    return float(np.mean(found)) if found else None


def box_in(truth: Array, spacing: tuple[float, ...], stem: str) -> Roi:
    """A box around a voxel of the truth's boundary; a case always has the same."""
    rng = np.random.default_rng(zlib.crc32(stem.encode()))
    centre = rng.choice(np.argwhere(boundary(truth, range(3))))
    half = [max(1, round(SIDE / 2 / s)) for s in spacing]
    low = [max(0, int(c) - h) for c, h in zip(centre, half, strict=True)]
    high = [min(n, int(c) + h) for c, h, n in zip(centre, half, truth.shape, strict=True)]
    return Roi(tuple(low), tuple(high))  # type: ignore[arg-type]


def rows_of(local: LocalRenderer, truth: Array, spacing: tuple[float, ...], stem: str) -> list[dict[str, Any]]:
    """One row a damage."""
    box = box_in(truth, spacing, stem)
    begun = time.perf_counter()
    local.warm(box)
    first, rows = time.perf_counter() - begun, []
    for kind in KINDS:
        mask = truth.astype(np.int64)
        mask[box.slices] = damaged(truth, (0, 1, 2), kind, stem)[box.slices]
        before, given = error_in(mask, truth, box, spacing), mask.copy()
        begun = time.perf_counter()
        sharp = local.sharpen(mask, box)
        seconds = time.perf_counter() - begun
        if not np.array_equal(mask, given):
            raise AssertionError("the mask that was given was written to")
        mask[box.slices] = sharp
        after = error_in(mask, truth, box, spacing)
        if before and after is not None:
            rows.append({"case": stem, "kind": kind, "before": before, "after": after, "ms": 1e3 * seconds,
                         "first_ms": 1e3 * first})  # fmt: skip
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="hippocampus-3d")
    parser.add_argument("--split", default="test")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    predictor = Predictor(zoo.load(given.model), "cpu")
    rows: list[dict[str, Any]] = []
    for name in json.loads((given.data / "splits.json").read_text())[given.split]:
        scan = open_scan(given.data / "images" / name)
        truth = np.asarray(open_mask(given.data / "labels" / name).data)
        predictor.set_scan(scan)
        rows += rows_of(LocalRenderer(predictor), truth, scan.grid.spacing, name)
    for kind in (*KINDS, "all"):
        some = [row for row in rows if kind in ("all", row["kind"])]
        before, after = (np.mean([row[k] for row in some]) for k in ("before", "after"))
        ms = np.array([row["ms"] for row in some])
        first = np.mean([row["first_ms"] for row in some])
        print(f"{kind:10} {len(some):4} boxes  {before:.3f} -> {after:.3f} mm ({100 * after / before:.0f} % left)")
        print(f"{'':10} {np.median(ms):.0f} ms median, {ms.max():.0f} ms most; {first:.0f} ms before the first")
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
