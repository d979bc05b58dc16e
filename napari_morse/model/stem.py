"""A light look at the image's own resolution around the boundary: what the coarse pass could not see."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 2
"""Voxels per axis that are folded into channels: the convolutions run on an eighth of the voxels and lose none."""


class NativeStem(nn.Module):
    """A few convolutions over the image and the coarse probabilities.

    It holds no normalisation over space and sees ``reach`` voxels to each side, so its answer at a voxel is the same in
    every block of voxels that reaches so far around it and starts at a multiple of ``STRIDE``.

    Parameters
    ----------
    dims, channels, classes
        d, channels of the image, C.
    width
        Maps of each layer.
    layers
        Residual layers after a first plain one.
    outputs
        H, maps at every voxel.
    """

    def __init__(self, dims: int, channels: int, classes: int, width: int, layers: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv3d if dims == 3 else nn.Conv2d
        fold = STRIDE**dims
        self.first = conv((channels + classes) * fold, width, 3, padding=1)
        self.layers = nn.ModuleList(conv(width, width, 3, padding=1) for _ in range(layers))
        self.last = conv(width, outputs * fold, 1)
        self.outputs = outputs
        # In blocks: one for each 3-wide convolution, and one more, as a voxel may lie at either end of its own block.
        self.reach = STRIDE * (2 + layers)

    def forward(self, pixels: Tensor, logits: Tensor) -> Tensor:
        """(B, channels, *space) normalised image and (B, C, *space) coarse logits → (B, H, *space)."""
        size = pixels.shape[2:]
        seen = torch.cat([pixels, logits.softmax(dim=1)], dim=1)
        short = [n % STRIDE for n in size]
        if any(short):
            # Behind the end only: padding in front would fold other voxels together. `F.pad` counts from the last axis.
            seen = F.pad(seen, [p for s in reversed(short) for p in (0, s)], mode="replicate")
        x = self.first(folded(seen)).relu()
        for layer in self.layers:
            x = x + layer(x).relu()
        return unfolded(self.last(x))[(slice(None), slice(None), *(slice(0, n) for n in size))]


def folded(maps: Tensor) -> Tensor:
    """(B, F, *space) → (B, F·STRIDE^d, *space / STRIDE): blocks of voxels become channels."""
    batch, channels, *size = maps.shape
    dims = len(size)
    split = maps.reshape(batch, channels, *(n for s in size for n in (s // STRIDE, STRIDE)))
    order = [0, 1, *range(3, 3 + 2 * dims, 2), *range(2, 2 + 2 * dims, 2)]
    return split.permute(order).reshape(batch, channels * STRIDE**dims, *(s // STRIDE for s in size))


def unfolded(maps: Tensor) -> Tensor:
    """The inverse of `folded`."""
    batch, channels, *cells = maps.shape
    dims = len(cells)
    split = maps.reshape(batch, channels // STRIDE**dims, *[STRIDE] * dims, *cells)
    order = [0, 1, *(axis for a in range(dims) for axis in (2 + dims + a, 2 + a))]
    return split.permute(order).reshape(batch, channels // STRIDE**dims, *(n * STRIDE for n in cells))
