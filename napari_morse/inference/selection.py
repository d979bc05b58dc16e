"""Which voxels are predicted again when a recipe says how many: the M most uncertain of every image."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_morse.config import RenderConfig
from napari_morse.inference.voxel_scan import labels_and_margins, smallest


def most_uncertain(logits: Tensor, count: int) -> Tensor:
    """Flat indices into (B, *space) of the most uncertain voxels of every image, most doubtful first.

    Parameters
    ----------
    logits
        (C, B, *space).
    count
        M; an image with fewer voxels gives all.

    Returns
    -------
    Tensor
        (B · min(M, voxels),) int64.
    """
    voxels = logits[0, 0].numel()
    margins = labels_and_margins(logits)[1].view(-1, voxels)
    flat = torch.cat([smallest(one, min(count, voxels)) + voxels * number for number, one in enumerate(margins)])
    # `smallest` gives them by place; stable, so that equal margins stay so and each run chooses alike.
    return flat[margins.flatten()[flat].argsort(stable=True)]


def count_of(config: RenderConfig, voxels: int) -> int:
    """M of an image of so many voxels: as a number, or as a share of them."""
    return config.test_points or max(1, int(config.fraction * voxels))
