"""Whether the cases have the other contrast than what the base model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_morse.config import ModelCard
from napari_morse.model.morse import Morse
from napari_morse.training.cases import Case
from napari_morse.training.judge import dice, from_stack, run_case

SHARE = 0.5
"""Of the samples that are shown inverted then."""
GOOD = 0.75
"""Dice, of all structures together, from which on the base model plainly knows such scans."""


def inverted_share(base: Morse, cases: Sequence[Case], card: ModelCard) -> float:
    """Share of the samples to show with inverted grey levels: none, unless the base model reads most cases better so.

    Without it a model tuned on inverted scans forgets the others: nobody has the base model's data to replay.
    """
    better = [_better_inverted(base, case, card) for case in cases]
    return SHARE if better and float(np.mean(better)) > 0.5 else 0.0


def _better_inverted(base: Morse, case: Case, card: ModelCard) -> bool:
    plain = _dice(base, case, card)
    if plain >= GOOD:
        return False
    turned = replace(case, image=-case.image, others=tuple(-other for other in case.others))
    return _dice(base, turned, card) > plain + 0.1


def _dice(net: Morse, case: Case, card: ModelCard) -> float:
    mask = from_stack(run_case(net, case, card.spacing, card.slice_axis).rendered, card.slice_axis)
    return dice(mask > 0, case.labels > 0)
