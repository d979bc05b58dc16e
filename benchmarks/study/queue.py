"""Runs one after the other, each its own process; finished ones are skipped, failed ones reported at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.study.spec import LOG, RESULT, Spec, standing

Start = Callable[[Path], bool]
"""Runs the spec of a folder; True when its result stands."""
ROOT = Path(__file__).parents[2]


def run_all(specs: list[Spec], out: Path, jobs: int, start: Start) -> dict[str, list[str]]:
    """Names of the runs by what became of them: ``skipped``, ``finished``, ``failed``, ``other``."""
    ended: dict[str, list[str]] = {"skipped": [], "finished": [], "failed": [], "other": []}
    waiting: list[Spec] = []
    for spec in specs:
        found = standing(spec, out)
        if found == "finished":
            ended["skipped"].append(spec.name)
        elif found == "other":
            ended["other"].append(spec.name)
        else:
            waiting.append(spec)
    with ThreadPoolExecutor(jobs) as pool:
        for spec, well in zip(waiting, pool.map(lambda s: _one(s, out, start), waiting), strict=True):
            ended["finished" if well else "failed"].append(spec.name)
    return ended


def _one(spec: Spec, out: Path, start: Start) -> bool:
    folder = out / spec.name
    spec.write(folder)
    begun = time.monotonic()
    print(f"{time.strftime('%H:%M:%S')} {spec.name}", flush=True)
    well = start(folder)
    took = (time.monotonic() - begun) / 60
    print(f"{time.strftime('%H:%M:%S')} {spec.name}: {'done' if well else 'FAILED'} after {took:.1f} min", flush=True)
    return well


def subprocess_start(data: Path, threads: int) -> Start:
    """A process for every run, with so many threads."""

    def start(folder: Path) -> bool:
        command = [sys.executable, "-m", "benchmarks.study", "one", "--folder", str(folder), "--data", str(data)]
        wanted = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        with (folder / LOG).open("a", encoding="utf-8") as log:
            ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **wanted}, stdout=log, stderr=log, check=False)
        return ended.returncode == 0 and (folder / RESULT).is_file()

    return start


def said(ended: dict[str, list[str]], out: Path) -> str:
    """What became of the queue, and where to read on."""
    lines = [", ".join(f"{len(names)} {what}" for what, names in ended.items() if names) or "nothing to do"]
    lines += [f"failed: {name}, see {out / name / LOG}" for name in ended["failed"]]
    lines += [
        f"{name} stands in {out} with other settings: give another --out, or delete it" for name in ended["other"]
    ]
    return "\n".join(lines)
