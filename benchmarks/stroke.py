"""What a stroke costs: rendering its boundary again, with the machine to itself or beside busy processes.

    python -m benchmarks.stroke [--strokes 40] [--busy 0] [--json FILE]

A coronal slice of the sample head on 512 × 512 pixels, and a region of 96 × 96 × 96 voxels of it: the mask is the
hippocampus that the 3-D model finds, grown by two voxels. Each stroke is a box around a random voxel of the boundary
(a fixed draw) whose maps are kept; the 64 × 64 × 64 voxels are one box, again and again. ``first``: nothing kept, the
model loaded. ``elsewhere``: cores that something else used meanwhile (Linux; near 0, or the times are those of a busy
machine).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from napari_morse import zoo
from napari_morse.inference import Predictor
from napari_morse.inference.local import LocalRenderer
from napari_morse.io import open_scan
from napari_morse.types import Array, Grid, Roi, Scan

SAMPLES = Path(__file__).parents[1] / "sample_data"
STAT = Path("/proc/stat")


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
    """Every structure grown by two voxels, of a picture within its plane."""
    flat = [a for a in range(3) if mask.shape[a] == 1]
    ball = ndimage.generate_binary_structure(3, 1)
    for axis in flat:
        ball = np.take(ball, [1], axis)
    grown = mask.copy()
    for label in np.unique(mask[mask > 0]):
        wide = ndimage.binary_dilation(mask == label, ball, iterations=2)
        grown[wide & (grown == 0)] = label
    return grown


def busy_seconds() -> float:
    """Of all cores together since the machine started; 0 where Linux does not tell."""
    if not STAT.exists():
        return 0.0
    user, nice, system, _, _, irq, soft, steal = map(int, STAT.read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + irq + soft + steal) / 100


def boxes(mask: Array, sides: tuple[int, int, int], count: int) -> list[Roi]:
    """Boxes of these sides, as far as the scan reaches, around drawn voxels of the boundary."""
    edge = np.argwhere(ndimage.morphological_gradient(mask, size=[1 if n == 1 else 3 for n in mask.shape]) > 0)
    found = []
    for middle in np.random.default_rng(0).choice(edge, count):
        ends = list(zip(middle.tolist(), sides, mask.shape, strict=True))
        start = tuple(max(0, min(n - s, m - s // 2)) for m, s, n in ends)
        stop = tuple(min(n, a + s) for a, (_, s, n) in zip(start, ends, strict=True))
        found.append(Roi(start, stop))  # type: ignore[arg-type]
    return found


def timed(model: str, scan: Scan, truth: Array, sides: tuple[int, int, int], strokes: int) -> dict[str, float]:
    """Milliseconds of the first stroke, and of those whose maps are kept."""
    predictor = Predictor(zoo.load(model), "cpu")
    predictor.set_scan(scan)
    mask, local = moved(truth), LocalRenderer(predictor)
    drawn = boxes(mask, sides, 1) * strokes if min(sides) > 1 else boxes(mask, sides, strokes)
    begun = time.perf_counter()
    local.sharpen(mask, drawn[0])
    first, seconds, others = time.perf_counter() - begun, [], 0.0
    for box in drawn:
        local.warm(box)
        used, own, begun = busy_seconds(), time.process_time(), time.perf_counter()
        local.sharpen(mask, box)
        seconds.append(time.perf_counter() - begun)
        others += busy_seconds() - used - (time.process_time() - own)
    ms = 1000 * np.array(seconds)
    return {"first": 1000 * first, "median": float(np.median(ms)), "95 %": float(np.percentile(ms, 95)),
            "most": float(ms.max()), "elsewhere": max(0.0, others) / sum(seconds)}  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strokes", type=int, default=40)
    parser.add_argument("--busy", type=int, default=0, help="processes that keep a core busy meanwhile")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    whole, mask = head()
    flat, solid = slice_512(whole, mask), cut(whole, mask)
    scenes = {
        "512 x 512, 40 x 40 pixels": ("hippocampus-2d", *flat, (40, 1, 40)),
        "512 x 512, 120 x 120 pixels": ("hippocampus-2d", *flat, (120, 1, 120)),
        "512 x 512, all of it": ("hippocampus-2d", *flat, (512, 1, 512)),
        "96 x 96 x 96, 20 x 20 voxels": ("hippocampus-3d", *solid, (20, 1, 20)),
        "96 x 96 x 96, 64 x 64 x 64 voxels": ("hippocampus-3d", *solid, (64, 64, 64)),
    }
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(given.busy)]
    try:
        found = {name: timed(*scene, given.strokes) for name, scene in scenes.items()}
    finally:
        for process in burning:
            process.kill()
            process.wait()
    for name, row in found.items():
        times = ", ".join(f"{key} {value:.0f}" for key, value in row.items() if key != "elsewhere")
        print(f"{name:34} ms: {times}; elsewhere {row['elsewhere']:.2f} cores")
    print(f"{torch.get_num_threads()} threads, {given.busy} busy processes beside it")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
