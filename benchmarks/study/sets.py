"""The four sets, and the one table of sizes at which they are trained here.

The sizes are small on purpose: a run is to give a decent model after 4 to 6 minutes on one core. Every one is a
``--set`` change of a recipe, and can be overridden by another on the command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_morse.io import open_mask, open_scan
from napari_morse.training.cases import pair_files
from napari_morse.types import Mask, Scan


@dataclass(frozen=True)
class Set:
    """A set and how it is trained.

    Parameters
    ----------
    name
        Of its folder.
    dims
        Of the models.
    changes
        Of every recipe, whatever the arm: ``part.knob=value``.
    slice_axis, spacing
        As `TrainingRun` takes them; None for the median spacing.
    unit
        ``mm``, or ``voxel`` where the files do not say how large a voxel truly is.
    patient_is_prefix
        Whether a case is named ``patient_something``; otherwise each case is a patient.
    val
        Validation cases that choose the checkpoint, the first of the set's list: all of them would eat the budget.
    one_piece
        Whether models keep the largest connected piece: there is one heart in a scan.
    licence, attribution
        For the models' cards.
    """

    name: str
    dims: int
    changes: tuple[str, ...]
    slice_axis: str | None = None
    spacing: tuple[float, ...] | None = None
    unit: str = "mm"
    patient_is_prefix: bool = False
    val: int = 100
    one_piece: bool = False
    licence: str = "benchmark only"
    attribution: str = ""


SETS = {
    s.name: s
    for s in (
        Set(
            "hippocampus",
            3,
            ("backbone.filters=[16,32,64]", "train.validate_every=300"),
            val=10,
            licence="CC BY-SA 4.0",
            attribution="Medical Segmentation Decathlon, Task04 (Simpson et al. 2019, Antonelli et al. 2022)",
        ),
        # Cells of 2.5 mm, a quarter of the scan's resolution; points are rendered on the scan's own 0.625 mm.
        Set(
            "left_atrium",
            3,
            (
                "backbone.filters=[16,32,64]",
                "backbone.stem=pooled",
                "backbone.stem_stride=2",
                "train.window=[96,80,48]",
                "render.points=4096",
                "train.batch=1",
                "train.validate_every=300",
            ),
            spacing=(1.25, 1.25, 1.25),
            val=3,
            one_piece=True,
        ),
        Set(
            "acdc",
            2,
            (
                "backbone.filters=[16,32,64,128]",
                "train.window=[160,160]",
                "train.batch=4",
                "render.points=2048",
                "train.validate_every=500",
            ),
            slice_axis="S",
            unit="voxel",
            patient_is_prefix=True,
            val=4,
            one_piece=True,
        ),
        # A thin ring on 64 x 64 pixels: a coarse pass on every second pixel cannot resolve it.
        Set(
            "myocardium2d",
            2,
            (
                "backbone.filters=[16,32,64,96]",
                "backbone.stem_stride=1",
                "train.window=[64,64]",
                "train.batch=8",
                "render.points=768",
                "train.validate_every=300",
            ),
            slice_axis="S",
            unit="voxel",
            patient_is_prefix=True,
            licence="CC0 1.0",
            attribution="Sunnybrook Cardiac Data (Radau et al. 2009)",
        ),
    )
}


def patient_of(chosen: Set, stem: str) -> str:
    """Whose case it is: what the paired tests count."""
    return stem.split("_", maxsplit=1)[0] if chosen.patient_is_prefix else stem


def split_of(folder: Path, chosen: Set, cases: int | None) -> dict[str, list[str]]:
    """Names for training, choosing and testing; ``cases`` keeps the first so many for training, evenly spread."""
    written = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    train = list(written["train"])
    if cases is not None:
        train = [train[k * len(train) // cases] for k in range(min(cases, len(train)))]
    return {"train": train, "val": list(written["val"])[: chosen.val], "test": list(written["test"])}


def open_cases(folder: Path, names: Iterable[str]) -> Iterable[tuple[str, Scan, Mask]]:
    """(stem, scan, truth) one after the other."""
    pairs = pair_files(folder / "images", folder / "labels")
    for name in names:
        stem = name.removesuffix(".gz").removesuffix(".nii").removesuffix(".png")
        scan, truth = pairs[stem]
        yield stem, open_scan(scan), open_mask(truth)


def spacing_of(chosen: Set, truth: Mask) -> tuple[float, float, float]:
    """Of the scores: mm, or 1 where the geometry is nominal."""
    return truth.grid.spacing if chosen.unit == "mm" else (1.0, 1.0, 1.0)


def tolerance_of(chosen: Set, truth: Mask) -> float:
    """One voxel, in the unit of the set."""
    return min(spacing_of(chosen, truth))
