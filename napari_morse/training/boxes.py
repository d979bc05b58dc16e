"""Boxes of training samples in which the native stem runs: the boundary, not the whole window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.points import uncertainty
from napari_morse.model.stem import STRIDE

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
        Voxels that the stem reads.
    inner_start, inner_size
        The part in which points are drawn: around it the stem sees as far as it does at inference.
    """

    start: Tensor
    size: tuple[int, ...]
    inner_start: Tensor
    inner_size: tuple[int, ...]

    def of(self, maps: Tensor) -> Tensor:
        """(B, F, *space) → (B, F, *size)."""
        starts = self.start.tolist()
        cut = [
            item[(slice(None), *(slice(s, s + n) for s, n in zip(start, self.size, strict=True)))]
            for item, start in zip(maps, starts, strict=True)
        ]
        return torch.stack(cut)


def whole_image(maps: CoarseMaps) -> Boxes:
    """All of every image, for a renderer without a stem."""
    start = torch.zeros(len(maps.logits), len(maps.size), dtype=torch.long, device=maps.logits.device)
    return Boxes(start, maps.size, start, maps.size)


def draw_box(maps: CoarseMaps, window: int, reach: int) -> Boxes:
    """Boxes around places that the coarse map doubts.

    Points are drawn in ``window`` voxels per axis; the stem reads ``reach`` more to each side, or the whole axis where
    that is shorter.
    """
    size = tuple(n if n <= window + 2 * reach else (window + 2 * reach) // STRIDE * STRIDE for n in maps.size)
    starts = []
    for logits in maps.full_logits().detach():
        doubt = uncertainty(logits, dim=0).flatten()
        among = torch.randint(len(doubt), (1 if float(torch.rand(1)) < ANYWHERE else DOUBTFUL,)).to(doubt.device)
        centre = torch.unravel_index(among[doubt[among].argmax()], maps.size)
        pairs = zip(centre, size, maps.size, strict=True)
        starts.append([max(0, min(int(c) - n // 2, whole - n)) // STRIDE * STRIDE for c, n, whole in pairs])
    start = torch.tensor(starts, device=maps.logits.device)
    rim = [0 if n == whole else reach for n, whole in zip(size, maps.size, strict=True)]
    inner = tuple(n - 2 * r for n, r in zip(size, rim, strict=True))
    return Boxes(start, size, start + torch.tensor(rim, device=start.device), inner)
