"""MORSE assembled: a backbone's coarse maps, rendered at points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_morse.config import BackboneConfig, Recipe
from napari_morse.model.backbones import CoarseMaps, make_backbone
from napari_morse.model.dense import DenseMixture, MixedMaps
from napari_morse.model.points import neighbourhood, ring_offsets, sample, to_cells
from napari_morse.model.renderer import Renderer
from napari_morse.model.stem import NativeStem


@dataclass(frozen=True)
class NativeImage:
    """The image that the native expert reads, on its own grid.

    Parameters
    ----------
    pixels
        (B, channels, *space), normalised like the backbone's input.
    step
        (d,) voxels of this image per voxel of the model's spacing.
    """

    pixels: Tensor
    step: Tensor


def first_read(scales: int, held: int) -> int:
    """Index of the deepest of ``held`` decoder maps that is read.

    Raises
    ------
    ValueError
        When more ``scales`` are wanted than there are.
    """
    if scales > held:
        raise ValueError(f"render.scales asks for {scales} decoder maps, and the backbone has {held}")
    return held - scales if scales else 0


def sized(recipe: Recipe) -> BackboneConfig:
    """The recipe's backbone, made for its training window unless it names another size."""
    backbone = recipe.backbone
    return backbone if backbone.image_size else backbone.model_copy(update={"image_size": recipe.train.window})


class Morse(nn.Module):
    """A backbone and a renderer.

    Parameters
    ----------
    recipe
        Architecture; its training part is not used here.

    Raises
    ------
    ValueError
        When the recipe reads more scales than the backbone's decoder has.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        backbone, render = recipe.backbone, recipe.render
        self.backbone = make_backbone(sized(recipe))
        first = first_read(render.scales, len(self.backbone.strides))
        self.read_strides = self.backbone.strides[first:]
        self.offsets: Tensor
        # Not persistent: the rings stand in the recipe, and a second copy in the weights could contradict it.
        self.register_buffer("offsets", ring_offsets(backbone.spatial_dims, render.native_rings), persistent=False)
        dims, classes = backbone.spatial_dims, backbone.classes
        native = len(self.offsets) * backbone.in_channels if render.native else 0
        self.stem: NativeStem | None = None
        if render.native and render.stem:
            self.stem = NativeStem(
                dims, backbone.in_channels, classes, render.stem, render.stem_layers, render.stem_outputs
            )
            native += render.stem_outputs
        self.renderer = Renderer(render, dims, classes, self.backbone.channels[first:], self.read_strides, native)

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of the experts, in the order of their weights; one name for all that is read without a mixture."""
        if self.recipe.render.mixture == "none":
            return ("features",)
        scales = tuple(f"stride_{stride}" for stride in self.read_strides)
        return (*scales, "native") if self.recipe.render.native else scales

    def coarse(self, image: Tensor) -> CoarseMaps:
        """(B, channels, *size) normalised image → coarse maps."""
        maps: CoarseMaps = self.backbone(image)
        return maps

    def mixed(self, maps: CoarseMaps) -> CoarseMaps:
        """What is the same for all points, made once: the maps of a dense mixture; other maps as they are."""
        mixture = self.renderer.mixture
        if isinstance(mixture, DenseMixture) and not isinstance(maps, MixedMaps):
            return mixture.mixed_maps(maps)
        return maps

    def render(
        self,
        maps: CoarseMaps,
        image: Tensor,
        voxel_work: Tensor,
        native: NativeImage,
        voxel_native: Tensor,
        coarse: Tensor | None = None,
        stem: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Re-predict points.

        Parameters
        ----------
        maps
            Of the backbone; those of a dense mixture may have been through `mixed` already.
        image
            (N,) which image of the batch.
        voxel_work
            (N, d) continuous indices of the backbone's input.
        native, voxel_native
            The image at its own resolution, and (N, d) the same points in it.
        coarse
            (N, C) P(p), when the caller holds it on the native grid; read from ``maps`` otherwise.
        stem
            (N, H) what the stem says at the points; asked when the recipe has one.

        Returns
        -------
        logits
            (N, C).
        weights
            (N, S) of the experts.
        """
        if coarse is None:
            coarse = sample(maps.logits, image, to_cells(voxel_work, maps.logit_stride))
        maps = self.mixed(maps)
        scales = list(zip(maps.features, maps.strides, strict=True))
        if not isinstance(maps, MixedMaps):
            # The finest ones: maps go from deep to shallow.
            scales = scales[-len(self.read_strides) :]
        features = [sample(f, image, to_cells(voxel_work, s)) for f, s in scales]
        if self.recipe.render.native:
            # The rings are in voxels of the model's spacing: in mm they are the same on every scan, however fine.
            around = neighbourhood(native.pixels, image, voxel_native, self.offsets * native.step)
            features.append(around if stem is None else torch.cat([around, stem], dim=1))
        logits, weights = self.renderer(features, voxel_work, maps.size, coarse)
        return logits, weights

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """State on the CPU, contiguous, ready to be written."""
        return {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
