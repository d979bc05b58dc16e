"""The coarse pass: from a normalised image to coarse logits on its own grid.

Images come as stacks: (B, *space) with B = 1 and three axes for a 3-D model, B slices and two axes for a 2-D one; with
several channels (B, channels, *space).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_morse.geometry.resampling import WorkFrame, to_work_grid, work_frame
from napari_morse.inference.tiles import Tick, stitched_maps
from napari_morse.model.backbones import CoarseMaps, interpolated
from napari_morse.model.dense import dense_floats
from napari_morse.model.morse import Morse, NativeImage

SLICES_PER_PASS = 8
"""Slices per pass of a 2-D model."""
LOGITS_AT_ONCE = 1 << 21
"""Logits written at a time on the scan's grid: they stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class CoarsePass:
    """A stack after the backbone: everything that rendering reads."""

    maps: CoarseMaps
    frame: WorkFrame
    native: NativeImage
    work: Tensor
    """(B, channels, *work) what the backbone read."""
    logits: Tensor
    """(C, B, *native) coarse logits on the image's own grid."""
    given: bool = False
    """Whether the coarse logits are another program's mask and not the backbone's."""
    found_share: float | None = None
    """Share of a given mask in which the backbone finds any structure; None where none is given, or it is empty."""

    def logits_in(self, image: int, box: tuple[slice, ...]) -> Tensor:
        """(1, C, *box) coarse logits of one image in a box of working voxels."""
        return self.maps.logits_in(image, box)


def frame_of(
    stack: NDArray[np.float32], spacing: tuple[float, ...], target: tuple[float, ...], net: Morse
) -> WorkFrame:
    """Working frame of a stack whose voxels measure ``spacing`` mm."""
    return work_frame(stack.shape[-len(spacing) :], spacing, target, net.recipe.train.window, net.backbone.divisor)


def coarse_bytes(net: Morse, frame: WorkFrame, images: int, given: bool = False) -> int:
    """Bytes that the stitched maps of a stack of ``images`` take, in float32, with the image itself and dense experts.

    With the logits on the scan's own grid, and those of a mask that is ``given``. A further view holds its own beside
    those of the first, and so does the inverse of a scan.
    """
    backbone, dims = net.backbone, len(frame.shape)
    per_voxel = net.recipe.backbone.in_channels + net.recipe.backbone.classes / backbone.logit_stride**dims
    per_voxel += sum(c / s**dims for c, s in zip(backbone.channels, backbone.strides, strict=True))
    per_voxel = images * per_voxel + dense_floats(net.recipe.render, len(net.read_strides), images)
    classes = net.recipe.backbone.classes
    per_voxel += images * classes * (math.prod(frame.native) / math.prod(frame.shape) + given)
    held = min(2, max(net.recipe.render.looks, 1 + (net.recipe.contrast == "either")))
    return int(4 * math.prod(frame.shape) * per_voxel) * held


@torch.inference_mode()
def coarse_pass(
    net: Morse,
    stack: NDArray[np.float32],
    frame: WorkFrame,
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
    given: Tensor | None = None,
    window: tuple[int, ...] | None = None,
) -> CoarsePass:
    """Run the backbone over a stack of normalised images.

    Parameters
    ----------
    window
        Voxels of a tile; the training window when None.
    given
        (C, B, *space) logits that stand for the backbone's own, as `mask_logits` makes them; its decoder maps are used
        all the same.
    """
    device = next(net.parameters()).device
    dims = len(frame.native)
    images = np.ascontiguousarray(stack).reshape(len(stack), -1, *frame.native)
    work = np.stack([np.stack([to_work_grid(channel, frame) for channel in image]) for image in images])
    batch = SLICES_PER_PASS if dims == 2 else 1
    pixels = torch.from_numpy(work).to(device)
    train = net.recipe.train
    maps = stitched_maps(net, pixels, window or train.window, batch, tick, cancelled, train.overlap)
    step = torch.tensor([1 / s for s in frame.scale], dtype=torch.float32, device=device)
    native = NativeImage(torch.from_numpy(images).to(device), step)
    if given is None:
        return CoarsePass(net.mixed(maps), frame, native, pixels, _on_native(maps, frame))
    # First: below, the given mask's logits take the place of the model's own.
    found_share = _found_share(maps, given.to(device), frame)
    maps = net.mixed(maps)
    maps = replace(maps, logits=_on_work(given.to(device), frame), logit_stride=1)
    return CoarsePass(maps, frame, native, pixels, given.to(device), given=True, found_share=found_share)


def _found_share(maps: CoarseMaps, given: Tensor, frame: WorkFrame) -> float | None:
    """Share of a given mask in which the stitched logits have any structure, each voxel by the cell nearest to it."""
    own = maps.logits.argmax(1) > 0
    for axis in range(len(frame.native)):
        low, high, part = _cells(maps, frame, axis)
        own = own.index_select(axis + 1, torch.where(part < 0.5, low, high))
    inside = given.argmax(0) > 0
    count = int(inside.sum())
    return int((own & inside).sum()) / count if count else None


def _on_native(maps: CoarseMaps, frame: WorkFrame) -> Tensor:
    """Stitched logits → (C, B, *native), linear, one axis after the other, some planes at a time."""
    logits = maps.logits.movedim(1, 0)
    low, high, part = _cells(maps, frame, 0)
    others = [(axis + 2, *_cells(maps, frame, axis)) for axis in range(len(frame.native) - 1, 0, -1)]
    whole = logits.new_empty((*logits.shape[:2], *frame.native))
    planes = max(1, LOGITS_AT_ONCE // max(1, whole[:, :, 0].numel()))
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
    # Clipped, not padded with zeros: at the image's end zero logits would be a tie of all classes.
    inside = torch.from_numpy(np.clip(cells, 0, last))
    low = inside.floor().long()
    part = (inside - low).to(maps.logits.dtype)
    device = maps.logits.device
    return low.to(device), (low + 1).clamp(max=last).to(device), part.to(device)


def _between(logits: Tensor, axis: int, low: Tensor, high: Tensor, part: Tensor) -> Tensor:
    share = part.view([-1 if a == axis else 1 for a in range(logits.ndim)])
    return torch.lerp(logits.index_select(axis, low), logits.index_select(axis, high), share)


def _on_work(logits: Tensor, frame: WorkFrame) -> Tensor:
    """(C, B, *native) → (B, C, *work), linear, continued past the image's end."""
    native = [torch.from_numpy(frame.to_native(np.arange(n), axis)) for axis, n in enumerate(frame.shape)]
    return interpolated(logits.movedim(1, 0), [n.to(logits.device) for n in native])
