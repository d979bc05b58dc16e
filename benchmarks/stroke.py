"""What a stroke costs: rendering its boundary again, with kept maps and without: ``python -m benchmarks.stroke``.

    python -m benchmarks.stroke [--model-2d NAME_OR_DIR] [--model-3d NAME_OR_DIR] [--rounds 9] [--json FILE]

A coronal slice of the sample head on 512 × 512 pixels, and a region of 96 × 96 × 96 voxels of it: the mask is the
hippocampus that the 3-D model finds, grown by two voxels. Boxes: the whole slice, or 64 × 64 × 64 voxels, and a stroke
of 40 × 40 pixels, or 20 × 20 voxels of one slice, on the boundary. ``first``: nothing kept, the model loaded;
``kept``: the median of the others.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_morse import zoo
from napari_morse.inference import Predictor
from napari_morse.inference.local import LocalRenderer
from napari_morse.io import open_scan
from napari_morse.types import Array, Grid, Roi, Scan

SAMPLES = Path(__file__).parents[1] / "sample_data"


def head() -> tuple[Scan, Array]:
    """The sample head, and the left hippocampus in it as the 3-D model finds it."""
    whole, part = (open_scan(SAMPLES / f"colin27_{name}.nii.gz") for name in ("t1", "left_hippocampus"))
    predictor = Predictor(zoo.load("hippocampus-3d"))
    predictor.set_scan(part)
    found = np.array(predictor.predict().rendered.data)
    start = np.linalg.solve(whole.grid.affine, part.grid.affine[:, 3])[:3]
    first = np.rint(start).astype(int)
    mask = np.zeros(whole.grid.shape, np.uint8)
    mask[tuple(slice(a, a + n) for a, n in zip(first, found.shape, strict=True))] = found
    return whole, mask


def slice_512(whole: Scan, mask: Array) -> tuple[Scan, Array]:
    """The coronal slice with most of the structure, on 512 × 512 pixels."""
    index = int((mask > 0).sum(axis=(0, 2)).argmax())
    zoom = np.array([512 / mask.shape[0], 1, 512 / mask.shape[2]])
    affine = whole.grid.affine.copy()
    affine[:3, :3] /= zoom
    part = np.s_[:, index : index + 1]
    data = ndimage.zoom(np.asarray(whole.data[part], np.float32), zoom, order=1)
    return Scan(data, Grid(data.shape, affine), "slice"), ndimage.zoom(mask[part], zoom, order=0)


def cut(whole: Scan, mask: Array, side: int = 96) -> tuple[Scan, Array]:
    """So many voxels each way around the structure."""
    middle = np.argwhere(mask > 0).mean(axis=0).astype(int)
    start = [max(0, min(n - side, m - side // 2)) for m, n in zip(middle, mask.shape, strict=True)]
    part = tuple(slice(a, a + side) for a in start)
    affine = whole.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    return Scan(np.array(whole.data[part]), Grid((side,) * 3, affine), "region"), mask[part]


def moved(mask: Array) -> Array:
    """Every structure grown by two voxels in the plane."""
    flat = [a for a in range(3) if mask.shape[a] == 1]
    ball = ndimage.generate_binary_structure(3, 1)
    for axis in flat:
        ball = np.take(ball, [1], axis)
    grown = mask.copy()
    for label in np.unique(mask[mask > 0]):
        wide = ndimage.binary_dilation(mask == label, ball, iterations=2)
        grown[wide & (grown == 0)] = label
    return grown


def around(mask: Array, sides: tuple[int, int, int]) -> Roi:
    """A box of about these sides around a voxel of the boundary."""
    edge = np.argwhere(ndimage.morphological_gradient(mask, size=[1 if n == 1 else 3 for n in mask.shape]) > 0)
    middle = edge[len(edge) // 2]
    start = [max(0, min(n - s, m - s // 2)) for m, s, n in zip(middle, sides, mask.shape, strict=True)]
    stop = [min(n, a + s) for a, s, n in zip(start, sides, mask.shape, strict=True)]
    return Roi(tuple(map(int, start)), tuple(map(int, stop)))  # type: ignore[arg-type]


def timed(
    model: str, scan: Scan, rough: Array, boxes: dict[str, tuple[int, int, int]], rounds: int
) -> dict[str, dict[str, float]]:
    predictor = Predictor(zoo.load(model))
    predictor.set_scan(scan)
    mask = moved(rough)
    found = {}
    for name, sides in boxes.items():
        box = around(mask, sides)
        local = LocalRenderer(predictor)
        seconds = []
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            local.sharpen(mask, box)
            seconds.append(time.perf_counter() - begin)
        found[name] = {
            "first_ms": 1000 * seconds[0],
            "kept_ms": 1000 * float(np.median(seconds[1:])),
            "worst_ms": 1000 * max(seconds[1:]),
            "border_voxels": float(np.count_nonzero(ndimage.morphological_gradient(mask[box.slices], size=3) > 0)),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-2d", default="hippocampus-2d")
    parser.add_argument("--model-3d", default="hippocampus-3d")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    whole, mask = head()
    flat, solid = slice_512(whole, mask), cut(whole, mask)
    found = {
        "slice of 512 x 512": timed(
            given.model_2d, *flat, {"stroke": (40, 1, 40), "all of it": (512, 1, 512)}, given.rounds
        ),
        "region": timed(given.model_3d, *solid, {"stroke": (20, 1, 20), "64 x 64 x 64": (64, 64, 64)}, given.rounds),
    }
    for place, boxes in found.items():
        for name, row in boxes.items():
            print(f"{place}, {name}: " + ", ".join(f"{key} {value:.0f}" for key, value in row.items()))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
