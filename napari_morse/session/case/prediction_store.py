"""What a model said of a project's case, kept in the case's folder and shown again without a second run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from napari_morse.config import LabelEntry
from napari_morse.errors import MorseError
from napari_morse.io.arrays import StoredArrays, load_arrays, save_arrays
from napari_morse.io.mask_store import StoredMask, load_store, save_store
from napari_morse.session.case_files import COARSE, DOUBT, PREDICTION, RENDERED
from napari_morse.session.project import PredictionRecord
from napari_morse.session.run.results_table import result_rows
from napari_morse.types import Array, Label, Mask, Patches, Points, Prediction, Roi, Scan

LEVELS = 255
"""Steps in which the uncertainty, 0 to 1, is kept."""
_POINTS = tuple(field.name for field in fields(Points) if field.name != "experts")
_PATCHES = tuple(field.name for field in fields(Patches) if field.name != "slice_axis")


class _About(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    scan: str
    model: str
    digest: str
    masks: tuple[str, str, str]
    """Digests of the three masks that were written with it."""
    labels: tuple[LabelEntry, ...]
    experts: tuple[str, ...]
    slice_axis: int = Field(ge=0, le=2)
    roi: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    warnings: tuple[str, ...] = ()


def record_of(prediction: Prediction, scan: Scan) -> PredictionRecord:
    """What a prediction says of its case: doubt in mm, disagreement in mm³, sizes in ml."""
    patches = prediction.patches
    differs = int(np.count_nonzero(prediction.coarse.data != prediction.rendered.data))
    return PredictionRecord(
        prediction.model,
        prediction.digest,
        float((patches.length * patches.probability).sum()),
        differs * scan.grid.voxel_volume,
        {row.name: round(row.rendered, 4) for row in result_rows(prediction, scan)},
    )


def keep_prediction(prediction: Prediction, scan_digest: str, folder: Path) -> None:
    """Write a prediction into a case's folder; slow, for any thread.

    Parameters
    ----------
    prediction
        All of it is kept, the uncertainty in `LEVELS` steps.
    scan_digest
        `pixel_digest` of the scan.
    folder
        Of the case; it must be there.

    Raises
    ------
    InputError
        No space, or no right to write.
    """
    doubt = np.rint(np.clip(prediction.uncertainty, 0, 1) * LEVELS).astype(np.uint8)
    said: dict[str, JsonValue] = {"model": prediction.model, "digest": prediction.digest}
    masks = (np.asarray(prediction.coarse.data), np.asarray(prediction.rendered.data), doubt)
    stored = [StoredMask(data, b"", said) for data in masks]
    for part, name in zip(stored, (COARSE, RENDERED, DOUBT), strict=True):
        save_store(part, folder / name)
    # Last, and with the digests of the three: what a crash in between leaves does not fit, and the model is run again.
    save_arrays(StoredArrays(_arrays(prediction), _about(prediction, scan_digest, stored)), folder / PREDICTION)


def kept_prediction(scan: Scan, scan_digest: str, folder: Path) -> Prediction | None:
    """What `keep_prediction` wrote; None when there is nothing whole of this scan: a run makes it again. Slow."""
    if not (folder / PREDICTION).is_file():
        return None
    try:
        found = load_arrays(folder / PREDICTION)
        about = _About.model_validate(found.about)
        stored = [load_store(folder / name) for name in (COARSE, RENDERED, DOUBT)]
        if about.scan != scan_digest or about.masks != tuple(part.digest for part in stored):
            return None
        return _prediction(scan, about, found.arrays, [part.data for part in stored])
    except (MorseError, ValidationError, KeyError):
        return None


def kept_labels(folder: Path) -> tuple[LabelEntry, ...]:
    """The structures of the model that `keep_prediction` wrote of; none where nothing readable lies there."""
    if not (folder / PREDICTION).is_file():
        return ()
    try:
        return _About.model_validate(load_arrays(folder / PREDICTION).about).labels
    except (MorseError, ValidationError):
        return ()


def _about(prediction: Prediction, scan_digest: str, stored: list[StoredMask]) -> dict[str, JsonValue]:
    roi = prediction.roi
    labels = tuple(LabelEntry(id=x.id, name=x.name, color=x.color, code=x.code) for x in prediction.rendered.labels)
    about = _About(
        scan=scan_digest, model=prediction.model, digest=prediction.digest, labels=labels,
        masks=(stored[0].digest, stored[1].digest, stored[2].digest), experts=prediction.points.experts,
        slice_axis=prediction.patches.slice_axis, roi=None if roi is None else (roi.start, roi.stop),
        warnings=prediction.warnings,
    )  # fmt: skip
    said: dict[str, JsonValue] = about.model_dump(mode="json")
    return said


def _arrays(prediction: Prediction) -> dict[str, Array]:
    points = {f"points.{name}": np.asarray(getattr(prediction.points, name)) for name in _POINTS}
    return points | {f"patches.{name}": np.asarray(getattr(prediction.patches, name)) for name in _PATCHES}


def _prediction(scan: Scan, about: _About, arrays: Any, masks: list[Array]) -> Prediction:
    labels = tuple(Label(x.id, x.name, x.color, x.code) for x in about.labels)
    coarse, rendered, doubt = masks
    points: dict[str, Any] = {name: arrays[f"points.{name}"] for name in _POINTS}
    patches: dict[str, Any] = {name: arrays[f"patches.{name}"] for name in _PATCHES}
    return Prediction(
        Mask(coarse, scan.grid, labels, scan.header),
        Mask(rendered, scan.grid, labels, scan.header),
        np.divide(doubt, LEVELS, dtype=np.float32),
        Points(**points, experts=about.experts),
        about.model,
        about.digest,
        None if about.roi is None else Roi(*about.roi),
        warnings=about.warnings,
        patches=Patches(**patches, slice_axis=about.slice_axis),
    )
