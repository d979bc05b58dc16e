"""A prediction as files: both masks, and the points as a table."""

from __future__ import annotations

import csv
import io as text_io
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.io import save_mask
from napari_morse.io.atomic import write_text
from napari_morse.types import Points, Prediction, Scan


def save_prediction(prediction: Prediction, scan: Scan, folder: Path) -> list[Path]:
    """Write ``<case>_coarse.nii.gz``, ``<case>_rendered.nii.gz`` and ``<case>_points.csv``.

    Pictures also get both masks as PNG.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        When the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made.", "Choose a folder that you may write to.") from error
    masks = {"coarse": prediction.coarse, "rendered": prediction.rendered}
    *mask_files, table = output_files(scan.stem, folder, scan.is_picture)
    for path in mask_files:
        kind = "coarse" if path.name.startswith(f"{scan.stem}_coarse.") else "rendered"
        save_mask(masks[kind], path, original=scan.source)
    write_text(table, points_csv(prediction.points))
    return [*mask_files, table]


def output_files(stem: str, folder: Path, picture: bool = True) -> list[Path]:
    """What `save_prediction` writes for a case: its masks, then its table."""
    endings = (".nii.gz", ".png") if picture else (".nii.gz",)
    masks = [folder / f"{stem}_{kind}{ending}" for kind in ("coarse", "rendered") for ending in endings]
    return [*masks, folder / f"{stem}_points.csv"]


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
