"""½(CE + Dice) on the coarse map, cross-entropy at the points."""

from __future__ import annotations

import torch.nn.functional as F
from monai.losses import DiceCELoss
from torch import Tensor

from napari_morse.model.backbones import CoarseMaps

# batch=True: Dice over all images together. Image by image, a stray voxel in a slice without the structure would weigh
# as much as a whole structure that was missed.
_dice_ce = DiceCELoss(
    to_onehot_y=True, softmax=True, include_background=False, batch=True, lambda_dice=0.5, lambda_ce=0.5
)


def coarse_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """½(CE + Dice) of (B, C, *space) logits against (B, *space) labels; Dice over the batch, without background."""
    loss: Tensor = _dice_ce(logits, labels[:, None])
    return loss


def supervised_loss(maps: CoarseMaps, labels: Tensor) -> Tensor:
    """`coarse_loss` of the coarse map, and of the deeper heads of deep supervision where there are any.

    As in nnU-Net each level down weighs half of the one above, and the weights sum to 1; unlike there, the deeper maps
    are interpolated up to the labels, which keeps thin structures.
    """
    loss = coarse_loss(maps.full_logits(), labels)
    weights = 1.0
    for level, logits in enumerate(maps.full_deeper(), start=1):
        loss = loss + coarse_loss(logits, labels) * 0.5**level
        weights += 0.5**level
    return loss / weights if maps.deeper else loss


def point_loss(logits: Tensor, labels: Tensor, dice: float = 0.0) -> Tensor:
    """Cross-entropy of (N, C) logits against (N,) labels, mixed with a share ``dice`` of soft Dice over the points.

    The published loss has no Dice; without it, rendering undoes the balance that the Dice term gave to the coarse map.
    """
    entropy = F.cross_entropy(logits, labels)
    if dice == 0:
        return entropy
    probability = logits.softmax(dim=1)
    truth = F.one_hot(labels, logits.shape[1]).to(probability.dtype)
    overlap = (2 * (probability * truth).sum(0) + 1) / (probability.sum(0) + truth.sum(0) + 1)
    return (1 - dice) * entropy + dice * (1 - overlap[1:].mean())


def point_weight(step: int, total: int, start: int, weight: float, ramp: bool) -> float:
    """λ at iteration ``step`` of ``total``.

    0 before ``start``; then ``weight``, or, with ``ramp``, ``weight`` · (step − start) / total: the published ramp,
    which from ``start`` = total / 2 ends at half of ``weight``.
    """
    if step < start:
        return 0.0
    return weight * (step - start) / total if ramp else weight
