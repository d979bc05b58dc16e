"""Whether the cases have the other contrast than what the base model was trained on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_morse.config import ModelCard
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase
from napari_morse.training.validation import dice_or_one, from_stack, inverted, run_case, upright
from napari_morse.zoo import LoadedModel

GOOD = 0.75
"""Dice, of all structures together, from which on the base model plainly knows such scans."""
BETTER = 0.1
"""Dice that it must gain on an inverted scan, to know that one better."""
SURE_CASES = 0.8
"""Share of the cases whose contrast the base model must tell by itself."""


def either_contrast(base: LoadedModel, cases: Sequence[TrainingCase]) -> LoadedModel:
    """The model, reading scans of both contrasts where most of the cases have the one that it does not know.

    To learn the other contrast from a few cases costs the first one, whose scans nobody has any more; a network that
    tells by itself which one it knows loses nothing.

    Parameters
    ----------
    base
        The model; it stays as it is.
    cases
        With their truths, at the model's spacing.
    """
    other = [_known_inverted(base.net, case, base.card) for case in cases]
    if not other or np.mean(other) <= 0.5:
        return base
    either = reading_either(base)
    told = [
        upright(either.net, case, base.card.spacing, base.card.slice_axis) is not case
        for case, inverse in zip(cases, other, strict=True) if inverse
    ]  # fmt: skip
    return either if np.mean(told) >= SURE_CASES else base


def reading_either(base: LoadedModel) -> LoadedModel:
    """The same weights, reading scans of either contrast."""
    net = copy.deepcopy(base.net)
    net.recipe = base.card.recipe.model_copy(update={"contrast": "either"})
    card = base.card.model_copy(update={"recipe": net.recipe})
    return replace(base, info=replace(base.info, card=card), net=net)


def _known_inverted(base: Morse, case: TrainingCase, card: ModelCard) -> bool:
    plain = _dice(base, case, card)
    return plain < GOOD and _dice(base, inverted(case), card) > plain + BETTER


def _dice(net: Morse, case: TrainingCase, card: ModelCard) -> float:
    mask = from_stack(run_case(net, case, card.spacing, card.slice_axis).rendered, card.slice_axis)
    return dice_or_one(mask > 0, case.labels > 0)
