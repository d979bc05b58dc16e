"""A case's mask as a round learns from it or is judged by it: copied into the round, with what nobody looked at."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_morse.errors import CancelledError, InputError, MorseError
from napari_morse.io import save_mask
from napari_morse.io.mask_store import pixel_digest
from napari_morse.session.case.masks import load_masks
from napari_morse.session.case.prediction_store import kept_prediction
from napari_morse.session.project import Case, Project
from napari_morse.training.source import CODE_UNREVIEWED, Source
from napari_morse.types import Array, Mask, Roi, Scan


class UnknownLabelError(InputError):
    """A mask holds a label that the model does not know."""


@dataclass(frozen=True)
class MaskSnapshot:
    """Files of a case in a round, and the ids above 0 that its mask holds, in order."""

    source: Source
    ids: tuple[int, ...]


def snapshot_mask(
    project: Project, case: Case, folder: Path, known: AbstractSet[int] | None, cancelled: Callable[[], bool]
) -> MaskSnapshot:
    """Copy the mask of a case into a round's folder.

    Parameters
    ----------
    project, case
        Whose mask.
    folder
        Of the round.
    known
        Ids that the mask may hold; None: any.
    cancelled
        Asked first.

    Raises
    ------
    UnknownLabelError
        The mask holds another id; nothing is copied.
    InputError, GeometryError
        The case cannot be read, or has no mask.
    CancelledError
        ``cancelled`` said so.
    """
    if cancelled():
        raise CancelledError
    masks = load_masks(project, case)
    data = masks.truth if case.held_out else (masks.final[1] if masks.final is not None else None)
    if data is None:
        raise InputError(f"{case.stem} has no mask to learn from.", "Open it and correct or accept its mask.")
    ids = ids_in(data)
    stray = [number for number in ids if known is not None and number not in known]
    if stray:
        raise UnknownLabelError(
            f"{case.stem} holds the label {stray[0]}, which the model does not know.",
            "Let the round learn new structures, or leave the case out.",
        )
    labels = folder / "labels" / f"{case.id}.nii.gz"
    labels.parent.mkdir(parents=True, exist_ok=True)
    save_mask(Mask(data, masks.scan.grid, ()), labels)
    codes = None if case.held_out else _codes(project, case, masks.scan, folder)
    return MaskSnapshot(
        Source(
            name=case.id, scan=project.scan_of(case.id), labels=labels, patient=case.patient or case.id, codes=codes
        ),
        ids,
    )


def ids_in(mask: Array) -> tuple[int, ...]:
    """(I, J, K) label ids → those above 0, in order."""
    return tuple(int(number) for number in np.unique(mask) if number)


def _codes(project: Project, case: Case, scan: Scan, folder: Path) -> Path | None:
    """Where a run read a region only, nobody looked outside of it."""
    try:
        prediction = kept_prediction(scan, pixel_digest(scan.data), project.folder_of(case.id))
    except MorseError:
        return None
    if prediction is None or prediction.roi is None:
        return None
    path = folder / "reviewed" / f"{case.id}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_mask(Mask(_outside(scan.grid.shape, prediction.roi), scan.grid, ()), path)
    return path


def _outside(shape: tuple[int, ...], roi: Roi) -> Array:
    codes = np.full(shape, CODE_UNREVIEWED, np.uint8)
    codes[roi.slices] = 0
    return codes
