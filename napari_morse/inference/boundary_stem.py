"""The native stem where it is needed: in blocks of the working grid that hold points, never over the whole scan."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_morse.errors import CancelledError
from napari_morse.inference.engine import CoarsePass
from napari_morse.inference.tiles import Tick
from napari_morse.model.morse import Morse
from napari_morse.model.points import sample
from napari_morse.model.stem import STRIDE

STEM_BLOCK = {2: 128, 3: 32}
"""Working voxels of a block along each axis, by the number of axes."""


@torch.inference_mode()
def stem_at_points(
    net: Morse,
    done: CoarsePass,
    image: Tensor,
    work: Tensor,
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Tensor | None:
    """The stem's features at points: (N, H), or None when the recipe has no stem.

    Blocks are read with the stem's whole reach around them, so that the answer does not depend on how they lie.

    Parameters
    ----------
    image, work
        (N,) slice and (N, d) continuous working indices of the points.
    """
    stem = net.stem
    if stem is None:
        return None
    rows = torch.empty(len(work), stem.outputs, device=work.device)
    groups = _groups(image, work)
    for number, members in enumerate(groups):
        if cancelled is not None and cancelled():
            raise CancelledError
        which, at = int(image[members[0]]), work[members]
        box = _box(at, stem.reach + 1, done.maps.size)
        pixels = done.work[which : which + 1, :, *box]
        maps = stem(pixels, done.logits_in(which, box))
        start = torch.tensor([s.start for s in box], dtype=at.dtype, device=at.device)
        rows[members] = sample(maps, torch.zeros_like(members), at - start)
        if tick is not None:
            tick(number + 1, len(groups))
    return rows


def _groups(image: Tensor, work: Tensor) -> list[Tensor]:
    """Indices of the points, block by block."""
    if not len(work):
        return []
    # Points of a finer scan lie up to half a working voxel before the first centre.
    cell = (work / STEM_BLOCK[work.shape[1]]).floor().long().clamp(min=0)
    key = image
    for axis in range(cell.shape[1]):
        key = key * (int(cell[:, axis].max()) + 1) + cell[:, axis]
    order = key.argsort(stable=True)
    _, counts = key[order].unique_consecutive(return_counts=True)
    return list(order.split(counts.tolist()))


def _box(at: Tensor, reach: int, size: tuple[int, ...]) -> tuple[slice, ...]:
    low = at.min(dim=0).values.floor().long() - reach
    high = at.max(dim=0).values.ceil().long() + reach + 1
    ends = zip(low.tolist(), high.tolist(), size, strict=True)
    # Whole blocks of the stem: a box that begins inside one would fold other voxels together than the whole grid does.
    return tuple(slice(max(0, a - a % STRIDE), min(n, b + b % STRIDE)) for a, b, n in ends)
