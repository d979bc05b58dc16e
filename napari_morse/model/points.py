"""Uncertain points: where the coarse mask is read again, and reading maps there (method: MORSE, PointRend)."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

CELLS_PER_READ = 8
"""A box of a map is turned into a table where it holds at most so many cells per cell that is read."""
INT32_CELLS = 2**31
"""Fewer cells than this are counted in 32 bits, which halves what a gather reads beside the map itself."""


def two_largest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(C, …) logits with C ≥ 2 → the largest and the second largest, element by element: no sort, one reading."""
    high, low = torch.maximum(logits[0], logits[1]), torch.minimum(logits[0], logits[1])
    for other in logits[2:]:
        low = torch.maximum(low, torch.minimum(high, other))
        high = torch.maximum(high, other)
    return high, low


def uncertainty(logits: Tensor, dim: int = 1) -> Tensor:
    """Second largest minus largest logit along ``dim``: ≤ 0, larger is more uncertain."""
    # Of raw logits, as published: with three classes or more, probabilities put points in another order; and the
    # recipe's `uncertain_below` is in logits.
    high, low = two_largest(logits.movedim(dim, 0))
    return low - high


def corners(cell: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Neighbours for linear interpolation with border padding.

    Parameters
    ----------
    cell
        (N, d) continuous indices into a map of ``size``.

    Returns
    -------
    index
        (N, 2^d) int32 or int64, flat indices (last axis fastest).
    weight
        (N, 2^d), summing to 1 in each row.
    """
    low, high, part = _brackets(cell, size)
    return _flat_corners(low, high, part, size)


def _brackets(cell: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """(…, d) points → the cells below and above them, and the share of the one above."""
    kind = torch.int32 if math.prod(size) < INT32_CELLS else torch.int64
    limit = torch.tensor([n - 1 for n in size], dtype=cell.dtype, device=cell.device)
    # Border padding: with zeros beyond the image, points within half a cell of its end would be mixed with nothing.
    inside = torch.minimum(cell.clamp(min=0), limit)
    floor = inside.floor()
    low = floor.to(kind)
    return low, torch.minimum(low + 1, limit.to(kind)), inside - floor


def _flat_corners(low: Tensor, high: Tensor, part: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    index = torch.zeros(len(low), 1, dtype=low.dtype, device=low.device)
    weight = torch.ones(len(low), 1, dtype=part.dtype, device=low.device)
    for axis, length in enumerate(size):
        pair = torch.stack([low[:, axis], high[:, axis]], dim=1)
        share = torch.stack([1 - part[:, axis], part[:, axis]], dim=1)
        index = (index[:, :, None] * length + pair[:, None, :]).flatten(1)
        weight = (weight[:, :, None] * share[:, None, :]).flatten(1)
    return index, weight


def channels_last(maps: Tensor) -> Tensor:
    """(B, F, *space) maps with the channels of a cell side by side in memory.

    torch's own conversion takes three times as long: it does not go in blocks, as a plain transposition does.
    """
    batch, channels, *space = maps.shape
    cells = maps.reshape(batch, channels, -1)
    rows = torch.stack([one.t().contiguous() for one in cells]) if batch > 1 else cells[0].t().contiguous()
    return rows.view(batch, *space, channels).movedim(-1, 1)


def sample(maps: Tensor, image: Tensor, cell: Tensor) -> Tensor:
    """Read maps at points by linear interpolation, border padding, ``align_corners=False``.

    All channels of a cell are read at once, from a table of cells. Maps in torch's channels-last format are that table
    already; of others the box around the points is copied, so points that lie together are read quickest together.

    Parameters
    ----------
    maps
        (B, F, *space).
    image
        (N,) int64 in 0…B−1.
    cell
        (N, d) continuous indices of this map's own cells.

    Returns
    -------
    Tensor
        (N, F). Differentiable in ``maps``, not in the points.
    """
    if not len(cell):
        return maps.new_zeros(0, maps.shape[1])
    size = (maps.shape[0], *maps.shape[2:])
    low, high, part = _brackets(cell.detach(), size[1:])
    at = image.to(low.dtype)[:, None]
    low, high = torch.cat([at, low], dim=1), torch.cat([at, high], dim=1)
    rows = maps.movedim(1, -1)
    if not rows.is_contiguous():
        start, stop = low.amin(dim=0).tolist(), (high.amax(dim=0) + 1).tolist()
        box = tuple(b - a for a, b in zip(start, stop, strict=True))
        if math.prod(box) <= CELLS_PER_READ * len(cell) * 2 ** (len(size) - 1):
            origin = low.new_tensor(start)
            within = tuple(map(slice, start, stop))
            rows, size = channels_last(maps[(within[0], slice(None), *within[1:])]).movedim(1, -1), box
            low, high = low - origin, high - origin
    first, low, high = low[:, :1], low[:, 1:], high[:, 1:]
    index, weight = _flat_corners(low, high, part, size[1:])
    index = index + first * math.prod(size[1:])
    return _weighed(rows, index, weight.to(maps.dtype))


def _weighed(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """(B, *space, F) cells → (N, F) sums of those at the flat (N, K) indices, weighed."""
    if rows.is_contiguous():
        kind = index if rows.device.type == "cpu" else index.long()
        return F.embedding_bag(kind, rows.flatten(0, -2), mode="sum", per_sample_weights=weight)
    # A few points far apart: their cells alone, where a table would copy all that lies between.
    places = torch.unravel_index(index.long(), rows.shape[:-1])
    return (rows[places] * weight[..., None]).sum(dim=1)


def to_cells(voxel_work: Tensor, stride: int) -> Tensor:
    """Indices of the backbone's input → continuous indices of a map whose cells are ``stride`` voxels wide."""
    # By centres, as align_corners=False has it: voxel 0's centre lies half a voxel, not half a cell, from the edge.
    return (voxel_work + 0.5) / stride - 0.5


def training_points(
    logits: Tensor,
    stride: int,
    size: tuple[int, ...],
    count: int,
    oversample: float,
    importance: float,
    generator: torch.Generator | None = None,
    voxel_centres: bool = False,
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw points for training: k·N uniform candidates, the ⌊βN⌋ most uncertain of them, the rest uniform.

    The logits are interpolated first and their uncertainty taken second; the other order misplaces the points.

    Parameters
    ----------
    logits
        (B, C, *cells) coarse logits; no gradient flows.
    stride
        Voxels per cell of ``logits``.
    size
        Voxels of the image, or of the box of it, within which the points lie.
    count, oversample, importance
        N, k and β.
    voxel_centres
        Move every point to the centre of its voxel.
    start
        (B, d) first voxel of each image's box; the whole image without it.

    Returns
    -------
    image
        (B·N,) int64.
    voxel_work
        (B·N, d), in start + [−0.5, size − 0.5].
    """
    batch, dims = logits.shape[0], len(size)
    candidates = int(oversample * count)
    chosen = int(importance * count)

    def draw(number: int) -> Tensor:
        # Drawn on the CPU and moved: one seed then draws the same candidates on every device.
        unit = torch.rand(batch, number, dims, generator=generator).to(logits.device)
        voxel_work = unit * torch.tensor(size, device=logits.device) - 0.5
        voxel_work = snap(voxel_work, size) if voxel_centres else voxel_work
        return voxel_work if start is None else voxel_work + start[:, None].to(voxel_work)

    drawn = draw(candidates)
    which = torch.arange(batch, device=logits.device)
    read = sample(logits.detach(), which.repeat_interleave(candidates), to_cells(drawn.flatten(0, 1), stride))
    # Image by image: over the whole batch, one hard image could take the points of all.
    best = uncertainty(read).view(batch, candidates).topk(chosen, dim=1).indices
    hard = drawn.gather(1, best[..., None].expand(-1, -1, dims))
    voxel_work = torch.cat([hard, draw(count - chosen)], dim=1)
    return which.repeat_interleave(count), voxel_work.flatten(0, 1)


def snap(point: Tensor, size: tuple[int, ...]) -> Tensor:
    """(…, d) points → centres of the voxels that hold them."""
    # Points may lie half a voxel beyond the last centre, which may round to a voxel that is not there.
    limit = torch.tensor([n - 1 for n in size], dtype=point.dtype, device=point.device)
    return torch.minimum(point.round().clamp(min=0), limit)


def nearest_labels(labels: Tensor, image: Tensor, voxel_work: Tensor) -> Tensor:
    """(B, *space) integer labels read at the voxels that hold the points → (N,)."""
    # Nearest, never linear: half-way between the ids 1 and 3 that would be the structure 2.
    inside = snap(voxel_work, tuple(labels.shape[1:])).long()
    return labels[(image, *inside.unbind(1))]


def ring_offsets(dims: int, rings: tuple[int, ...]) -> Tensor:
    """(K, d) the point itself, then for each ring r the 3^d − 1 neighbours at distance r along the axes."""
    # The order is part of every saved model: the native expert's first layer has columns for each offset, in this
    # order, and the offsets themselves are not saved.
    steps = [o for o in itertools.product((-1, 0, 1), repeat=dims) if any(o)]
    offsets = [(0,) * dims] + [tuple(r * s for s in step) for r in rings for step in steps]
    return torch.tensor(offsets, dtype=torch.float32)


def neighbourhood(native: Tensor, image: Tensor, voxel_native: Tensor, offsets: Tensor) -> Tensor:
    """Read an image around points.

    Parameters
    ----------
    native
        (B, F, *space).
    voxel_native
        (N, d) continuous indices of ``native``.
    offsets
        (K, d) in voxels of ``native``, fractions allowed.

    Returns
    -------
    Tensor
        (N, K·F), border padding, linear between voxels.
    """
    if torch.equal(offsets, offsets.round()) and torch.equal(voxel_native, voxel_native.round()):
        return _read_whole(native, image, voxel_native.long(), offsets.long())
    size = tuple(native.shape[2:])
    low, high, part = _brackets((voxel_native[:, None, :] + offsets[None]).flatten(0, 1), size)
    index, weight = _flat_corners(low, high, part, size)
    pages = image.repeat_interleave(len(offsets))
    read = [(page[pages[:, None], index.long()] * weight).sum(dim=1) for page in native.flatten(2).unbind(1)]
    return torch.stack(read, dim=1).view(len(voxel_native), len(offsets) * native.shape[1])


def _read_whole(native: Tensor, image: Tensor, voxel_native: Tensor, offsets: Tensor) -> Tensor:
    """`neighbourhood` of whole voxels at whole steps: one index each, clipped only where the border is near."""
    size, channels = tuple(native.shape[2:]), native.shape[1]
    cells = math.prod(size)
    kind = torch.int32 if native.numel() < INT32_CELLS else torch.int64
    limit = torch.tensor(size, device=voxel_native.device) - 1
    strides = torch.tensor([math.prod(size[axis + 1 :]) for axis in range(len(size))], device=voxel_native.device)
    page = image * (channels * cells)
    index = (page + (voxel_native * strides).sum(dim=1)).to(kind)[:, None] + (offsets * strides).sum(dim=1).to(kind)
    reach_down, reach_up = offsets.amin(dim=0), offsets.amax(dim=0)
    edge = ((voxel_native + reach_down < 0) | (voxel_native + reach_up > limit)).any(dim=1).nonzero().squeeze(1)
    if len(edge):
        around = torch.minimum((voxel_native[edge, None] + offsets).clamp(min=0), limit)
        index[edge] = (page[edge, None] + (around * strides).sum(dim=2)).to(kind)
    flat, indices = native.flatten(), index.flatten()
    read = [flat.index_select(0, indices + c * cells if c else indices) for c in range(channels)]
    return torch.stack(read, dim=1).view(len(voxel_native), len(offsets) * native.shape[1])
