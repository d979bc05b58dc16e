"""Strokes sharpened at many places, with the machine to themselves or beside busy processes.

    python -m benchmarks.snap_speed [--strokes 40] [--busy 0] [--json FILE]

The scenes of `benchmarks.stroke`. Each stroke is a box around a random voxel of the boundary (a fixed draw) whose maps
are kept; the 64 × 64 × 64 voxels are one box, again and again. ``first``: nothing kept, the model loaded.
``elsewhere``: cores that something else used meanwhile (Linux; near 0, or the times are those of a busy machine).
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

from benchmarks.stroke import cut, head, moved, slice_512
from napari_morse import zoo
from napari_morse.inference import Predictor
from napari_morse.inference.local import LocalRenderer
from napari_morse.types import Array, Roi, Scan

STAT = Path("/proc/stat")


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
