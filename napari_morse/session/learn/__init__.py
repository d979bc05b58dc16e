"""Rounds of fine-tuning in a project: which cases, the run beside the window, and what became of the model."""

from napari_morse.session.learn.gather import Candidate, Choice, candidates, prepare
from napari_morse.session.learn.round import Round, rounds
from napari_morse.session.learn.structures_in_masks import MaskStructures, OpenMask, structures_in_masks

__all__ = [
    "Candidate",
    "Choice",
    "MaskStructures",
    "OpenMask",
    "Round",
    "candidates",
    "prepare",
    "rounds",
    "structures_in_masks",
]
