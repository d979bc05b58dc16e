"""What corrections cost: bytes a changed voxel, and milliseconds an act, on the disk when it returns.

    python -m benchmarks.edits [--folder FOLDER] [--acts 40]

``--folder`` is where the journal is written (a fresh folder inside it), which decides how long fsync takes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.strokes import ball, random_stroke
from napari_morse.config import EditsConfig
from napari_morse.session.edits import Corrections
from napari_morse.session.edits.edit import encode
from napari_morse.session.edits.history import History
from napari_morse.session.edits.state import MaskState
from napari_morse.types import Roi

SHAPE = (300, 512, 512)


def scattered(rng, share, labels):
    places = np.unique(rng.integers(0, np.prod(SHAPE), int(share * np.prod(SHAPE))))
    return places, rng.integers(1, labels + 1, len(places)) if labels > 1 else 1, "scattered"


def scenes(rng):
    yield "one voxel", (np.array([12345678]), 1, "voxel")
    yield "ball, radius 5", (ball(rng, SHAPE, 5.0), 1, "ball")
    yield "ball, radius 20", (ball(rng, SHAPE, 20.0), 1, "ball")
    yield "whole slice", (Roi((150, 0, 0), (151, 512, 512)), 1, "slice")
    yield "whole slice across", (Roi((0, 0, 256), (300, 512, 257)), 1, "slice")
    yield "box 64³, 4 labels at random", (Roi((9, 9, 9), (73, 73, 73)), rng.integers(1, 5, (64, 64, 64)), "labels")
    for share in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
        yield f"scattered, {share:g} of the voxels", scattered(rng, share, 1)
    yield "scattered, 0.001, 4 labels", scattered(rng, 1e-3, 4)
    yield "scattered, 0.001, 200 labels", scattered(rng, 1e-3, 200)


def sizes() -> None:
    rng = np.random.default_rng(3)
    state = MaskState(np.zeros(SHAPE, np.uint8), History(EditsConfig()))
    print(f"{'act on ' + str(SHAPE):36}{'voxels':>10}{'bytes':>10}{'a voxel':>9}{'encode ms':>11}{'undo ms':>9}")
    for name, stroke in scenes(rng):
        change = state.change(*stroke)
        began = time.perf_counter()
        payload = encode(change)
        encoded = time.perf_counter()
        state.do(change)
        between = time.perf_counter()
        state.undo()
        undone = time.perf_counter()
        voxels = len(change.indices)
        took = f"{1000 * (encoded - began):11.1f}{1000 * (undone - between):9.1f}"
        print(f"{name:36}{voxels:10}{len(payload):10}{len(payload) / voxels:9.3f}{took}")


def times(folder: Path, acts: int) -> None:
    rng = np.random.default_rng(4)
    corrections = Corrections.open(folder, np.zeros(SHAPE, np.uint8), "0" * 64)
    spent: dict[str, list[float]] = {}

    def clock(name, call):
        began = time.perf_counter()
        call()
        spent.setdefault(name, []).append(1000 * (time.perf_counter() - began))

    clock("first act (saves the mask to begin on)", lambda: corrections.apply(np.array([1]), 1, "voxel"))
    for _ in range(acts):
        stroke = random_stroke(rng, SHAPE, 4, "ball")
        clock("ball", lambda stroke=stroke: corrections.apply(*stroke))
    layer = np.array(corrections.mask)
    for _ in range(5):
        where = ball(rng, SHAPE, 6.0)
        layer[where] ^= 1
        box = Roi(tuple(int(a.min()) for a in where), tuple(int(a.max()) + 1 for a in where))
        clock("diff inside a box", lambda box=box: corrections.diff(layer, box))
        layer[7, 7, 7] ^= 1
        clock("diff of everything", lambda: corrections.diff(layer))
    for _ in range(acts // 2):
        clock("undo", corrections.undo)
    for _ in range(acts // 2):
        clock("redo", corrections.redo)
    clock("checkpoint", corrections.checkpoint)
    clock("checkpoint", corrections.checkpoint)
    clock("open", lambda: Corrections.open(folder, None, "0" * 64))
    for _ in range(acts):
        clock("bare fsync of 300 bytes", lambda: bare(folder / "bare"))
    print(f"\n{'milliseconds':42}{'median':>9}{'most':>9}")
    for name, taken in spent.items():
        print(f"{name:42}{np.median(taken):9.1f}{max(taken):9.1f}")


def bare(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(bytes(300))
        os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--acts", type=int, default=40)
    options = parser.parse_args()
    sizes()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        times(Path(folder), options.acts)


if __name__ == "__main__":
    main()
