"""What has to be done for every voxel of a scan, in slabs that stay in the processor's cache.

Everything else that rendering does costs what the boundary costs.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from napari_morse.model.points import two_largest

SLAB = 1 << 17
"""Voxels at a time: a slab of four classes takes 2 MB."""
SAMPLE = 1 << 15
"""Values from which the threshold of `smallest` is guessed."""


def _slabs(voxels: int) -> Iterator[slice]:
    return (slice(start, min(start + SLAB, voxels)) for start in range(0, voxels, SLAB))


def labels_and_margins(logits: Tensor) -> tuple[Tensor, Tensor]:
    """One reading of (C, …) logits: the class that wins everywhere, and by how much.

    Returns
    -------
    labels
        (V,) uint8 (int16 above 256 classes); of equal logits the first class, as `argmax`.
    margins
        (V,) ≥ 0, largest minus second largest logit.
    """
    flat = logits.flatten(1)
    classes, voxels = flat.shape
    labels = torch.empty(voxels, dtype=torch.uint8 if classes <= 256 else torch.int16, device=flat.device)
    margins = torch.empty(voxels, dtype=flat.dtype, device=flat.device)
    for slab in _slabs(voxels):
        part, label = flat[:, slab], labels[slab]
        label.copy_(part[1] > part[0])
        high, low = torch.maximum(part[0], part[1]), torch.minimum(part[0], part[1])
        for number in range(2, classes):
            other = part[number]
            label.masked_fill_(other > high, number)
            torch.maximum(low, torch.minimum(high, other), out=low)
            torch.maximum(high, other, out=high)
        torch.sub(high, low, out=margins[slab])
    return labels, margins


def doubts(logits: Tensor, temperature: float) -> Tensor:
    """(C, …) logits → (V,) one minus the difference of the two largest probabilities, 0 to 1."""
    flat = logits.flatten(1)
    out = torch.empty(flat.shape[1], dtype=flat.dtype, device=flat.device)
    for slab in _slabs(flat.shape[1]):
        part = flat[:, slab] / temperature
        high, low = two_largest(part)
        total = part.sub_(high).exp_().sum(dim=0)
        out[slab] = 1 - (1 - (low - high).exp_()) / total
    return out


def smallest_below(margins: Tensor, bound: float, most: int) -> Tensor:
    """Flat indices of the margins below a bound, smallest first, equal ones in their order; at most ``most``."""
    found = torch.cat([torch.nonzero(margins[s] < bound).squeeze(1) + s.start for s in _slabs(len(margins))])
    values = margins[found]
    if len(found) > most:
        kept = smallest(values, most)
        found, values = found[kept], values[kept]
    return found[values.argsort(stable=True)]


def smallest(values: Tensor, count: int) -> Tensor:
    """Indices, rising, of the ``count`` smallest of (V,) values; of equal ones the first.

    A sample says how small they are, so that only a few are sorted; what the sample says is checked.
    """
    if count >= len(values):
        return torch.arange(len(values), device=values.device)
    some = torch.arange(len(values), device=values.device)
    step = len(values) // SAMPLE
    if step > 1:
        taken = values[::step]
        rank = min(len(taken), int(1.1 * count / step) + 64)
        few = torch.nonzero(values <= taken.kthvalue(rank).values).squeeze(1)
        some = few if len(few) >= count else some
    near = values[some]
    last = near.kthvalue(count).values
    sure = near < last
    equal = torch.nonzero(near == last).squeeze(1)[: count - int(sure.count_nonzero())]
    sure[equal] = True
    return some[sure]
