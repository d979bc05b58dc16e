"""What has to be done for every voxel of a scan, in slabs that stay in the processor's cache.

Everything else that rendering does costs what the boundary costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_morse.model.points import two_largest

SLAB = 1 << 17
"""Voxels at a time: a slab of four classes takes 2 MB."""
THRESHOLD_SAMPLE = 1 << 15
"""Values from which the threshold of `smallest` is guessed."""


def _slabs(voxels: int) -> Iterator[slice]:
    return (slice(start, min(start + SLAB, voxels)) for start in range(0, voxels, SLAB))


def labels_and_margins(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(C, …) logits → the class that wins everywhere, and by how much.

    Returns
    -------
    labels
        (V,) uint8 (int16 above 256 classes); of equal logits the first class, as `argmax`.
    margins
        (V,) ≥ 0, largest minus second largest logit.
    """
    flat = logits.flatten(1)
    labels, margins = _empty_labels(flat), torch.empty_like(flat[0])
    for slab in _slabs(flat.shape[1]):
        high, low = _winners(flat[:, slab], labels[slab])
        torch.sub(high, low, out=margins[slab])
    return labels, margins


@dataclass(frozen=True, eq=False)
class Margins:
    """What one scan over (C, …) logits finds.

    Parameters
    ----------
    labels
        (V,) the class that wins, as `labels_and_margins`.
    indices, margins
        (M,) flat indices, rising, and margins of the voxels whose margin is below the bound.
    finite
        Whether every logit is a finite number.
    """

    labels: Tensor
    indices: Tensor
    margins: Tensor
    finite: bool

    def doubtful(self, most: int) -> Tensor:
        """Flat indices of the voxels found, smallest margin first, equal ones in their order; at most ``most``."""
        indices, margins = self.indices, self.margins
        if len(indices) > most:
            order = smallest(margins, most)
            indices, margins = indices[order], margins[order]
        return indices[margins.argsort(stable=True)]


def scan_margins(logits: Tensor, bound: float) -> Margins:
    """Scan (C, …) logits once; slabs in which one class leads by the bound throughout are not looked at in detail."""
    flat = logits.flatten(1)
    labels = _empty_labels(flat)
    finite = True
    parts = [(torch.empty(0, dtype=torch.long, device=flat.device), flat.new_empty(0))]
    for slab in _slabs(flat.shape[1]):
        part = flat[:, slab]
        best, usable = _leader(part, bound)
        finite = finite and usable
        if best is not None:
            labels[slab] = best
            continue
        high, low = _winners(part, labels[slab])
        margins = high.sub_(low)
        near = torch.nonzero(margins < bound).squeeze(1)
        parts.append((near + slab.start, margins.index_select(0, near)))
    indices, margins = (torch.cat(part) for part in zip(*parts, strict=True))
    return Margins(labels, indices, margins, finite)


def _leader(part: Tensor, bound: float) -> tuple[int | None, bool]:
    """The class of (C, n) logits that leads by a bound throughout, or None; and whether all are finite numbers."""
    # aminmax lets NaN through: it makes no class lead, and is seen without a reading of its own.
    least, most = zip(*((float(a), float(b)) for a, b in (torch.aminmax(one) for one in part)), strict=True)
    best = least.index(max(least))
    leads = all(least[best] - top >= bound for number, top in enumerate(most) if number != best)
    return best if leads else None, all(map(math.isfinite, least + most))


def _empty_labels(flat: Tensor) -> Tensor:
    kind = torch.uint8 if len(flat) <= 256 else torch.int16
    return torch.empty(flat.shape[1], dtype=kind, device=flat.device)


def _winners(part: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Largest and second largest of (C, n) logits, as `two_largest`; the winner is written into ``labels``."""
    # Strictly larger: of equal logits the first class wins, as with argmax.
    labels.copy_(_above(part[1], part[0]))
    high, low = torch.maximum(part[0], part[1]), torch.minimum(part[0], part[1])
    for number, other in enumerate(part[2:], start=2):
        # Numbers rise, so the last class to win is the largest: no masked write, which is many times slower.
        torch.maximum(labels, _above(other, high).to(labels.dtype).mul_(number), out=labels)
        torch.maximum(low, torch.minimum(high, other), out=low)
        torch.maximum(high, other, out=high)
    return high, low


def _above(one: Tensor, other: Tensor) -> Tensor:
    """1 where ``one`` is larger, uint8. NumPy compares five times as fast as torch on a processor."""
    if one.device.type != "cpu":
        return (one > other).to(torch.uint8)
    return torch.from_numpy(np.greater(one.numpy(), other.numpy()).view(np.uint8))


def doubts(logits: Tensor, temperature: float) -> Tensor:
    """(C, …) logits → (V,) one minus the difference of the two largest probabilities, 0 to 1."""
    flat = logits.flatten(1)
    # Ahead by so much, and the doubt is less than half the step between two float32 below 1.
    sure = temperature * (25 * math.log(2) + math.log(2 * (len(flat) - 1)))
    out = torch.zeros(flat.shape[1], dtype=flat.dtype, device=flat.device)
    for slab in _slabs(flat.shape[1]):
        if _leader(flat[:, slab], sure)[0] is not None:
            continue
        part = flat[:, slab] / temperature
        high, low = two_largest(part)
        total = part.sub_(high).exp_().sum(dim=0)
        out[slab] = 1 - (1 - low.sub_(high).exp_()) / total
    return out


def errors(logits: Tensor, given: Tensor, temperature: float) -> Tensor:
    """(C, …) logits and (V,) int64 classes → (V,) one minus the probability of the class given."""
    flat = logits.flatten(1)
    out = torch.empty(flat.shape[1], dtype=flat.dtype, device=flat.device)
    for slab in _slabs(flat.shape[1]):
        part = flat[:, slab] / temperature
        part = part.sub_(two_largest(part)[0]).exp_()
        out[slab] = 1 - part.gather(0, given[slab][None])[0] / part.sum(dim=0)
    return out


def smallest(values: Tensor, count: int) -> Tensor:
    """Indices, rising, of the ``count`` smallest of (V,) values; of equal ones the first.

    A sample says how small they are, so that only a few are sorted; what the sample says is checked.
    """
    if count >= len(values):
        return torch.arange(len(values), device=values.device)
    some, near = _few(values, count)
    last = near.kthvalue(count).values
    sure = near < last
    # Of those equal to the last, the first by place: which ones a partial sort takes is left open by torch.
    equal = torch.nonzero(near == last).squeeze(1)[: count - int(sure.count_nonzero())]
    sure[equal] = True
    return some[sure]


def _few(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices, rising, of some values among which the ``count`` smallest are, and these values."""
    step = len(values) // THRESHOLD_SAMPLE
    if step > 1:
        taken = values[::step]
        rank = min(len(taken), int(1.1 * count / step) + 64)
        threshold = float(taken.kthvalue(rank).values)
        below = [torch.nonzero(values[s] <= threshold).squeeze(1).add_(s.start) for s in _slabs(len(values))]
        some = torch.cat(below)
        # The sample may mislead; then all values are looked at.
        if len(some) >= count:
            return some, values.index_select(0, some)
    return torch.arange(len(values), device=values.device), values
