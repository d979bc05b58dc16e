"""How far a run has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

COARSE_SHARE = 0.8
"""Of a run with one view, how much the coarse pass takes, for the progress bar."""
PATCHES_FROM = 0.97
"""Where the progress bar stands when the boundary is cut into patches."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come: ``done`` of ``total`` steps (windows, blocks of points, patches) of a stage.

    ``coarse_share`` is the share of the run that the stage ``coarse`` takes.
    """

    stage: str
    done: int
    total: int
    coarse_share: float = COARSE_SHARE

    @property
    def fraction(self) -> float:
        """Share of the whole run, 0 to 1."""
        stages = {"coarse": (0.0, self.coarse_share), "render": (self.coarse_share, PATCHES_FROM)}
        start, stop = stages.get(self.stage, (PATCHES_FROM, 1.0))
        return start + (stop - start) * self.done / max(self.total, 1)


def teller(stage: str, share: float, progress: Callable[[Progress], None] | None) -> Callable[[int, int], None] | None:
    """Tells of a stage by steps."""
    if progress is None:
        return None
    return lambda done, total: progress(Progress(stage, done, total, share))
