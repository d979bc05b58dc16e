"""How far from the coarse border a tuned head must look: as far as the corrections lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from napari_morse.config import ModelCard, Recipe
from napari_morse.model.morse import Morse
from napari_morse.training.examples import Example
from napari_morse.training.finetuning.source import UNREVIEWED
from napari_morse.training.validation import from_stack, run_case

MOST = 12.0
"""Largest margin of logits below which voxels are predicted again."""
COVERED = 95.0
"""Percent of the corrected voxels that shall lie within it."""


def widened(recipe: Recipe, base: Morse, examples: Sequence[Example], card: ModelCard) -> Recipe:
    """The recipe with ``render.uncertain_below`` so large that the voxels which the coarse mask has wrong lie within.

    A head that is trained alone cannot reach what is never predicted again.
    """
    margins = [_wrong(base, example, card) for example in examples]
    found = np.concatenate(margins) if margins else np.empty(0)
    bound = recipe.render.uncertain_below
    if found.size:
        bound = float(np.clip(np.percentile(found, COVERED), bound, max(MOST, bound)))
    render = recipe.render.model_copy(update={"uncertain_below": round(bound, 3)})
    return recipe.model_copy(update={"render": render})


def _wrong(base: Morse, example: Example, card: ModelCard) -> np.ndarray:
    case = example.case
    found = run_case(base, case, card.spacing, card.slice_axis)
    two = torch.topk(found.before.cpu(), 2, dim=0).values
    margin = from_stack((two[0] - two[1]).numpy(), card.slice_axis)
    coarse = from_stack(found.coarse, card.slice_axis)
    wrong: np.ndarray = margin[(coarse != case.labels) & (example.codes != UNREVIEWED)]
    return wrong
