"""Validation: both masks of every held-out case, through the code that users run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_morse.geometry.orientation import AXES
from napari_morse.inference.engine import frame_of
from napari_morse.inference.polarity import choose_polarity
from napari_morse.inference.rendering import Rendering, segment
from napari_morse.metrics import MERGED, score
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase
from napari_morse.types import Array


@dataclass(frozen=True)
class Validation:
    """Means over validation cases.

    Parameters
    ----------
    dice
        Mean over classes of the rendered Dice: what the best checkpoint is chosen by; 0 unless ``finite``.
    figures
        ``coarse_dice_1``, ``rendered_asd_merged``, … ; ASD in mm.
    finite
        Whether all that the network said are numbers: masks made of others look like masks, too.
    """

    dice: float
    figures: dict[str, float]
    finite: bool = True


def judge(
    net: Morse, cases: list[TrainingCase], spacing: tuple[float, ...], slice_axis: str | None, full: bool = False
) -> Validation:
    """Score a network; ``full`` adds surface distances and NSD at 1 mm of the merged structure."""
    net.eval()
    classes = tuple(range(1, net.recipe.backbone.classes))
    rows: dict[str, list[float]] = {}
    finite = True
    for case in cases:
        result = run_case(net, case, spacing, slice_axis)
        finite = finite and result.finite
        for kind, mask in (("coarse", result.coarse), ("rendered", result.rendered)):
            volume = from_stack(mask, slice_axis)
            for name, value in _figures(volume, case, classes, full):
                rows.setdefault(f"{kind}_{name}", []).append(value)
    means = {name: float(np.mean(values)) for name, values in rows.items()}
    # The rendered masks decide: with the coarse ones the renderer would have no say in the moment that is kept.
    dice = float(np.mean([means[f"rendered_dice_{c}"] for c in classes])) if finite else 0.0
    return Validation(dice, means, finite)


def _figures(volume: Array, case: TrainingCase, classes: tuple[int, ...], full: bool) -> list[tuple[str, float]]:
    found = [(f"dice_{c}", dice_or_one(volume == c, case.labels == c)) for c in classes]
    if full:
        merged = next(s for s in score(volume, case.labels, case.spacing, classes, merged=True) if s.id == MERGED)
        found += [("dice_merged", merged.dice or 0.0), ("asd_merged", merged.asd_or_diagonal or 0.0)]
        found += [("nsd_merged", merged.nsd or 0.0), ("hd95_merged", merged.hd95_or_diagonal or 0.0)]
    return found


def dice_or_one(mask: Array, truth: Array) -> float:
    """Dice of two boolean arrays; 1 when both are empty."""
    total = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(mask & truth)) / total if total else 1.0


def run_case(net: Morse, case: TrainingCase, spacing: tuple[float, ...], slice_axis: str | None) -> Rendering:
    """Both masks of a case, as stacks."""
    stack, own = _stack(case, slice_axis)
    return segment(net, stack, own, spacing)


def upright(net: Morse, case: TrainingCase, spacing: tuple[float, ...], slice_axis: str | None) -> TrainingCase:
    """The case as the network takes it: with inverted grey levels, where its recipe reads either and it is surer so."""
    stack, own = _stack(case, slice_axis)
    turned, _ = choose_polarity(net, stack, frame_of(stack, own, spacing, net))
    return inverted(case) if turned else case


def inverted(case: TrainingCase) -> TrainingCase:
    """The same case with inverted grey levels, in all channels."""
    return replace(case, image=-case.image, others=tuple(-other for other in case.others))


def _stack(case: TrainingCase, slice_axis: str | None) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """What the engine reads, and the mm of its axes."""
    if slice_axis is None:
        return case.pixels[None], case.spacing
    axis = AXES[slice_axis]
    plane = tuple(s for a, s in enumerate(case.spacing) if a != axis)
    # Counted from the end: a stack of several channels holds them behind its slices.
    return np.moveaxis(case.pixels, axis - 3, 0), plane


def from_stack(stack: Array, slice_axis: str | None) -> Array:
    """(B, *space) stack → (X, Y, Z)."""
    return stack[0] if slice_axis is None else np.moveaxis(stack, 0, AXES[slice_axis])


def at_spacing(case: TrainingCase, spacing: tuple[float, ...], slice_axis: str | None) -> TrainingCase:
    """The case at a model's spacing (mm); across the slices of a 2-D model, at its own."""
    if slice_axis is None:
        return case.resampled(spacing)
    axis = AXES[slice_axis]
    return case.resampled((*spacing[:axis], case.spacing[axis], *spacing[axis:]))
