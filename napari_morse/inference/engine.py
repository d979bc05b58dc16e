"""The coarse pass: from a normalised image to coarse logits on its own grid.

Images come as stacks: (B, *space) with B = 1 and three axes for a 3-D model, B slices and two axes for a 2-D one; with
several channels (B, channels, *space).
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
    """Working frame of a stack whose voxels measure ``spacing`` mm."""
    return work_frame(stack.shape[-len(spacing) :], spacing, target, net.recipe.train.window, net.backbone.divisor)


def coarse_bytes(net: Morse, frame: WorkFrame, images: int) -> int:
    """Bytes that the stitched maps of a stack of ``images`` take, in float32, with the image itself.

    A further look holds its own beside those of the first.
    """
    backbone, dims = net.backbone, len(frame.shape)
    per_voxel = net.recipe.backbone.in_channels + net.recipe.backbone.classes / backbone.logit_stride**dims
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
    """Run the backbone over a stack of normalised images."""
    device = next(net.parameters()).device
    dims = len(frame.native)
    images = np.ascontiguousarray(stack).reshape(len(stack), -1, *frame.native)
    work = np.stack([np.stack([to_work_grid(channel, frame) for channel in image]) for image in images])
    batch = SLICES if dims == 2 else 1
    maps = stitched_maps(net, torch.from_numpy(work).to(device), net.recipe.train.window, batch, tick, cancelled)
    step = torch.tensor([1 / s for s in frame.scale], dtype=torch.float32, device=device)
    native = NativeImage(torch.from_numpy(images).to(device), step)
    return CoarsePass(maps, frame, native, _on_native(maps, frame))


def _on_native(maps: CoarseMaps, frame: WorkFrame) -> Tensor:
    """Stitched logits → (C, B, *native), linear, one axis after the other."""
    logits = maps.logits.movedim(1, 0)
    for axis, length in enumerate(frame.native):
        cells = (frame.to_work(np.arange(length), axis) + 0.5) / maps.logit_stride - 0.5
        inside = torch.from_numpy(np.clip(cells, 0, logits.shape[axis + 2] - 1)).to(logits.device)
        low = inside.floor().long()
        high = (low + 1).clamp(max=logits.shape[axis + 2] - 1)
        part = (inside - low).to(logits.dtype).view([-1 if a == axis + 2 else 1 for a in range(logits.ndim)])
        below = logits.index_select(axis + 2, low)
        logits = below + (logits.index_select(axis + 2, high) - below) * part
    return logits
