"""Kill a session of corrections with signal 9 at random moments, recover, and compare every voxel.

    python -m benchmarks.crash [--kills 30] [--seed 0] [--folder FOLDER]

One long scripted session (acts, undos, redos, savings) is killed again and again. After each kill the mask must be the
one after k or k + 1 steps, where k is the last step that the session reported as done; then it goes on from there.
Prints a table; the exit status is 1 when a voxel is wrong.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.strokes import random_stroke
from napari_morse.session.edits import Corrections, Unfinished, recoverable

SHAPE = (30, 40, 20)
SCAN = "5ca1ab1e"
LABELS = 4


def base() -> np.ndarray:
    return np.random.default_rng(99).integers(0, LABELS, SHAPE).astype(np.uint8)


def step(corrections, seed: int, number: int) -> None:
    """The ``number``-th step of the script, from 0: it depends on nothing else."""
    rng = np.random.default_rng([seed, number])
    choice = rng.random()
    if choice < 0.15:
        corrections.undo()
    elif choice < 0.25:
        corrections.redo()
    else:
        corrections.apply(*random_stroke(rng, SHAPE, LABELS))
    if choice > 0.97 and isinstance(corrections, Corrections):
        corrections.checkpoint()


class Oracle:
    """What the mask must be, by whole copies and nothing of the code under test."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._done, self._undone = [base()], []
        self.states = [base()]

    def undo(self) -> None:
        if len(self._done) > 1:
            self._undone.append(self._done.pop())

    def redo(self) -> None:
        if self._undone:
            self._done.append(self._undone.pop())

    def apply(self, where, values, _: str) -> None:
        after = self._done[-1].copy()
        if isinstance(where, tuple):
            after[where] = values
        elif isinstance(where, np.ndarray):
            after.reshape(-1)[where] = values
        else:
            after[where.slices] = values
        if not np.array_equal(after, self._done[-1]):
            self._done.append(after)
            self._undone.clear()

    def after(self, steps: int) -> np.ndarray:
        while len(self.states) <= steps:
            step(self, self._seed, len(self.states) - 1)
            self.states.append(self._done[-1])
        return self.states[steps]


def child(folder: Path, seed: int, start: int) -> None:
    corrections = Corrections.recover(folder, base(), SCAN)
    print("ready", flush=True)
    for number in range(start, 10**9):
        step(corrections, seed, number)
        print(number + 1, flush=True)


@dataclass(frozen=True)
class Kill:
    """One kill: milliseconds after the session began to act, steps reported, steps found, what was said."""

    milliseconds: float
    reported: int
    found: int | None
    offer: Unfinished | None
    notices: tuple[str, ...]


def kill(folder: Path, seed: int, start: int, wait: float, oracle: Oracle) -> Kill:
    command = [sys.executable, "-m", "benchmarks.crash", "--child", str(folder), str(seed), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        if not session.stdout.readline().startswith("ready"):
            raise RuntimeError("the session did not begin")
        time.sleep(wait)
        session.kill()
        lines = [line for line in session.stdout.read().split("\n") if line]
    reported = int(lines[-1]) if lines else start
    offer = recoverable(folder)
    corrections = Corrections.recover(folder, base(), SCAN)
    after = (steps for steps in (reported, reported + 1) if np.array_equal(corrections.mask, oracle.after(steps)))
    return Kill(1000 * wait, reported, next(after, None), offer, corrections.notices)


def crash(folder: Path, kills: int, seed: int, longest: float = 0.4) -> list[Kill]:
    rng, oracle, start = np.random.default_rng([seed, 1]), Oracle(seed), 0
    results = []
    for _ in range(kills):
        results.append(kill(folder, seed, start, float(rng.uniform(0, longest)), oracle))
        if results[-1].found is None:
            break
        start = results[-1].found
    return results


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    print(f"{'kill':>4}{'after ms':>10}{'reported':>10}{'found':>8}{'to recover':>12}  said")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = crash(Path(folder), options.kills, options.seed)
    for number, one in enumerate(results, 1):
        found = "WRONG" if one.found is None else one.found
        steps = one.offer.steps if one.offer else 0
        print(f"{number:4}{one.milliseconds:10.0f}{one.reported:10}{found:>8}{steps:12}  {' '.join(one.notices)}")
    wrong = sum(one.found is None for one in results)
    ahead = sum(one.found == one.reported + 1 for one in results)
    print(f"{len(results)} kills: {wrong} wrong masks, {ahead} times one step beyond what was reported")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
