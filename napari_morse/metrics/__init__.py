"""How good a mask is: overlap and surface distances in mm; a missed structure is counted, never averaged away.

And how far its doubt can be trusted: boundary patches, calibration, what the first of the list hold.
"""

from __future__ import annotations

from napari_morse.metrics.doubt import auroc, calibration_error, captured
from napari_morse.metrics.overlap import dice
from napari_morse.metrics.patches import Partition, boundary, partition
from napari_morse.metrics.ranked import doubtful_patches
from napari_morse.metrics.surface import SurfaceScores, surface_scores
from napari_morse.metrics.table import MERGED, ClassScore, ClassSummary, score, summarise

__all__ = [
    "MERGED",
    "ClassScore",
    "ClassSummary",
    "Partition",
    "SurfaceScores",
    "auroc",
    "boundary",
    "calibration_error",
    "captured",
    "dice",
    "doubtful_patches",
    "partition",
    "score",
    "summarise",
    "surface_scores",
]
