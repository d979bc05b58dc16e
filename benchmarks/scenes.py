"""Coarse passes made up for `benchmarks.speed`: balls whose margin rises by two per voxel."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from napari_morse.geometry.resampling import work_frame
from napari_morse.inference.engine import CoarsePass
from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.morse import Morse, NativeImage
from napari_morse.training.recipes import recipe_named
from napari_morse.types import Array

SLOPE = 2.0
"""Logits per voxel across the boundary: with the default bound of 4 it is re-predicted two voxels to each side."""


def default_net(dims: int) -> Morse:
    """The default recipe with one look; weights drawn at random, which costs the same as trained ones."""
    torch.manual_seed(0)
    net = Morse(recipe_named(f"default-{dims}d", ("render.looks=1",)))
    torch.nn.init.normal_(net.renderer.head.last.weight, std=0.05)
    return net.eval()


def _distance(size: int, dims: int, centre: tuple[float, ...]) -> Tensor:
    axes = [(torch.arange(size, dtype=torch.float32) - c) ** 2 for c in centre]
    total = axes[0].view(-1, *[1] * (dims - 1))
    for axis in range(1, dims):
        total = total + axes[axis].view([-1 if a == axis else 1 for a in range(dims)])
    return total.sqrt_()


def scene(net: Morse, size: int, balls: tuple[tuple[float, ...], ...], radius: float) -> CoarsePass:
    """A coarse pass over size^d voxels with balls of one radius in it; class 2 lies far behind everywhere."""
    backbone, dims = net.recipe.backbone, net.recipe.backbone.spatial_dims
    ones = (1.0,) * dims
    frame = work_frame((size,) * dims, ones, ones, (1,) * dims, net.backbone.divisor)
    logits = torch.full((backbone.classes, 1, *frame.native), -40.0)
    nearest = _distance(size, dims, balls[0])
    for centre in balls[1:]:
        torch.minimum(nearest, _distance(size, dims, centre), out=nearest)
    torch.sub(nearest, radius, out=logits[0, 0]).mul_(SLOPE / 2)
    torch.neg(logits[0, 0], out=logits[1, 0])
    maps = _maps(net, frame.shape, logits)
    pixels = logits[1][:, None].clamp(-2, 2)
    return CoarsePass(maps, frame, NativeImage(pixels, torch.ones(dims)), pixels, logits)


def _maps(net: Morse, size: tuple[int, ...], logits: Tensor) -> CoarseMaps:
    generator = torch.Generator().manual_seed(0)
    backbone = net.backbone
    few = torch.randn(1, 1, *[1] * len(size), generator=generator)
    features = tuple(
        few.expand(1, c, *[n // s for n in size]).contiguous()
        for c, s in zip(backbone.channels, backbone.strides, strict=True)
    )
    step = backbone.logit_stride
    coarse = logits.movedim(0, 1)[(..., *[slice(None, None, step)] * len(size))].contiguous()
    return CoarseMaps(coarse, features, backbone.strides, step, size)


def ball(size: int, dims: int, radius: float) -> tuple[tuple[tuple[float, ...], ...], float]:
    return ((size / 2 - 0.5,) * dims,), radius


def discs(size: int) -> tuple[tuple[tuple[float, ...], ...], float]:
    """Nine discs in a square picture, about a sixteenth of its pixels in doubt."""
    places = [size * (k + 0.5) / 3 for k in range(3)]
    return tuple((a, b) for a in places for b in places), size / 7


def near_boundary(mask: Array, within: float) -> Array:
    """Voxels no further than ``within`` voxels from one of another class."""
    edge = np.zeros(mask.shape, bool)
    for number in np.unique(mask):
        one = mask == number
        edge |= one & ~ndimage.binary_erosion(one, border_value=1)
    return np.asarray(ndimage.distance_transform_edt(~edge) <= within) if edge.any() else edge
