"""Which voxels are predicted again when a recipe says how many: the M most uncertain of every image."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_morse.config import RenderConfig
from napari_morse.model.points import uncertainty


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
    doubt = uncertainty(logits, dim=0).flatten(1)
    images, voxels = doubt.shape
    value, place = doubt.topk(min(count, voxels), dim=1)
    flat = place + voxels * torch.arange(images, device=logits.device)[:, None]
    return flat.flatten()[value.flatten().argsort(descending=True, stable=True)]


def count_of(config: RenderConfig, voxels: int) -> int:
    """M of an image of so many voxels: as a number, or as a share of them."""
    return config.test_points or max(1, int(config.fraction * voxels))
