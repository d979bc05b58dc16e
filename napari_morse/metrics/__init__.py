"""How good a mask is: overlap and surface distances in mm; a missed structure is counted, never averaged away."""

from __future__ import annotations

from napari_morse.metrics.overlap import dice
from napari_morse.metrics.surface import SurfaceScores, surface_scores
from napari_morse.metrics.table import MERGED, ClassScore, ClassSummary, score, summarise

__all__ = ["MERGED", "ClassScore", "ClassSummary", "SurfaceScores", "dice", "score", "summarise", "surface_scores"]
