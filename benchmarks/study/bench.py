"""What the commands after `run` share: models by name, test cases, a coarse pass that is not made twice, reports."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.study.one import commit, machine
from benchmarks.study.sets import SETS, Set, open_cases, split_of
from benchmarks.study.spec import MODEL, RESULT, Spec
from napari_morse import zoo
from napari_morse.inference import Predictor
from napari_morse.inference.engine import CoarsePass
from napari_morse.io.atomic import write_text
from napari_morse.types import Mask, Scan


@dataclass(frozen=True)
class Trained:
    """A model under study: of a finished run, or one named on the command line."""

    set: str
    arm: str
    seed: int
    model: str | Path
    cases: int | None = None

    @property
    def name(self) -> str:
        """``hippocampus/default/seed0``."""
        return f"{self.set}/{self.arm}/seed{self.seed}"


def finished(runs: Path, sets: list[str] | None, arms: list[str] | None) -> list[Trained]:
    """Models of the finished runs below a folder."""
    found = []
    for path in sorted(runs.glob(f"**/{RESULT}")):
        spec = Spec.read(path.parent)
        if (sets is None or spec.set in sets) and (arms is None or spec.arm in arms):
            found.append(Trained(spec.set, spec.arm, spec.seed, path.parent / MODEL, spec.cases))
    return found


def asked(given: argparse.Namespace) -> list[Trained]:
    """Of ``--runs``, or the one of ``--model`` and ``--set``."""
    if given.runs is not None:
        return finished(given.runs, given.sets, given.arms)
    if given.set is None:
        raise SystemExit("--model needs --set: the set whose test cases are read")
    path = Path(given.model)
    return [Trained(given.set, Path(given.model).name, 0, path if path.exists() else given.model)]


def cases_of(data: Path, chosen: Set, most: int | None) -> Iterator[tuple[str, Scan, Mask]]:
    """(stem, scan, truth) of the test split, or of the first so many of it."""
    names = split_of(data / chosen.name, chosen, None)["test"]
    return iter(open_cases(data / chosen.name, names[:most]))


class Keeping(Predictor):
    """A predictor that keeps the coarse pass of a scan for the next prediction of it."""

    def __init__(self, model: zoo.LoadedModel, device: str = "auto") -> None:
        super().__init__(model, device)
        self._kept: tuple[Any, CoarsePass] | None = None

    def _coarse(self, ready: Any, given: torch.Tensor | None, tick: Any, cancelled: Any) -> CoarsePass:
        if given is not None:
            return super()._coarse(ready, given, tick, cancelled)
        if self._kept is None or self._kept[0] is not ready:
            self._kept = ready, super()._coarse(ready, given, tick, cancelled)
        return self._kept[1]


def opened(trained: Trained, kind: type[Predictor] = Keeping) -> Predictor:
    """Its predictor."""
    return kind(zoo.load(trained.model))


def set_of(trained: Trained) -> Set:
    """Its set."""
    return SETS[trained.set]


class Report:
    """Rows that survive an interruption: written after each, and what is there is not done again."""

    def __init__(self, path: Path | None, command: str, about: dict[str, Any]) -> None:
        self.path, self.rows = path, list[dict[str, Any]]()
        self.head = {"format": f"napari-morse-study-{command}", "format_version": 1, "about": about}
        if path is not None and path.is_file():
            held = json.loads(path.read_text(encoding="utf-8"))
            if {key: held.get(key) for key in self.head} != self.head:
                raise SystemExit(f"{path} holds another report: give another --out, or delete it")
            self.rows = held["rows"]

    def has(self, **keys: Any) -> bool:
        """Whether a row with these entries is there."""
        return any(all(row.get(key) == value for key, value in keys.items()) for row in self.rows)

    def add(self, row: dict[str, Any], *keys: str) -> None:
        """One more, in the place of one with the same entries under ``keys`` (of a model that was trained again)."""
        same = [held for held in self.rows if keys and all(held[key] == row[key] for key in keys)]
        self.rows = [held for held in self.rows if held not in same]
        self.rows.append({**row, **commit()})
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, json.dumps({**self.head, "machine": machine(), "rows": self.rows}, indent=1) + "\n")

    def close(self, text: str) -> None:
        """Print the tables, and keep them beside the rows."""
        print(text)
        if self.path is not None:
            write_text(self.path.with_suffix(".md"), text)
