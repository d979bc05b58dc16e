"""What tuning makes small: the weighted error on reviewed voxels, and the way from the base model elsewhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_morse.training.source import CORRECTED, UNREVIEWED


def weights_of(codes: Tensor, corrected: float) -> Tensor:
    """Codes of any shape → float32 weights: 1, 0 where nobody reviewed, ``corrected`` where a person changed it."""
    weights = torch.ones(codes.shape, dtype=torch.float32, device=codes.device)
    weights[codes == UNREVIEWED] = 0.0
    weights[codes == CORRECTED] = corrected
    return weights


def weighted_loss(logits: Tensor, labels: Tensor, weights: Tensor, dice: float) -> Tensor:
    """(1 − dice) · cross-entropy + dice · (1 − soft Dice without background), each voxel by its weight.

    Parameters
    ----------
    logits
        (B, C, *space) or (N, C).
    labels, weights
        (B, *space) or (N,). Without any weight the loss is 0.
    dice
        Share of the Dice term.
    """
    total = weights.sum().clamp(min=1e-6)
    entropy = (F.cross_entropy(logits, labels, reduction="none") * weights).sum() / total
    if dice == 0:
        return entropy
    probability = logits.softmax(dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = [a for a in range(logits.ndim) if a != 1]
    by = (weights > 0).to(probability.dtype).unsqueeze(1)
    overlap = (2 * (probability * truth * by).sum(axes) + 1) / ((probability + truth) * by).sum(axes).add(1)
    return (1 - dice) * entropy + dice * (1 - overlap[1:].mean())


def staying(logits: Tensor, base: Tensor, labels: Tensor, codes: Tensor) -> Tensor:
    """Mean divergence from the base model's probabilities, where the labels do not contradict it; shapes as above.

    Learning without forgetting (Li and Hoiem, 2016) on the new cases' own voxels.
    """
    # Whether the base says so: argmax across channels is slow on a CPU.
    agrees = base.gather(1, labels.unsqueeze(1)).squeeze(1) >= base.amax(dim=1)
    free = ((codes == UNREVIEWED) | agrees).to(logits.dtype)
    apart = F.kl_div(logits.log_softmax(dim=1), base.softmax(dim=1), reduction="none").sum(dim=1)
    return (apart * free).sum() / free.sum().clamp(min=1.0)
