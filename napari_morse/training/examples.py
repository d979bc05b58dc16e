"""Cases as they are trained on: what a person reviewed of them, and what they changed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_morse.config import ModelCard
from napari_morse.errors import GeometryError, InputError
from napari_morse.geometry.orientation import AXES, RAS, axes_to
from napari_morse.io import open_mask
from napari_morse.metrics.surface import bounding_box
from napari_morse.training.cases import TrainingCase, load_case
from napari_morse.training.source import CODE_CORRECTED, CODE_PLAIN, CODE_UNREVIEWED, Source

AROUND = 0.5
"""Training windows around what was looked at that are read too."""


@dataclass(frozen=True, eq=False)
class Example:
    """One case as it is trained on.

    Parameters
    ----------
    case
        Image and class indices along R, A, S at the model's spacing.
    codes
        (X, Y, Z) uint8, one of the codes for each voxel.
    replay
        Whether it was trained on in an earlier round.
    """

    case: TrainingCase
    codes: NDArray[np.uint8]
    replay: bool = False


def whole(case: TrainingCase) -> Example:
    """A case of which every voxel is as good as any: what a model is trained on from labels alone."""
    return Example(case, np.broadcast_to(np.uint8(CODE_PLAIN), case.labels.shape))  # one byte, however large the scan


def load_example(source: Source, card: ModelCard, replay: bool = False) -> Example:
    """Read a case for a model: its labels are the model's, its grid the model's.

    Raises
    ------
    GeometryError, InputError
        As `load_case`; or the codes do not lie on the scan's voxels.
    """
    ids = tuple(entry.id for entry in card.labels)
    case = load_case(source.scan, source.labels, ids, card.intensity, len(card.channels))
    if card.slice_axis is not None and 1 in case.labels.shape:
        raise InputError(f"{source.name} is a single slice, and tuning reads volumes.", "Leave it out.")
    case, codes = _seen(case, codes_of(source, case), card)
    target = card.spacing
    if card.slice_axis is not None:
        axis = AXES[card.slice_axis]
        target = (*target[:axis], case.spacing[axis], *target[axis:])
    joined = TrainingCase(case.stem, case.image, case.labels, case.spacing, case.skewness, case.others).resampled(
        target
    )
    # By the way that labels go, the nearest voxel: each code stays on the label that it is about.
    marks = TrainingCase(case.stem, case.image, codes, case.spacing, case.skewness).resampled(target).labels
    return Example(joined, marks, replay)


def _seen(case: TrainingCase, codes: NDArray[np.uint8], card: ModelCard) -> tuple[TrainingCase, NDArray[np.uint8]]:
    """The part of a scan that somebody looked at, with what a training window sees around it."""
    seen = codes != CODE_UNREVIEWED
    if seen.all():
        return case, codes
    if not seen.any():
        raise InputError(f"Nobody looked at any part of {case.stem}.", "Leave it out.")
    reach = [math.ceil(AROUND * max(card.recipe.train.window) * max(card.spacing) / s) for s in case.spacing]
    box = tuple(slice(max(0, part.start - r), part.stop + r) for part, r in zip(bounding_box(seen), reach, strict=True))
    # Copies: a view would keep the whole scan in memory.
    image, others = case.image[box].copy(), tuple(other[box].copy() for other in case.others)
    return replace(case, image=image, labels=case.labels[box].copy(), others=others), codes[box].copy()


def codes_of(source: Source, case: TrainingCase) -> NDArray[np.uint8]:
    """(X, Y, Z) what was reviewed of a case, on its own grid: one of the codes of `source` for each voxel.

    Raises
    ------
    GeometryError
        They do not lie on the scan's voxels.
    """
    if source.codes is None:
        return np.zeros(case.labels.shape, np.uint8)
    mask = open_mask(source.codes)
    codes = np.ascontiguousarray(axes_to(mask.grid, RAS).to_view(mask.data)).astype(np.uint8)
    if codes.shape != case.labels.shape:
        raise GeometryError(f"What was reviewed of {source.name} does not lie on its scan.", "Accept the case again.")
    return codes


def marked(example: Example, base: NDArray[np.uint8]) -> Example:
    """The example with reviewed voxels that the base model labels otherwise marked as corrected."""
    codes = example.codes.copy()
    codes[(codes == CODE_PLAIN) & (base != example.case.labels)] = CODE_CORRECTED
    return Example(example.case, codes, example.replay)
