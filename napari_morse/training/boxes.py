"""Boxes of training samples in which the native stem runs: the boundary, not the whole window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.points import uncertainty
from napari_morse.model.stem import BLOCK

ANYWHERE = 0.1
"""Share of the boxes that lie anywhere; the others hold a doubtful voxel."""
DOUBTFUL = 64
"""Candidates, of which the most doubtful becomes a box's centre."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """One box per image, all of one size.

    Parameters
    ----------
    start
        (B, d) int64 first voxel, a multiple of the stem's block.
    size
        Voxels.
    """

    start: Tensor
    size: tuple[int, ...]

    def of(self, maps: Tensor) -> Tensor:
        """(B, F, *space) → (B, F, *size)."""
        starts = self.start.tolist()
        cut = [
            item[(slice(None), *(slice(s, s + n) for s, n in zip(start, self.size, strict=True)))]
            for item, start in zip(maps, starts, strict=True)
        ]
        return torch.stack(cut)


def draw_box(maps: CoarseMaps, window: int) -> Boxes:
    """Boxes of at most ``window`` voxels per axis around places that the coarse map doubts."""
    size = tuple(min(n, window) // BLOCK * BLOCK or n for n in maps.size)
    starts = []
    for logits in maps.full_logits().detach():
        doubt = uncertainty(logits, dim=0).flatten()
        among = torch.randint(len(doubt), (1 if float(torch.rand(1)) < ANYWHERE else DOUBTFUL,)).to(doubt.device)
        centre = torch.unravel_index(among[doubt[among].argmax()], maps.size)
        pairs = zip(centre, size, maps.size, strict=True)
        starts.append([max(0, min(int(c) - n // 2, whole - n)) // BLOCK * BLOCK for c, n, whole in pairs])
    return Boxes(torch.tensor(starts, device=maps.logits.device), size)
