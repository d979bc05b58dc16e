"""What a run is, and where it lies."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULT, SPEC, TRAINING, MODEL, STATE, LOG = "result.json", "spec.json", "training.json", "model", "model.run", "log.txt"


@dataclass(frozen=True)
class Spec:
    """One training.

    Parameters
    ----------
    set, arm
        Their names.
    seed
        Of everything that is drawn.
    minutes, iterations
        The budget: exactly one of both.
    clock
        Of the minutes: ``wall``, or ``processor`` where other work would make the wall's clock unfair.
    cases
        Training cases, or None for all.
    changes
        ``part.knob=value`` beyond those of the set and the arm.
    spacing
        Of the working grid in mm, or None for the set's own.
    """

    set: str
    arm: str
    seed: int
    minutes: float | None = None
    iterations: int | None = None
    clock: str = "wall"
    cases: int | None = None
    changes: tuple[str, ...] = ()
    spacing: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """``hippocampus/default/seed0``, with the number of cases when they were cut down."""
        few = f"-cases{self.cases}" if self.cases is not None else ""
        return f"{self.set}/{self.arm}{few}/seed{self.seed}"

    def write(self, folder: Path) -> None:
        """Keep it beside the run's files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SPEC).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Spec:
        """As it was written."""
        fields: dict[str, Any] = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        spacing = fields.get("spacing")
        fields |= {"changes": tuple(fields["changes"]), "spacing": None if spacing is None else tuple(spacing)}
        return cls(**fields)


def standing(spec: Spec, out: Path) -> str:
    """``finished``, ``begun``, ``new``, or ``other``: its folder holds a run with other settings."""
    folder = out / spec.name
    if not (folder / SPEC).is_file():
        return "new"
    if Spec.read(folder) != spec:
        return "other"
    return "finished" if (folder / RESULT).is_file() else "begun"


def all_specs(
    sets: list[str], arms: list[str], seeds: list[int], budget: dict[str, Any], cases: int | None,
    changes: tuple[str, ...], spacing: tuple[float, ...] | None = None,
) -> list[Spec]:  # fmt: skip
    """Every run; the arms of one set and seed stand together, so that they meet the machine in one mood."""
    return [
        Spec(set_name, arm, seed, cases=cases, changes=changes, spacing=spacing, **budget)
        for set_name in sets
        for seed in seeds
        for arm in arms
    ]
