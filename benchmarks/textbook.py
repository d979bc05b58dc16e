"""Rendering as it is usually written: the contender that `benchmarks.speed` measures against, and its inputs.

`grid_sample` on channels-first maps, a one-wide convolution per layer, the uncertainty of the whole map and its full
top-k in every step. Ours reads the same weights and must choose the same points and give the same labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_morse.inference.voxel_scan import labels_and_margins, smallest
from napari_morse.model.linear import POINTS_AT_ONCE
from napari_morse.model.points import channels_last, sample, to_cells
from napari_morse.model.renderer import RenderingHead


@dataclass(frozen=True)
class Case:
    """A map, its coarse logits, and what is to be done.

    Parameters
    ----------
    logits
        (1, C, *space).
    features
        (1, F, *cells), each cell ``stride`` voxels wide.
    head
        Weights of both contenders.
    steps, points
        How often the most uncertain ``points`` of the current map are predicted again.
    """

    logits: Tensor
    features: Tensor
    stride: int
    head: RenderingHead
    steps: int
    points: int


def smooth(channels: int, space: tuple[int, ...], knots: int, seed: int) -> Tensor:
    """(1, channels, *space) of smooth noise: boundaries in all directions, as long as they come."""
    generator = torch.Generator().manual_seed(seed)
    few = 3 * torch.randn(1, channels, *[knots] * len(space), generator=generator)
    mode = "trilinear" if len(space) == 3 else "bilinear"
    fine = F.interpolate(few, size=space, mode=mode, align_corners=False)
    # A little of each voxel's own: equal margins would leave the choice between them to the sort.
    return fine + 1e-3 * torch.randn(fine.shape, generator=generator)


def make_case(
    space: tuple[int, ...], classes: int, width: int, stride: int, steps: int, points: int, knots: int
) -> Case:
    torch.manual_seed(0)
    head = RenderingHead(width, classes, width, residual=False).eval()
    features = torch.randn(1, width, *[n // stride for n in space])
    return Case(smooth(classes, space, knots, 1), features, stride, head, steps, points)


def _read(maps: Tensor, unit: Tensor) -> Tensor:
    grid = (2 * unit - 1).flip(-1).view(1, *[1] * (unit.shape[1] - 1), -1, unit.shape[1])
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False).flatten(2)


def textbook(case: Case) -> tuple[Tensor, Tensor]:
    """Logits (C, V) after the last step, and the voxels of that step."""
    flat = case.logits.flatten(2).clone()
    space = torch.tensor(case.logits.shape[2:])
    convolutions = [(layer.weight[..., None], layer.bias) for layer in (*case.head.layers, case.head.last)]
    chosen = torch.empty(0, dtype=torch.long)
    for _ in range(case.steps):
        top = flat.topk(2, dim=1).values
        chosen = (top[:, 1] - top[:, 0]).topk(case.points, dim=1).indices[0]
        voxel = torch.stack(torch.unravel_index(chosen, tuple(space.tolist())), dim=1)
        unit = (voxel + 0.5) / space
        coarse = _read(case.logits, unit)
        x = _read(case.features, unit)
        for number, (weight, bias) in enumerate(convolutions):
            x = F.conv1d(torch.cat([x, coarse], dim=1), weight, bias)
            x = x.relu() if number < 3 else x
        flat.scatter_(2, chosen.expand(1, flat.shape[1], -1), x)
    return flat[0], chosen


def ours(case: Case, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """The same with the project's own modules: labels after the last step, and the voxels of that step."""
    before = case.logits[0].flatten(1)
    space, features = tuple(case.logits.shape[2:]), case.features
    if case.steps > 1:
        features = channels_last(features)
    labels, margins = labels_and_margins(before)
    chosen = torch.empty(0, dtype=torch.long)
    for _ in range(case.steps):
        chosen = smallest(margins, case.points)
        cells = to_cells(torch.stack(torch.unravel_index(chosen, space), dim=1).float(), case.stride)
        read = sample(features, torch.zeros_like(chosen), cells)
        chunks = zip(read.split(POINTS_AT_ONCE), before.index_select(1, chosen).T.split(POINTS_AT_ONCE), strict=True)
        logits = torch.cat([case.head(f.to(precision), coarse) for f, coarse in chunks])
        labels[chosen], margins[chosen] = labels_and_margins(logits.T)
    return labels, chosen


def agreement(case: Case, precision: torch.dtype = torch.float32) -> dict[str, float]:
    """Shares of equal points and of equal labels: over the map, and among the points."""
    (theirs, their_points), (labels, points) = textbook(case), ours(case, precision)
    equal = theirs.argmax(dim=0) == labels
    return {
        "points": float(torch.isin(points, their_points).float().mean()),
        "labels": float(equal.float().mean()),
        "labels_at_points": float(equal[their_points].float().mean()),
    }
