"""What training makes small: the error of both masks, and, in a round, the way from the base model.

Shapes: B samples, C classes, *space their voxels, N points over all samples. A point is an image's number (N,) and its
place in voxels (N, d).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_morse.config import Recipe
from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.losses import point_loss, point_weight, supervised_loss
from napari_morse.model.morse import Morse, NativeImage
from napari_morse.model.points import nearest_labels, sample, training_points
from napari_morse.training.boxes import Boxes, draw_box, whole_image
from napari_morse.training.sampling import Samples
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import CODE_CORRECTED, CODE_UNREVIEWED

DISTIL_EVERY = 2
"""Steps between two looks at what the base model says: it costs a third of a step."""
FINE = 10_000
"""Parts into which a run is cut for the renderer's weight."""


class Objective(ABC):
    """What a step makes small."""

    @abstractmethod
    def loss(self, net: Morse, step: int, share: float, samples: Samples) -> Tensor:
        """() loss of a batch, on the network's device; ``share`` of the run is over."""

    def renders(self, share: float) -> bool:  # noqa: ARG002
        """Whether the renderer is trained at that share of the run, and its coarse maps are to be damaged."""
        return True


class FromLabels(Objective):
    """Every voxel alike: the backbone alone, then both (`TrainConfig.stage_one`).

    Parameters
    ----------
    recipe
        Of the network.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def renders(self, share: float) -> bool:
        """From the second stage on."""
        # A ramp begins at 0: the second stage has begun though the weight says nothing of it yet.
        return self._weight(share) > 0 or share >= self.recipe.train.second_stage < 1

    def _weight(self, share: float) -> float:
        train = self.recipe.train
        start = round(train.second_stage * FINE)
        return point_weight(round(share * FINE), FINE, start, train.point_weight, train.point_ramp)

    def loss(self, net: Morse, step: int, share: float, samples: Samples) -> Tensor:  # noqa: ARG002
        """The coarse map's error, and in the second stage that of the points."""
        train = self.recipe.train
        maps = self._coarse(net, samples.images)
        loss = samples.images.new_zeros(()) if train.frozen else supervised_loss(maps, samples.labels)
        if self.renders(share):
            loss = loss + self._weight(share) * self._points(net, maps, samples)
        return loss

    def _coarse(self, net: Morse, images: Tensor) -> CoarseMaps:
        half = self.recipe.train.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            maps = net.coarse(images)
        # Losses and points in float32: only the backbone's convolutions run in bfloat16.
        return maps.float() if half else maps

    def _points(self, net: Morse, maps: CoarseMaps, samples: Samples) -> Tensor:
        config = self.recipe.render
        # Detached by default: the point loss cost the coarse mask more than rendering won.
        seen = roughened(maps.detached() if config.detach else maps, samples)
        points = draw_points(net, seen, config.voxel_centres)
        truth = nearest_labels(samples.labels, points.image, points.voxel)
        return point_loss(rendered(net, seen, samples.images, points), truth, self.recipe.train.point_dice)


class FromCorrections(Objective):
    """Each voxel by what a person did to it, and near to the base model where the labels do not contradict it.

    Parameters
    ----------
    base
        The model that is tuned, on the device of the training; it stays as it is.
    settings
        Of the round.
    """

    def __init__(self, base: Morse, settings: TuneSettings) -> None:
        self.base, self.settings = base, settings

    def loss(self, net: Morse, step: int, share: float, samples: Samples) -> Tensor:  # noqa: ARG002
        """The weighted error of both masks, and every second step the distance from what the base model says."""
        tuned = self.settings.what != "head"
        weights = weights_of(samples.codes, self.settings.corrected)
        # A backbone that stands still need not be asked again: a head's samples come with what it said of them.
        maps = net.coarse(samples.images) if tuned else getattr(samples, "maps", None) or self._still(samples.images)
        loss = samples.images.new_zeros(())
        full = maps.full_logits()
        if tuned:
            loss = loss + weighted_loss(full, samples.labels, weights, 0.5)
        stays = self.settings.distil > 0 and step % DISTIL_EVERY == 0
        before = (self._still(samples.images) if tuned else maps) if stays else None
        if before is not None and tuned:
            pull = self.settings.distil * DISTIL_EVERY
            loss = loss + pull * staying(full, before.full_logits(), samples.labels, samples.codes)
        return loss + self._points(net, samples, maps, weights, before)

    @torch.no_grad()
    def _still(self, images: Tensor) -> CoarseMaps:
        maps: CoarseMaps = self.base.coarse(images)
        return maps

    def _points(
        self, net: Morse, samples: Samples, maps: CoarseMaps, weights: Tensor, before: CoarseMaps | None
    ) -> Tensor:
        """Loss of the renderer at points drawn as in training; more where the mask is wrong made it overshoot."""
        seen = roughened(maps.detached(), samples)
        # In doubt is what the renderer is shown: a damaged truth has its border elsewhere than the network's own map.
        points = draw_points(net, seen, voxel_centres=True)
        truth = nearest_labels(samples.labels, points.image, points.voxel)
        logits = rendered(net, seen, samples.images, points)
        loss = weighted_loss(logits, truth, points.of(weights), net.recipe.train.point_dice)
        if before is not None:
            with torch.no_grad():
                # Both see the same damage at the same points: else the difference would be of what they were shown.
                said = rendered(self.base, roughened(before, samples), samples.images, points)
            pull = self.settings.distil * DISTIL_EVERY
            loss = loss + pull * staying(logits, said, truth, points.of(samples.codes))
        return loss


# Points


@dataclass(frozen=True, eq=False)
class DrawnPoints:
    """Where the renderer is trained.

    Parameters
    ----------
    box
        In which the native stem runs.
    image
        (N,) int64.
    voxel
        (N, d) float32.
    """

    box: Boxes
    image: Tensor
    voxel: Tensor

    def of(self, maps: Tensor) -> Tensor:
        """(B, *space) → (N,), at the nearest voxels."""
        return maps[(self.image, *self.voxel.round().long().T)]


def draw_points(net: Morse, maps: CoarseMaps, voxel_centres: bool) -> DrawnPoints:
    """Points where the coarse map is in doubt, and some anywhere; with a stem, in a box around the boundary."""
    config = net.recipe.render
    box = whole_image(maps) if net.stem is None else draw_box(maps, config.stem_window, net.stem.reach)
    image, voxel = training_points(
        maps.logits, maps.logit_stride, box.inner_size, config.points, config.oversample, config.importance,
        voxel_centres=voxel_centres, start=box.inner_start,
    )  # fmt: skip
    return DrawnPoints(box, image, voxel)


def rendered(net: Morse, maps: CoarseMaps, images: Tensor, points: DrawnPoints) -> Tensor:
    """(N, C) logits of the renderer at points, from the maps and the (B, channels, *space) images."""
    native = NativeImage(images, torch.ones(len(maps.size), device=images.device))
    stem = None
    if net.stem is not None:
        features = net.stem(points.box.of(images), points.box.of(maps.full_logits()))
        stem = sample(features, points.image, points.voxel - points.box.start[points.image])
    logits, _ = net.render(maps, points.image, points.voxel, native, points.voxel, stem=stem)
    return logits


def roughened(maps: CoarseMaps, samples: Samples) -> CoarseMaps:
    """The maps as the renderer sees them: some samples with a damaged truth for coarse logits.

    The head then also sharpens a painted stroke, or a mask that another program made.
    """
    if not samples.damaged.any():
        return maps
    # A clone: at stride 1 these are a view of the network's own logits, which the coarse loss reads.
    logits = maps.full_logits().clone()
    logits[samples.damaged] = samples.rough
    return replace(maps, logits=logits, logit_stride=1)


# Errors


def weights_of(codes: Tensor, corrected: float) -> Tensor:
    """Codes of any shape → float32 weights: 1, 0 where nobody reviewed, ``corrected`` where a person changed it."""
    weights = torch.ones(codes.shape, dtype=torch.float32, device=codes.device)
    weights[codes == CODE_UNREVIEWED] = 0.0
    weights[codes == CODE_CORRECTED] = corrected
    return weights


def weighted_loss(logits: Tensor, labels: Tensor, weights: Tensor, dice: float) -> Tensor:
    """(1 − dice) · cross-entropy + dice · (1 − soft Dice without background), each voxel by its weight.

    Parameters
    ----------
    logits
        (B, C, *space) or (N, C).
    labels, weights
        (B, *space) or (N,). Without any weight the loss is 0.
    dice
        Share of the Dice term.
    """
    total = weights.sum().clamp(min=1e-6)
    entropy = (F.cross_entropy(logits, labels, reduction="none") * weights).sum() / total
    if dice == 0:
        return entropy
    probability = logits.softmax(dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = [a for a in range(logits.ndim) if a != 1]
    by = (weights > 0).to(probability.dtype).unsqueeze(1)
    # Smoothed by 1, which training's Dice is not: one formula for both would move the figures of one of them.
    overlap = (2 * (probability * truth * by).sum(axes) + 1) / ((probability + truth) * by).sum(axes).add(1)
    return (1 - dice) * entropy + dice * (1 - overlap[1:].mean())


def staying(logits: Tensor, base: Tensor, labels: Tensor, codes: Tensor) -> Tensor:
    """Mean divergence from the base model's probabilities, where the labels do not contradict it; shapes as above.

    Learning without forgetting (Li and Hoiem, 2016) on the new cases' own voxels.
    """
    # Whether the base says so: argmax across channels is slow on a CPU.
    agrees = base.gather(1, labels.unsqueeze(1)).squeeze(1) >= base.amax(dim=1)
    free = ((codes == CODE_UNREVIEWED) | agrees).to(logits.dtype)
    apart = F.kl_div(logits.log_softmax(dim=1), base.softmax(dim=1), reduction="none").sum(dim=1)
    return (apart * free).sum() / free.sum().clamp(min=1.0)
