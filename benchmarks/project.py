"""What a project of many cases costs: making, opening, going on, moving cases, reading the trail.

    python -m benchmarks.project [--cases 2000] [--folder FOLDER]

``--folder`` is where the project is made (a fresh folder inside it), which decides how long fsync takes. The scans are
files of 1 MB at random: nothing reads their pixels, but each is told by its size, beginning and end.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_morse.session.project import PredictionRecord, Project, from_folders, with_patients

SIZE = 1 << 20


def timed(name: str, work: Callable[[], Any], repeats: int = 1) -> Any:
    """Print the median and the slowest of several runs."""
    times, found = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        found = work()
        times.append(1000 * (time.perf_counter() - began))
    print(f"{name:44}{np.median(times):>10.1f}{max(times):>10.1f}")
    return found


def fill(folder: Path, cases: int) -> None:
    folder.mkdir()
    for number in range(cases):
        (folder / f"p{number // 2:04d}_{number % 2}.nii.gz").write_bytes(os.urandom(64) + bytes(SIZE - 64))


def go_on(project: Project, case: str) -> str:
    """All that the window asks for when it goes to the next case."""
    found = project.next(case, "doubt", descending=True)
    assert found is not None
    project.current = found.id
    project.scan_of(found.id), project.folder_of(found.id), project.readings(found.id), project.audit(found.id)
    return found.id


def measure(folder: Path, cases: int) -> None:
    fill(folder / "scans", cases)
    rng = np.random.default_rng(0)
    print(f"{f'{cases} cases, ms':44}{'median':>10}{'slowest':>10}")
    found = timed("find", lambda: with_patients(from_folders(folder / "scans"), r"(p\d+)_"))
    made = timed("make", lambda: Project.create(folder / "study", found, name="study", reader="AB"))
    ids = [case.id for case in made.cases()]
    timed("a prediction", lambda: made.record_prediction(rng.choice(ids), said(rng)), 200)
    timed("a status", lambda: made.set_status([rng.choice(ids)], "corrected"))
    timed("500 cases to in review", lambda: made.set_status(ids[-500:], "in_review"))
    timed("500 cases accepted", lambda: made.set_status(ids[-500:], "accepted"))
    timed("one of them taken back", lambda: made.undo_status(ids[-1]))
    timed("a comment", lambda: made.comment(rng.choice(ids), "said"), 200)
    made.close()
    timed("open, and the worklist by doubt", lambda: again(folder), 5)
    with Project.open(folder / "study", reader="AB") as project:
        timed("the worklist, filtered", lambda: project.cases(text="p01"), 20)
        case = project.cases("doubt", descending=True)[0].id
        steps = iter(range(50))
        places = [case]
        timed("next case", lambda: places.append(go_on(project, places[next(steps)])), 50)
        timed("verify the audit trail", project.verify, 3)


def said(rng: np.random.Generator) -> PredictionRecord:
    return PredictionRecord("model", "0" * 64, float(rng.random()), float(rng.random()), {"left": 1.0})


def again(folder: Path) -> int:
    with Project.open(folder / "study", reader="AB") as project:
        return len(project.cases("doubt", descending=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder), options.cases)


if __name__ == "__main__":
    main()
