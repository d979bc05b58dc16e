"""Rendering: the doubtful voxels of a coarse pass predicted again; training judges its models with the same code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_morse.errors import CancelledError
from napari_morse.inference.engine import CoarsePass, coarse_pass, frame_of
from napari_morse.inference.looks import View, further_looks, view_of
from napari_morse.inference.passes import doubts, labels_and_margins, read_once
from napari_morse.inference.tiles import Tick, window_count
from napari_morse.model.morse import Morse

CHUNK = 16384
"""Points per block: between two of them a run may be cancelled."""


@dataclass(frozen=True, eq=False)
class Rendering:
    """What came out, on the image's own grid.

    Parameters
    ----------
    coarse, rendered
        (B, *space) class indices (channel numbers, not label ids), uint8 or, above 256 classes, int16.
    voxel
        (N, 1 + d) int64 indices of the re-predicted voxels, most doubtful (in the coarse map) first.
    weights
        (N, S) float32 of the experts.
    before
        (C, B, *space) coarse logits.
    again
        (N, C) float32 logits of the re-predicted voxels.
    finite
        Whether all logits are finite numbers.
    """

    coarse: NDArray[np.integer]
    rendered: NDArray[np.integer]
    voxel: NDArray[np.int64]
    weights: NDArray[np.float32]
    before: Tensor
    again: NDArray[np.float32]
    finite: bool

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """(C, B, *space) float32 after rendering: as large as the coarse ones, and made when asked for."""
        whole: NDArray[np.float32] = self.before.cpu().numpy().copy()
        whole[(slice(None), *self.voxel.T)] = self.again.T
        return whole

    @cached_property
    def margin(self) -> NDArray[np.float32]:
        """(B, *space) float32 ≥ 0, largest minus second largest logit after rendering; made when asked for."""
        whole: NDArray[np.float32] = labels_and_margins(self.before)[1].view(self.before.shape[1:]).cpu().numpy()
        whole[tuple(self.voxel.T)] = self.point_margin
        return whole

    @cached_property
    def point_margin(self) -> NDArray[np.float32]:
        """(N,) the margin at the re-predicted voxels."""
        found: NDArray[np.float32] = labels_and_margins(torch.from_numpy(self.again.T))[1].numpy()
        return found

    def doubt(self, temperature: float) -> NDArray[np.float32]:
        """(B, *space) one minus the difference of the two largest probabilities after rendering, 0 to 1."""
        found: NDArray[np.float32] = doubts(self.before, temperature).view(self.before.shape[1:]).cpu().numpy()
        found[tuple(self.voxel.T)] = doubts(torch.from_numpy(self.again.T), temperature).numpy()
        return found


def doubtful(logits: Tensor, below: float, fraction: float) -> Tensor:
    """Flat indices of the voxels of (C, …) logits whose margin is below a bound, most doubtful first.

    At most a ``fraction`` of all voxels.
    """
    return read_once(logits, below).doubtful(_most(logits[0].numel(), fraction))


def _most(voxels: int, fraction: float) -> int:
    return max(1, int(fraction * voxels))


@torch.inference_mode()
def render(
    net: Morse,
    done: CoarsePass,
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Rendering:
    """Re-predict the doubtful voxels of a coarse pass and write them back; no other voxel changes.

    With more than one look, the logits and the experts' weights at a voxel are means over the looks.
    """
    config = net.recipe.render
    shape = tuple(done.logits.shape[1:])
    reading = read_once(done.logits, config.uncertain_below)
    chosen = reading.doubtful(_most(len(reading.labels), config.fraction))
    # Neighbours one after the other: what they read lies together.
    place = chosen.argsort()
    logits, weights = (rows[place.argsort()] for rows in _looked_at(net, done, chosen[place], tick, cancelled))
    rendered = reading.labels.clone()
    rendered[chosen] = labels_and_margins(logits.T)[0]
    voxel = torch.stack(torch.unravel_index(chosen, shape), dim=1)
    return Rendering(
        reading.labels.view(shape).cpu().numpy(),
        rendered.view(shape).cpu().numpy(),
        voxel.cpu().numpy(),
        weights.cpu().numpy(),
        done.logits,
        logits.cpu().numpy(),
        reading.finite and bool(torch.isfinite(logits).all()),
    )


def _looked_at(
    net: Morse, done: CoarsePass, chosen: Tensor, tick: Tick | None, cancelled: Callable[[], bool] | None
) -> tuple[Tensor, Tensor]:
    """Means over the looks of a recipe: logits (M, C) and weights (M, S) at the chosen voxels."""
    looks = further_looks(net.recipe) if len(chosen) else ()
    views = [view_of(net, done, chosen, look) for look in looks]
    blocks = -(-len(chosen) // CHUNK)
    steps = [blocks, *(n for view in views for n in (_windows(net, view), blocks))]
    ticks = (_from(sum(steps[:k]), sum(steps), tick) for k in range(len(steps)))
    logits, weights = render_voxels(net, done, chosen, next(ticks), cancelled)
    for view in views:
        again = coarse_pass(net, view.of(done.native.pixels), view.frame, next(ticks), cancelled)
        index = view.index(chosen, tuple(done.logits.shape[1:]))
        other = render_voxels(net, again, index, next(ticks), cancelled)
        logits, weights = logits + other[0], weights + other[1]
    return logits / (1 + len(views)), weights / (1 + len(views))


def _windows(net: Morse, view: View) -> int:
    slices = view.stop[0] - view.start[0]
    return slices * window_count(view.frame.shape, net.recipe.train.window, net.backbone.divisor)


def _from(before: int, total: int, tick: Tick | None) -> Tick | None:
    return None if tick is None else lambda done, _: tick(before + done, total)


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
