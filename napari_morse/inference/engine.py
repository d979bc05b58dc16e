"""The coarse pass: from a normalised image to coarse logits on its own grid.

Images come as stacks: (B, *space) with B = 1 and three axes for a 3-D model, B slices and two axes for a 2-D one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_morse.geometry.resampling import WorkFrame, to_work_grid, work_frame
from napari_morse.inference.tiles import Tick, stitched_maps
from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.morse import Morse, NativeImage

SLICES = 8
"""Slices per pass of a 2-D model."""
BLOCK = 1 << 21
"""Logits written at a time on the scan's grid: they stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class CoarsePass:
    """A stack after the backbone: everything that rendering reads."""

    maps: CoarseMaps
    frame: WorkFrame
    native: NativeImage
    logits: Tensor
    """(C, B, *native) coarse logits on the image's own grid."""


def frame_of(
    stack: NDArray[np.float32], spacing: tuple[float, ...], target: tuple[float, ...], net: Morse
) -> WorkFrame:
    """Working frame of a stack (B, *space) whose voxels measure ``spacing`` mm."""
    return work_frame(stack.shape[1:], spacing, target, net.recipe.train.window, net.backbone.divisor)


def coarse_bytes(net: Morse, frame: WorkFrame, images: int) -> int:
    """Bytes that the stitched maps of a stack of ``images`` take, in float32, with the image itself.

    A further look holds its own beside those of the first.
    """
    backbone, dims = net.backbone, len(frame.shape)
    per_voxel = 1 + net.recipe.backbone.classes / backbone.logit_stride**dims
    per_voxel += sum(c / s**dims for c, s in zip(backbone.channels, backbone.strides, strict=True))
    return int(4 * images * math.prod(frame.shape) * per_voxel) * min(2, net.recipe.render.looks)


@torch.inference_mode()
def coarse_pass(
    net: Morse,
    stack: NDArray[np.float32],
    frame: WorkFrame,
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CoarsePass:
    """Run the backbone over a stack (B, *space) of normalised images."""
    device = next(net.parameters()).device
    work = np.stack([to_work_grid(image, frame) for image in stack])
    dims = len(frame.native)
    batch = SLICES if dims == 2 else 1
    maps = stitched_maps(
        net, torch.from_numpy(work)[:, None].to(device), net.recipe.train.window, batch, tick, cancelled
    )
    step = torch.tensor([1 / s for s in frame.scale], dtype=torch.float32, device=device)
    native = NativeImage(torch.from_numpy(np.ascontiguousarray(stack))[:, None].to(device), step)
    return CoarsePass(maps, frame, native, _on_native(maps, frame))


def _on_native(maps: CoarseMaps, frame: WorkFrame) -> Tensor:
    """Stitched logits → (C, B, *native), linear, one axis after the other, some planes at a time."""
    logits = maps.logits.movedim(1, 0)
    low, high, part = _cells(maps, frame, 0)
    others = [(axis + 2, *_cells(maps, frame, axis)) for axis in range(len(frame.native) - 1, 0, -1)]
    whole = logits.new_empty((*logits.shape[:2], *frame.native))
    planes = max(1, BLOCK // max(1, whole[:, :, 0].numel()))
    for start in range(0, len(low), planes):
        some = slice(start, start + planes)
        first, last = int(low[some][0]), int(high[some][-1]) + 1
        read = logits[:, :, first:last]
        for axis in others:
            read = _between(read, *axis)
        whole[:, :, some] = _between(read, 2, low[some] - first, high[some] - first, part[some])
    return whole


def _cells(maps: CoarseMaps, frame: WorkFrame, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each native voxel along an axis the cells beside it, and the share of the second."""
    last = maps.logits.shape[axis + 2] - 1
    cells = (frame.to_work(np.arange(frame.native[axis]), axis) + 0.5) / maps.logit_stride - 0.5
    inside = torch.from_numpy(np.clip(cells, 0, last))
    low = inside.floor().long()
    part = (inside - low).to(maps.logits.dtype)
    device = maps.logits.device
    return low.to(device), (low + 1).clamp(max=last).to(device), part.to(device)


def _between(logits: Tensor, axis: int, low: Tensor, high: Tensor, part: Tensor) -> Tensor:
    share = part.view([-1 if a == axis else 1 for a in range(logits.ndim)])
    return torch.lerp(logits.index_select(axis, low), logits.index_select(axis, high), share)
