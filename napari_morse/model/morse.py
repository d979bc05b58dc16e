"""MORSE assembled: a backbone's coarse maps, rendered at points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_morse.config import BackboneConfig, Recipe
from napari_morse.model.backbones import CoarseMaps, make_backbone
from napari_morse.model.points import neighbourhood, ring_offsets, sample, to_cells
from napari_morse.model.renderer import Renderer


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


def sized(recipe: Recipe) -> BackboneConfig:
    """The recipe's backbone, made for its training window unless it names another size."""
    backbone = recipe.backbone
    return backbone if backbone.image_size else backbone.model_copy(update={"image_size": recipe.train.window})


class Morse(nn.Module):
    """A backbone and a point-wise renderer.

    Parameters
    ----------
    recipe
        Architecture; its training part is not used here.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        backbone, render = recipe.backbone, recipe.render
        self.backbone = make_backbone(sized(recipe))
        self.offsets: Tensor
        self.register_buffer("offsets", ring_offsets(backbone.spatial_dims, render.native_rings), persistent=False)
        self.renderer = Renderer(
            render,
            backbone.spatial_dims,
            backbone.classes,
            self.backbone.channels,
            self.backbone.strides,
            len(self.offsets) * backbone.in_channels if render.native else 0,
        )

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of the experts, in the order of their weights."""
        scales = tuple(f"stride_{stride}" for stride in self.backbone.strides)
        return (*scales, "native") if self.recipe.render.native else scales

    def coarse(self, image: Tensor) -> CoarseMaps:
        """(B, channels, *size) normalised image → coarse maps."""
        maps: CoarseMaps = self.backbone(image)
        return maps

    def render(
        self,
        maps: CoarseMaps,
        image: Tensor,
        voxel: Tensor,
        native: NativeImage,
        native_voxel: Tensor,
        coarse: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Re-predict points.

        Parameters
        ----------
        maps
            Of the backbone.
        image
            (N,) which image of the batch.
        voxel
            (N, d) continuous indices of the backbone's input.
        native, native_voxel
            The image at its own resolution, and (N, d) the same points in it.
        coarse
            (N, C) P(p), when the caller holds it on the native grid; read from ``maps`` otherwise.

        Returns
        -------
        logits
            (N, C).
        weights
            (N, S) of the experts.
        """
        if coarse is None:
            coarse = sample(maps.logits, image, to_cells(voxel, maps.logit_stride))
        features = [sample(f, image, to_cells(voxel, s)) for f, s in zip(maps.features, maps.strides, strict=True)]
        if self.recipe.render.native:
            features.append(neighbourhood(native.pixels, image, native_voxel, self.offsets * native.step))
        logits, weights = self.renderer(features, voxel, maps.size, coarse)
        return logits, weights

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """State on the CPU, contiguous, ready to be written."""
        return {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
