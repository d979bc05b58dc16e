"""Test-time augmentation of what is in doubt: the backbone over the boundary's box again, mirrored and out of step.

A strided backbone answers on a grid of cells, and the answer at a voxel depends on where the cells happen to lie. A
further view shifts that grid by half a cell and mirrors the image left to right; its maps are read at the same voxels.
Recipes count views as ``render.looks``, the first one included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_morse.config import Recipe
from napari_morse.geometry.resampling import WorkFrame, work_frame
from napari_morse.inference.engine import CoarsePass
from napari_morse.model.morse import Morse

TTA_CONTEXT = 0.25
"""Share of a window that is read around the doubtful voxels."""


@dataclass(frozen=True)
class TtaView:
    """How a view differs from the first, plain one."""

    mirrored: bool
    """Left to right."""
    shifted: bool
    """By half a cell."""


EXTRA_VIEWS = {
    1: (),
    2: (TtaView(mirrored=True, shifted=True),),
    4: (
        TtaView(mirrored=True, shifted=True),
        TtaView(mirrored=False, shifted=True),
        TtaView(mirrored=True, shifted=False),
    ),
}


def extra_views(recipe: Recipe) -> tuple[TtaView, ...]:
    """The views of a recipe after the first; a model that never saw mirrored samples is not shown any."""
    wanted = EXTRA_VIEWS[recipe.render.looks]
    if recipe.train.mirror:
        return wanted
    return tuple(dict.fromkeys(TtaView(mirrored=False, shifted=True) for view in wanted if view.shifted))


@dataclass(frozen=True, eq=False)
class TtaBox:
    """What a view reads of a stack (B, *space): a box of it, perhaps mirrored along its first axis in space.

    Parameters
    ----------
    start, stop
        (1 + d) first slice and voxel, and the ends.
    mirrored
        Whether the box is read backwards along axis 1.
    frame
        Working frame of the box.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]
    mirrored: bool
    frame: WorkFrame

    def of(self, pixels: Tensor) -> NDArray[np.float32]:
        """(B, channels, *space) pixels → the box, (b, channels, *box)."""
        slices, *box = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        part: NDArray[np.float32] = pixels[(slices, slice(None), *box)].cpu().numpy()
        # A copy, not `ascontiguousarray`: that keeps the negative stride of an axis of one voxel, which torch refuses.
        return part[:, :, ::-1].copy() if self.mirrored else part

    def logits_of(self, logits: Tensor) -> Tensor:
        """(C, B, *space) logits → the box, (C, b, *box)."""
        part = logits[(slice(None), *(slice(a, b) for a, b in zip(self.start, self.stop, strict=True)))]
        return part.flip(2) if self.mirrored else part

    def index(self, flat: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Flat indices into (B, *space) of ``shape`` → flat indices into the box as it is read."""
        axes = [v - a for v, a in zip(torch.unravel_index(flat, shape), self.start, strict=True)]
        lengths = [b - a for a, b in zip(self.start, self.stop, strict=True)]
        if self.mirrored:
            axes[1] = lengths[1] - 1 - axes[1]
        index = torch.zeros_like(flat)
        for axis, length in zip(axes, lengths, strict=True):
            index = index * length + axis
        return index


def tta_tile(net: Morse, box: TtaBox) -> tuple[int, ...]:
    """The tile of a view: where the box is longer than a training window, a cell of all maps more than that.

    A box lies beside the first pass's cells and is a cell longer for it. With tiles that are as much longer it is cut
    where the first pass is, so that how far windows overlap means the same in both.
    """
    window, divisor = net.recipe.train.window, net.backbone.divisor
    return tuple(min(n, w + divisor) if n > w else w for n, w in zip(box.frame.shape, window, strict=True))


def tta_box(net: Morse, done: CoarsePass, chosen: Tensor, view: TtaView) -> TtaBox:
    """The box of a view: the chosen voxels (flat indices into (B, *space)), some context, at least one window."""
    shape = tuple(done.logits.shape[1:])
    places = torch.unravel_index(chosen, shape)
    start, stop = [int(places[0].min())], [int(places[0].max()) + 1]
    scales, windows = done.frame.scale, net.recipe.train.window
    for axis, (length, scale, window) in enumerate(zip(shape[1:], scales, windows, strict=True), start=1):
        low, high = _reach(int(places[axis].min()), int(places[axis].max()) + 1, window / scale, length)
        start.append(low)
        stop.append(high)
    box = tuple(b - a for a, b in zip(start[1:], stop[1:], strict=True))
    # A frame depends on the ratio of its two spacings only.
    plain = work_frame(box, scales, (1.0,) * len(scales), windows, net.backbone.divisor)
    frame = _out_of_step(plain, done.frame, tuple(start[1:]), view, net.backbone.logit_stride, net.backbone.divisor)
    return TtaBox(tuple(start), tuple(stop), view.mirrored, frame)


def _reach(low: int, high: int, window: float, length: int) -> tuple[int, int]:
    context = math.ceil(TTA_CONTEXT * window)
    low, high = max(0, low - context), min(length, high + context)
    short = max(0, math.ceil(window) - (high - low))
    low = max(0, low - short // 2)
    high = min(length, max(high, low + math.ceil(window)))
    return max(0, min(low, high - math.ceil(window))), high


def _out_of_step(
    frame: WorkFrame, first: WorkFrame, start: tuple[int, ...], view: TtaView, stride: int, divisor: int
) -> WorkFrame:
    """``frame`` with its cells half a cell beside those of the first view, or upon them where the view is not shifted.

    On a resampled grid, where the box starts between two working voxels, they lie beside those by some fraction.
    """
    stride = max(2, stride)
    half = stride // 2 if view.shifted else 0
    pads, shape = [], []
    for axis, (pad, inner, size) in enumerate(zip(frame.pad, frame.inner, frame.shape, strict=True)):
        edge = -first.pad[axis]
        if view.mirrored and axis == 0:
            shift = (edge + half - start[axis] - frame.native[axis] - pad) % stride
        else:
            shift = (start[axis] - pad - edge - half) % stride
        if pad + shift + inner > size and pad + shift - stride >= 0:
            shift -= stride
        pads.append(pad + shift)
        shape.append(size if pad + shift + inner <= size else size + divisor)
    return replace(frame, pad=tuple(pads), shape=tuple(shape))
