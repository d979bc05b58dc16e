"""A prediction as files: both masks, and points and patches as tables."""

from __future__ import annotations

import csv
import io as text_io
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.io import save_mask
from napari_morse.io.atomic import write_text
from napari_morse.types import Label, Patches, Points, Prediction, Scan


def save_prediction(prediction: Prediction, scan: Scan, folder: Path) -> list[Path]:
    """Write ``<case>_coarse.nii.gz``, ``<case>_rendered.nii.gz``, ``<case>_points.csv`` and ``<case>_patches.csv``.

    Pictures also get both masks as PNG. What is there is written over; `written_files.save_safely` looks first.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        When the folder cannot be written to.
    """
    make_folder(folder)
    masks = {"coarse": prediction.coarse, "rendered": prediction.rendered}
    *mask_files, points, patches = output_files(scan.stem, folder, scan.is_picture)
    for path in mask_files:
        kind = "coarse" if path.name.startswith(f"{scan.stem}_coarse.") else "rendered"
        save_mask(masks[kind], path, original=scan.source)
    write_text(points, points_csv(prediction.points))
    write_text(patches, patches_csv(prediction.patches, prediction.rendered.labels))
    return [*mask_files, points, patches]


def make_folder(folder: Path) -> None:
    """Make a folder, where it is not there.

    Raises
    ------
    InputError
        When it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made.", "Choose a folder that you may write to.") from error


def output_files(stem: str, folder: Path, picture: bool = True) -> list[Path]:
    """What `save_prediction` writes for a case: its masks, then its tables."""
    endings = (".nii.gz", ".png") if picture else (".nii.gz",)
    masks = [folder / f"{stem}_{kind}{ending}" for kind in ("coarse", "rendered") for ending in endings]
    return [*masks, folder / f"{stem}_points.csv", folder / f"{stem}_patches.csv"]


def points_csv(points: Points) -> str:
    """One line a point: voxel (storage order), mm (RAS+), margin, label before and after, experts' weights."""
    out = text_io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f"weight_{name}" for name in points.experts]
    writer.writerow(["i", "j", "k", "x_mm", "y_mm", "z_mm", "margin", "before", "after", *names])
    rows = zip(
        points.voxel.tolist(), points.mm.tolist(), points.margin.tolist(), points.before.tolist(),
        points.after.tolist(), points.expert_weights.tolist(), strict=True,
    )  # fmt: skip
    for voxel, mm, margin, before, after, weights in rows:
        places = [f"{v:.4f}" for v in mm]
        writer.writerow([*voxel, *places, f"{margin:.4f}", before, after, *(f"{w:.4f}" for w in weights)])
    return out.getvalue()


def patches_csv(patches: Patches, labels: tuple[Label, ...]) -> str:
    """One line a patch, the most doubtful first.

    Rank from 1, length in mm, mean and largest probability of error, label ids and names on both sides, the centre as
    voxel (storage order) and in mm (RAS+), the worst voxel, and how many boundary voxels.
    """
    names = {0: "background"} | {label.id: label.name for label in labels}
    out = text_io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["rank", "length_mm", "probability", "highest", "label", "other", "structure", "beside",
                     "i", "j", "k", "x_mm", "y_mm", "z_mm", "worst_i", "worst_j", "worst_k", "voxels"])  # fmt: skip
    columns = (
        patches.length, patches.probability, patches.highest, patches.label, patches.other, patches.centre, patches.mm,
        patches.worst, patches.voxels,
    )  # fmt: skip
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for rank, (length, mean, highest, label, other, centre, mm, worst, voxels) in enumerate(rows, start=1):
        sides = [label, other, names.get(label, f"label {label}"), names.get(other, f"label {other}")]
        places = [*centre, *(f"{v:.4f}" for v in mm), *worst]
        writer.writerow([rank, f"{length:.4f}", f"{mean:.4f}", f"{highest:.4f}", *sides, *places, voxels])
    return out.getvalue()
