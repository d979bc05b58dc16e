"""Rounds of fine-tuning in a project: which cases, the run beside the window, and what became of the model."""

from napari_morse.session.learn.gather import HEAD_LEARNS_NONE, Candidate, Choice, candidates, new_name, prepare_round
from napari_morse.session.learn.round import GOING_ON, Round, RoundDecision, State, rounds
from napari_morse.session.learn.structures_in_masks import MaskStructures, OpenMask, structures_in_masks

__all__ = [
    "GOING_ON",
    "HEAD_LEARNS_NONE",
    "Candidate",
    "Choice",
    "MaskStructures",
    "OpenMask",
    "Round",
    "RoundDecision",
    "State",
    "candidates",
    "new_name",
    "prepare_round",
    "rounds",
    "structures_in_masks",
]
