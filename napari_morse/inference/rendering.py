"""Rendering: the doubtful voxels of a coarse pass predicted again; training judges its models with the same code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_morse.config import RenderConfig
from napari_morse.errors import CancelledError
from napari_morse.geometry.resampling import WorkFrame
from napari_morse.inference.boundary_stem import stem_at_points
from napari_morse.inference.engine import CoarsePass, coarse_pass, frame_of
from napari_morse.inference.masks import DOUBTED
from napari_morse.inference.polarity import choose_polarity
from napari_morse.inference.selection import count_of, most_uncertain
from napari_morse.inference.tiles import Tick, window_count
from napari_morse.inference.tta import TtaBox, extra_views, tta_box, tta_tile
from napari_morse.inference.voxel_scan import Margins, doubts, errors, labels_and_margins, scan_margins
from napari_morse.model.morse import Morse

POINTS_PER_BLOCK = 16384
"""Points per block: between two of them a run may be cancelled."""


@dataclass(frozen=True, eq=False)
class Rendering:
    """What came out, on the image's own grid.

    Parameters
    ----------
    coarse, rendered
        (B, *space) class indices (channel numbers, not label ids), uint8 or, above 256 classes, int16.
    voxel_stack
        (N, 1 + d) int64 indices of the re-predicted voxels: step after step, most doubtful (in the map that the step
        found) first.
    weights
        (N, S) float32 of the experts.
    before
        (C, B, *space) coarse logits.
    again
        (N, C) float32 logits of the re-predicted voxels.
    finite
        Whether all logits are finite numbers.
    kept_classes
        Classes of which the new logits left nothing: their coarse voxels stay, a missed structure helps nobody.
    """

    coarse: NDArray[np.integer]
    rendered: NDArray[np.integer]
    voxel_stack: NDArray[np.int64]
    weights: NDArray[np.float32]
    before: Tensor
    again: NDArray[np.float32]
    finite: bool
    kept_classes: tuple[int, ...] = ()

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """(C, B, *space) float32 after rendering: as large as the coarse ones, and made when asked for."""
        whole: NDArray[np.float32] = self.before.cpu().numpy().copy()
        whole[(slice(None), *self.voxel_stack.T)] = self.again.T
        return whole

    @cached_property
    def margin(self) -> NDArray[np.float32]:
        """(B, *space) float32 ≥ 0, largest minus second largest logit after rendering; made when asked for."""
        whole: NDArray[np.float32] = labels_and_margins(self.before)[1].view(self.before.shape[1:]).cpu().numpy()
        whole[tuple(self.voxel_stack.T)] = self.point_margin
        return whole

    @cached_property
    def point_margin(self) -> NDArray[np.float32]:
        """(N,) the margin at the re-predicted voxels."""
        margin: NDArray[np.float32] = labels_and_margins(torch.from_numpy(self.again.T))[1].numpy()
        return margin

    def doubt(self, temperature: float) -> NDArray[np.float32]:
        """(B, *space) one minus the difference of the two largest probabilities after rendering, 0 to 1."""
        doubt: NDArray[np.float32] = doubts(self.before, temperature).view(self.before.shape[1:]).cpu().numpy()
        doubt[tuple(self.voxel_stack.T)] = doubts(torch.from_numpy(self.again.T), temperature).numpy()
        return doubt

    def error(self, given: NDArray[np.integer], temperature: float) -> NDArray[np.float32]:
        """(B, *space) classes → one minus their probabilities after rendering, 0 to 1."""
        classes = torch.from_numpy(given.astype(np.int64))
        whole = errors(self.before, classes.flatten().to(self.before.device), temperature)
        error: NDArray[np.float32] = whole.view(self.before.shape[1:]).cpu().numpy()
        at = tuple(self.voxel_stack.T)
        error[at] = errors(torch.from_numpy(self.again.T), classes[at], temperature).numpy()
        return error


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

    Further steps choose from the map that the last one left, while the head goes on reading the coarse pass. A voxel
    that was predicted would be given the same logits again, so it is not. With more than one view, the logits and the
    experts' weights at a voxel are means over the views.
    """
    config = net.recipe.render
    shape = tuple(done.logits.shape[1:])
    bound = DOUBTED if done.given else config.uncertain_below
    margins = scan_margins(done.logits, bound)
    chosen, logits, weights = _steps(net, done, margins, tick, cancelled)
    rendered = margins.labels.clone()
    rendered[chosen] = labels_and_margins(logits.T)[0]
    kept_classes = _keep(margins.labels, rendered, chosen)
    voxel_stack = torch.stack(torch.unravel_index(chosen, shape), dim=1)
    return Rendering(
        margins.labels.view(shape).cpu().numpy(),
        rendered.view(shape).cpu().numpy(),
        voxel_stack.cpu().numpy(),
        weights.cpu().numpy(),
        done.logits,
        logits.cpu().numpy(),
        margins.finite and bool(torch.isfinite(logits).all()),
        kept_classes,
    )


def _keep(coarse: Tensor, rendered: Tensor, chosen: Tensor) -> tuple[int, ...]:
    """Give classes that vanished from ``rendered`` (flat, changed in place) their coarse voxels back; which ones."""
    before, after = coarse[chosen], rendered[chosen]
    gone = set(before.unique().tolist()) - set(after.unique().tolist()) - {0}
    # A class with voxels that were not re-predicted is still in the mask.
    kept_classes = [c for c in sorted(gone) if int((coarse == c).sum()) == int((before == c).sum())]
    for c in kept_classes:
        rendered[chosen[before == c]] = c
    return tuple(int(c) for c in kept_classes)


def _steps(
    net: Morse, done: CoarsePass, margins: Margins, tick: Tick | None, cancelled: Callable[[], bool] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Step after step: flat indices of what was chosen, its logits (N, C) and weights (N, S)."""
    config = net.recipe.render
    whole = done.logits
    fresh = None
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for step in range(config.steps):
        if step:
            whole = done.logits.clone() if step == 1 else whole  # the head goes on reading the coarse pass itself
            fresh = torch.ones(len(margins.labels), dtype=torch.bool, device=whole.device) if fresh is None else fresh
            previous, logits, _ = parts[-1]
            whole.flatten(1)[:, previous], fresh[previous] = logits.T, False
            margins = scan_margins(whole, DOUBTED if done.given else config.uncertain_below)
        chosen = selected(whole, margins, config)
        chosen = chosen if fresh is None else chosen[fresh[chosen]]
        # Neighbours one after the other: what they read lies together.
        by_index = chosen.argsort()
        rows = _over_views(net, done, chosen[by_index], _during(step, config.steps, tick), cancelled)
        logits, weights = (part[by_index.argsort()] for part in rows)  # the inverse permutation
        parts.append((chosen, logits, weights))
    chosen, logits, weights = (torch.cat(p) for p in zip(*parts, strict=True))
    return chosen, logits, weights


def selected(whole: Tensor, margins: Margins, config: RenderConfig) -> Tensor:
    """Flat indices of what a recipe predicts again in a map (C, B, *space), most doubtful first."""
    if config.selection == "count":
        return most_uncertain(whole, count_of(config, whole[0, 0].numel()))
    return margins.doubtful(_most(len(margins.labels), config.fraction))


def _over_views(
    net: Morse, done: CoarsePass, chosen: Tensor, tick: Tick | None, cancelled: Callable[[], bool] | None
) -> tuple[Tensor, Tensor]:
    """Means over the views of a recipe: logits (M, C) and weights (M, S) at the chosen voxels."""
    extra = extra_views(net.recipe) if len(chosen) else ()
    views = [tta_box(net, done, chosen, look) for look in extra]
    blocks = max(1, -(-len(chosen) // POINTS_PER_BLOCK))
    steps = [blocks, *(n for view in views for n in (_windows(net, view), blocks))]
    ticks = (_share(tick, sum(steps[:k]), step, sum(steps)) for k, step in enumerate(steps))
    logits, weights = render_voxels(net, done, chosen, next(ticks), cancelled)
    for view in views:
        given = view.logits_of(done.logits) if done.given else None
        pixels, window = view.of(done.native.pixels), tta_tile(net, view)
        again = coarse_pass(net, pixels, view.frame, next(ticks), cancelled, given, window)
        index = view.index(chosen, tuple(done.logits.shape[1:]))
        other = render_voxels(net, again, index, next(ticks), cancelled)
        logits, weights = logits + other[0], weights + other[1]
    return logits / (1 + len(views)), weights / (1 + len(views))


def _windows(net: Morse, view: TtaBox) -> int:
    slices = view.stop[0] - view.start[0]
    train = net.recipe.train
    return slices * window_count(view.frame.shape, tta_tile(net, view), net.backbone.divisor, train.overlap)


def _during(step: int, steps: int, tick: Tick | None) -> Tick | None:
    """A step tells of its part of ``steps`` equal ones."""
    return None if tick is None else lambda done, total: tick(step * max(total, 1) + done, steps * max(total, 1))


def _share(tick: Tick | None, before: int, weight: int, total: int) -> Tick | None:
    """A stage that fills ``weight`` of ``total`` parts after those ``before``, in hundredths of a part."""
    if tick is None:
        return None
    return lambda done, steps: tick(round(100 * (before + weight * done / max(steps, 1))), 100 * total)


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
    image, *axes = torch.unravel_index(chosen, shape)
    return render_places(
        net, done, image, torch.stack(axes, dim=1), lambda part: flat[:, chosen[part]].T, tick, cancelled
    )


@torch.inference_mode()
def render_places(
    net: Morse,
    done: CoarsePass,
    image: Tensor,
    voxel_native: Tensor,
    coarse: Callable[[Tensor], Tensor],
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits (M, C) and expert weights (M, S) at M voxels.

    Parameters
    ----------
    image, voxel_native
        (M,) image of the stack and (M, d) voxel of it.
    coarse
        Gives the (n, C) coarse logits of n of them, by their place in the list.
    """
    work = on_work(voxel_native, done.frame)
    stem = stem_at_points(net, done, image, work, _share(tick, 0, 1, 2), cancelled)
    points = tick if stem is None else _share(tick, 1, 1, 2)
    parts: list[tuple[Tensor, Tensor]] = []
    chunks = torch.arange(len(voxel_native), device=voxel_native.device).split(POINTS_PER_BLOCK)
    for number, part in enumerate(chunks):
        if cancelled is not None and cancelled():
            raise CancelledError
        parts.append(
            net.render(
                done.maps, image[part], work[part], done.native, voxel_native[part].float(), coarse(part),
                None if stem is None else stem[part],
            )
        )  # fmt: skip
        if points is not None:
            points(number + 1, len(chunks))
    logits, weights = (torch.cat(p) for p in zip(*parts, strict=True))
    return logits, weights


def on_work(voxel_native: Tensor, frame: WorkFrame) -> Tensor:
    """(N, d) indices of the scan's own voxels → working indices, float32."""
    # As `WorkFrame.to_work`, in float64 and rounded once at the end, so that both name the same cell.
    scale = torch.tensor(frame.scale, dtype=torch.float64, device=voxel_native.device)
    pad = torch.tensor(frame.pad, dtype=torch.float64, device=voxel_native.device)
    return ((voxel_native + 0.5) * scale - 0.5 + pad).float()


def segment(net: Morse, stack: NDArray[np.float32], spacing: tuple[float, ...], target: tuple[float, ...]) -> Rendering:
    """Both masks of a normalised stack in one call."""
    return render(net, choose_polarity(net, stack, frame_of(stack, spacing, target, net))[1])
