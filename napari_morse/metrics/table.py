"""One row per case and structure, and what they say together.

Conventions
-----------
===================== ===== ==== =========== =================== ===============================
truth / prediction    Dice  NSD  HD95, ASD   ``…_or_diagonal``   counted as
===================== ===== ==== =========== =================== ===============================
present / present     value value value (mm) the same value      found
present / empty       0     0    None        the image diagonal  ``missed``
empty / present       0     0    None        the image diagonal  ``spurious``
empty / empty         None  None None        None                ``both_empty``, in no mean
===================== ===== ==== =========== =================== ===============================

So a model can't improve a mean by finding less: Dice, NSD and the ``…_or_diagonal`` distances average over every case
with anything to find or anything found. HD95 and ASD alone average over the cases where both found the structure, and
that number is given with them. The diagonal is that of the whole image, edge to edge; for a plane, in the plane.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_morse.errors import GeometryError
from napari_morse.metrics.overlap import dice
from napari_morse.metrics.surface import BinaryMask, bounding_box, surface_scores
from napari_morse.types import Array

MERGED = 0
"""Id of the row that scores the union of all structures (0 is the background's id and never a structure's)."""


@dataclass(frozen=True)
class ClassScore:
    """One structure of one case; see the module's table for None."""

    id: int
    """Label id, or ``MERGED``."""
    dice: float | None
    hd95: float | None
    """mm."""
    asd: float | None
    """mm."""
    nsd: float | None
    hd95_or_diagonal: float | None
    """mm."""
    asd_or_diagonal: float | None
    """mm."""
    missed: bool = False
    spurious: bool = False
    both_empty: bool = False


@dataclass(frozen=True)
class ClassSummary:
    """One structure over cases: means (None over no case) and the counts behind them."""

    id: int
    n: int
    """Cases = found + missed + spurious + both_empty."""
    found: int
    """Cases over which ``hd95`` and ``asd`` are means; the other means are over found + missed + spurious."""
    missed: int
    spurious: int
    both_empty: int
    dice: float | None
    hd95: float | None
    asd: float | None
    nsd: float | None
    hd95_or_diagonal: float | None
    asd_or_diagonal: float | None


def score(
    pred: Array,
    truth: Array,
    spacing: Sequence[float],
    ids: Sequence[int],
    tolerance: float = 1.0,
    merged: bool = True,
) -> list[ClassScore]:
    """Score one case.

    Parameters
    ----------
    pred, truth
        Label ids, one shape, 2-D or 3-D, on one grid. A 3-D array with an axis of length 1 is scored in its plane.
    spacing
        mm per voxel along each axis of the arrays.
    ids
        Label ids to score, in the order of the rows.
    tolerance
        mm ≥ 0, for NSD.
    merged
        Whether to add a last row for the union of ``ids``, its id ``MERGED``.

    Returns
    -------
    list of ClassScore
        One per id, then the union's.

    Raises
    ------
    GeometryError
        The arrays differ in shape, are neither 2-D nor 3-D, or the spacing doesn't fit them.
    """
    pred, truth, spacing = _planar(*_checked(pred, truth, spacing))
    # Before cropping: a missed structure costs the whole image's diagonal, not that of the box around what was found.
    diagonal = float(np.linalg.norm(np.multiply(pred.shape, spacing)))
    pred_union, truth_union = np.isin(pred, ids), np.isin(truth, ids)
    box = bounding_box(pred_union | truth_union)
    pred, truth = pred[box], truth[box]
    rows = [_row(i, pred == i, truth == i, spacing, tolerance, diagonal) for i in ids]
    if merged:
        rows.append(_row(MERGED, pred_union[box], truth_union[box], spacing, tolerance, diagonal))
    return rows


def _checked(pred: Array, truth: Array, spacing: Sequence[float]) -> tuple[Array, Array, tuple[float, ...]]:
    pred, truth = np.asarray(pred), np.asarray(truth)
    if pred.shape != truth.shape:
        raise GeometryError(
            f"The prediction has shape {pred.shape}, the truth {truth.shape}.", "Compare masks that lie on one grid."
        )
    if pred.ndim not in (2, 3) or len(spacing) != pred.ndim or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise GeometryError(
            f"Masks with {pred.ndim} axes can't be scored with the spacing {tuple(spacing)}.",
            "Give 2-D or 3-D masks and one positive number of mm per axis.",
        )
    return pred, truth, tuple(float(s) for s in spacing)


def _planar(pred: Array, truth: Array, spacing: tuple[float, ...]) -> tuple[Array, Array, tuple[float, ...]]:
    """A volume of one slice as a plane: with neighbours outside in the third axis, every voxel would be surface."""
    if pred.ndim == 2 or 1 not in pred.shape:
        return pred, truth, spacing
    axis = max(a for a, n in enumerate(pred.shape) if n == 1)
    in_plane = tuple(s for a, s in enumerate(spacing) if a != axis)
    return pred.squeeze(axis), truth.squeeze(axis), in_plane


def _row(
    label: int, pred: BinaryMask, truth: BinaryMask, spacing: tuple[float, ...], tolerance: float, diagonal: float
) -> ClassScore:
    in_pred, in_truth = bool(pred.any()), bool(truth.any())
    if not in_pred and not in_truth:
        return ClassScore(label, None, None, None, None, None, None, both_empty=True)
    if not in_pred or not in_truth:
        return ClassScore(label, 0.0, None, None, 0.0, diagonal, diagonal, missed=in_truth, spurious=in_pred)
    surfaces = surface_scores(pred, truth, spacing, tolerance)
    return ClassScore(label, dice(pred, truth), surfaces.hd95, surfaces.asd, surfaces.nsd, surfaces.hd95, surfaces.asd)


def summarise(cases: Iterable[Sequence[ClassScore]]) -> list[ClassSummary]:
    """Means over cases and the counts behind them, one per id in order of first appearance.

    Parameters
    ----------
    cases
        The rows of each case, as ``score`` returns them.
    """
    by_id: dict[int, list[ClassScore]] = {}
    for rows in cases:
        for row in rows:
            by_id.setdefault(row.id, []).append(row)
    return [_summary(label, rows) for label, rows in by_id.items()]


def _summary(label: int, rows: Sequence[ClassScore]) -> ClassSummary:
    missed, spurious = sum(r.missed for r in rows), sum(r.spurious for r in rows)
    both_empty = sum(r.both_empty for r in rows)
    return ClassSummary(
        id=label,
        n=len(rows),
        found=len(rows) - missed - spurious - both_empty,
        missed=missed,
        spurious=spurious,
        both_empty=both_empty,
        dice=_mean(r.dice for r in rows),
        hd95=_mean(r.hd95 for r in rows),
        asd=_mean(r.asd for r in rows),
        nsd=_mean(r.nsd for r in rows),
        hd95_or_diagonal=_mean(r.hd95_or_diagonal for r in rows),
        asd_or_diagonal=_mean(r.asd_or_diagonal for r in rows),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known: NDArray[np.float64] = np.array([v for v in values if v is not None], dtype=np.float64)
    return float(known.mean()) if len(known) else None
