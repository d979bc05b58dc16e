"""Uncertain points: where the coarse mask is read again, and reading maps there (method: MORSE, PointRend)."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor


def uncertainty(logits: Tensor, dim: int = 1) -> Tensor:
    """Second largest minus largest logit along ``dim``: ≤ 0, larger is more uncertain."""
    top = logits.topk(2, dim=dim).values
    return top.select(dim, 1) - top.select(dim, 0)


def corners(voxel: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Neighbours for linear interpolation with border padding.

    Parameters
    ----------
    voxel
        (N, d) continuous indices into a map of ``size``.

    Returns
    -------
    index
        (N, 2^d) int64, flat indices (last axis fastest).
    weight
        (N, 2^d), summing to 1 in each row.
    """
    limit = torch.tensor([n - 1 for n in size], dtype=voxel.dtype, device=voxel.device)
    inside = torch.minimum(voxel.clamp(min=0), limit)
    low = inside.floor()
    part = inside - low
    low_index = low.long()
    high_index = torch.minimum(low_index + 1, limit.long())
    index = torch.zeros(len(voxel), 1, dtype=torch.long, device=voxel.device)
    weight = torch.ones(len(voxel), 1, dtype=voxel.dtype, device=voxel.device)
    for axis, length in enumerate(size):
        pair = torch.stack([low_index[:, axis], high_index[:, axis]], dim=1)
        share = torch.stack([1 - part[:, axis], part[:, axis]], dim=1)
        index = (index[:, :, None] * length + pair[:, None, :]).flatten(1)
        weight = (weight[:, :, None] * share[:, None, :]).flatten(1)
    return index, weight


def sample(maps: Tensor, image: Tensor, voxel: Tensor) -> Tensor:
    """Read maps at points by linear interpolation, border padding, ``align_corners=False``.

    Parameters
    ----------
    maps
        (B, F, *space).
    image
        (N,) int64 in 0…B−1.
    voxel
        (N, d) continuous indices of this map's own cells.

    Returns
    -------
    Tensor
        (N, F). Differentiable in ``maps``, not in the points.
    """
    size = tuple(maps.shape[2:])
    cells = 1
    for length in size:
        cells *= length
    index, weight = corners(voxel.detach(), size)
    table = maps.movedim(1, -1).reshape(-1, maps.shape[1])
    return F.embedding_bag(index + image[:, None] * cells, table, mode="sum", per_sample_weights=weight.to(table.dtype))


def to_cells(voxel: Tensor, stride: int) -> Tensor:
    """Indices of the backbone's input → continuous indices of a map whose cells are ``stride`` voxels wide."""
    return (voxel + 0.5) / stride - 0.5


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
    voxel
        (B·N, d), in start + [−0.5, size − 0.5].
    """
    batch, dims = logits.shape[0], len(size)
    candidates = int(oversample * count)
    chosen = int(importance * count)

    def draw(number: int) -> Tensor:
        unit = torch.rand(batch, number, dims, generator=generator).to(logits.device)
        voxel = unit * torch.tensor(size, device=logits.device) - 0.5
        voxel = snap(voxel, size) if voxel_centres else voxel
        return voxel if start is None else voxel + start[:, None].to(voxel)

    drawn = draw(candidates)
    which = torch.arange(batch, device=logits.device)
    read = sample(logits.detach(), which.repeat_interleave(candidates), to_cells(drawn.flatten(0, 1), stride))
    best = uncertainty(read).view(batch, candidates).topk(chosen, dim=1).indices
    hard = drawn.gather(1, best[..., None].expand(-1, -1, dims))
    voxel = torch.cat([hard, draw(count - chosen)], dim=1)
    return which.repeat_interleave(count), voxel.flatten(0, 1)


def snap(voxel: Tensor, size: tuple[int, ...]) -> Tensor:
    """(…, d) points → centres of the voxels that hold them."""
    limit = torch.tensor([n - 1 for n in size], dtype=voxel.dtype, device=voxel.device)
    return torch.minimum(voxel.round().clamp(min=0), limit)


def nearest_labels(labels: Tensor, image: Tensor, voxel: Tensor) -> Tensor:
    """(B, *space) integer labels read at the voxels that hold the points → (N,)."""
    at = snap(voxel, tuple(labels.shape[1:])).long()
    return labels[(image, *at.unbind(1))]


def ring_offsets(dims: int, rings: tuple[int, ...]) -> Tensor:
    """(K, d) the point itself, then for each ring r the 3^d − 1 neighbours at distance r along the axes."""
    steps = [o for o in itertools.product((-1, 0, 1), repeat=dims) if any(o)]
    offsets = [(0,) * dims] + [tuple(r * s for s in step) for r in rings for step in steps]
    return torch.tensor(offsets, dtype=torch.float32)


def neighbourhood(native: Tensor, image: Tensor, voxel: Tensor, offsets: Tensor) -> Tensor:
    """Read an image around points.

    Parameters
    ----------
    native
        (B, F, *space).
    voxel
        (N, d) continuous indices of ``native``.
    offsets
        (K, d) in voxels of ``native``, fractions allowed.

    Returns
    -------
    Tensor
        (N, K·F), border padding, linear between voxels.
    """
    around = (voxel[:, None, :] + offsets[None]).flatten(0, 1)
    which = image.repeat_interleave(len(offsets))
    size = tuple(native.shape[2:])
    if torch.equal(around, around.round()):
        at = snap(around, size).long()
        read = native.movedim(1, -1)[(which, *at.unbind(1))]
    else:
        read = sample(native, which, around)
    return read.view(len(voxel), len(offsets) * native.shape[1])
