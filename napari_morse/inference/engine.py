"""From a normalised image to coarse and rendered logits on its own grid; training judges its models with the same code.

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

from napari_morse.errors import CancelledError
from napari_morse.geometry.resampling import WorkFrame, to_work_grid, work_frame
from napari_morse.inference.tiles import Tick, stitched_maps
from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.morse import Morse, NativeImage
from napari_morse.model.points import uncertainty

CHUNK = 16384
"""Points per pass of the renderer: its buffers stay in the processor's cache."""
SLICES = 8
"""Slices per pass of a 2-D model."""


@dataclass(frozen=True, eq=False)
class Rendering:
    """What came out, on the image's own grid.

    Parameters
    ----------
    coarse, rendered
        (B, *space) int64 class indices (channel numbers, not label ids).
    margin
        (B, *space) float32 ≥ 0, largest minus second largest logit after rendering.
    logits
        (C, B, *space) float32 after rendering.
    voxel
        (N, 1 + d) int64 indices of the re-predicted voxels, most doubtful (in the coarse map) first.
    weights
        (N, S) float32 of the experts.
    """

    coarse: NDArray[np.int64]
    rendered: NDArray[np.int64]
    margin: NDArray[np.float32]
    logits: NDArray[np.float32]
    voxel: NDArray[np.int64]
    weights: NDArray[np.float32]


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
    """Bytes that the stitched maps of a stack of ``images`` take, in float32, with the image itself."""
    backbone, dims = net.backbone, len(frame.shape)
    per_voxel = 1 + net.recipe.backbone.classes / backbone.logit_stride**dims
    per_voxel += sum(c / s**dims for c, s in zip(backbone.channels, backbone.strides, strict=True))
    return int(4 * images * math.prod(frame.shape) * per_voxel)


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


def doubtful(logits: Tensor, below: float, fraction: float) -> Tensor:
    """Flat indices of the voxels of (C, …) logits whose margin is below a bound, most doubtful first.

    At most a ``fraction`` of all voxels.
    """
    doubt = uncertainty(logits, dim=0).flatten()
    found = torch.nonzero(doubt > -below).squeeze(1)
    order = doubt[found].argsort(descending=True, stable=True)
    return found[order][: max(1, int(fraction * doubt.numel()))]


@torch.inference_mode()
def render(
    net: Morse,
    done: CoarsePass,
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Rendering:
    """Re-predict the doubtful voxels of a coarse pass and write them back; no other voxel changes."""
    config = net.recipe.render
    shape = tuple(done.logits.shape[1:])
    chosen = doubtful(done.logits, config.uncertain_below, config.fraction)
    logits, weights = render_voxels(net, done, chosen, tick, cancelled)
    flat = done.logits.flatten(1).clone()
    coarse = flat.argmax(dim=0).view(shape)
    flat[:, chosen] = logits.T
    margin = -uncertainty(flat, dim=0).view(shape)
    voxel = torch.stack(torch.unravel_index(chosen, shape), dim=1)
    return Rendering(
        coarse.cpu().numpy(),
        flat.argmax(dim=0).view(shape).cpu().numpy(),
        margin.cpu().numpy(),
        flat.view(done.logits.shape).cpu().numpy(),
        voxel.cpu().numpy(),
        weights.cpu().numpy(),
    )


@torch.inference_mode()
def render_voxels(
    net: Morse,
    done: CoarsePass,
    chosen: Tensor,
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits (M, C) and expert weights (M, S) at M voxels given by their flat index into (B, *native)."""
    shape = tuple(done.logits.shape[1:])
    flat = done.logits.flatten(1)
    scale = torch.tensor(done.frame.scale, dtype=torch.float64, device=flat.device)
    pad = torch.tensor(done.frame.pad, dtype=torch.float64, device=flat.device)
    parts: list[tuple[Tensor, Tensor]] = []
    chunks = chosen.split(CHUNK)
    for number, part in enumerate(chunks):
        if cancelled is not None and cancelled():
            raise CancelledError
        image, *axes = torch.unravel_index(part, shape)
        native = torch.stack(axes, dim=1)
        work = ((native + 0.5) * scale - 0.5 + pad).float()
        parts.append(net.render(done.maps, image, work, done.native, native.float(), flat[:, part].T))
        if tick is not None:
            tick(number + 1, len(chunks))
    logits, weights = (torch.cat(p) for p in zip(*parts, strict=True))
    return logits, weights


def segment(net: Morse, stack: NDArray[np.float32], spacing: tuple[float, ...], target: tuple[float, ...]) -> Rendering:
    """Both masks of a normalised stack in one call."""
    return render(net, coarse_pass(net, stack, frame_of(stack, spacing, target, net)))
