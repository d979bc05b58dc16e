"""TransUNet composed from MONAI's blocks: a ResNet stem, a ViT on its deepest map, a decoder with three skips."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution, UnetOutBlock
from monai.networks.nets import ViT
from monai.networks.nets.resnet import ResNetBottleneck
from torch import Tensor, nn

from napari_morse.config import BackboneConfig
from napari_morse.model.backbones.adapter import PooledInput, pooled
from napari_morse.model.backbones.transformers import PATCH, drop_unused, vit_grid, vit_maps

DEPTHS = (3, 4, 9)
"""Bottleneck blocks of the stages at a quarter, an eighth and a sixteenth: ResNet-50 without its last stage."""
NORM_GROUPS = 4
"""Of the group norms: a window's batch is too small for batch norm; every width must be a multiple."""


class TransUNetBackbone(PooledInput):
    """TransUNet (Chen et al. 2021, arXiv 2102.04306) in 2-D and 3-D.

    ``filters`` are the widths of the stem at a half, a quarter, an eighth and a sixteenth of the (thinned-out) image:
    (64, 256, 512, 1024) with the default ``vit_…`` knobs is the published R50-ViT-B/16. The ViT has one token per cell
    at a sixteenth; the maps at an eighth, a quarter and a half skip to the decoder. ``image_size`` and images of other
    sizes: as `UNETRBackbone`. All weights start at random; the published ones start from ImageNet.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config, levels=5)
        widths, dims = config.filters, config.spatial_dims
        if len(widths) != 4 or any(w % (4 * NORM_GROUPS) for w in widths):
            raise ValueError(f"TransUNet takes 4 filters, multiples of {4 * NORM_GROUPS}, not {list(widths)}")
        self.grid = vit_grid(config, PATCH * self.stem)
        self.root = _convolution(dims, config.in_channels, widths[0], kernel=7, stride=2)
        self.stages = nn.ModuleList(
            _stage(dims, a, b, depth) for (a, b), depth in zip(itertools.pairwise(widths), DEPTHS, strict=True)
        )
        self.vit = ViT(
            widths[3],
            self.grid,
            patch_size=1,
            hidden_size=config.vit_width,
            mlp_dim=config.vit_mlp,
            num_layers=config.vit_blocks,
            num_heads=config.vit_heads,
            spatial_dims=dims,
            qkv_bias=True,  # ViT-B/16 has them; MONAI leaves them out unless asked
        )
        drop_unused(self.vit)
        decoder = (widths[2], widths[2] // 2, widths[1] // 2, widths[0], max(NORM_GROUPS, widths[0] // 4))
        self.after = _convolution(dims, config.vit_width, decoder[0])
        skips = (widths[2], widths[1], widths[0], 0)
        self.ups = nn.ModuleList(
            _Up(dims, a, skip, b) for (a, b), skip in zip(itertools.pairwise(decoder), skips, strict=True)
        )
        self.out = UnetOutBlock(dims, decoder[-1], config.classes)
        self.channels = decoder

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the base class says."""
        x = self.root(pooled(x, self.stem))
        skips = [x]
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        x = self.after(vit_maps(self.vit, skips.pop(), self.grid)[0])
        features = [x]
        for up in self.ups:
            x = up(x, skips.pop() if skips else None)
            features.append(x)
        return self.out(x), tuple(features)


class _Up(nn.Module):
    """Twice as fine by linear interpolation, a skip beside it, two convolutions."""

    def __init__(self, dims: int, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.mode = "trilinear" if dims == 3 else "bilinear"
        self.convolutions = nn.Sequential(
            _convolution(dims, inputs + skip, outputs), _convolution(dims, outputs, outputs)
        )

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """(B, inputs, *cells) → (B, outputs, *(2 × cells))."""
        x = F.interpolate(x, scale_factor=2, mode=self.mode, align_corners=False)
        out: Tensor = self.convolutions(x if skip is None else torch.cat([x, skip], dim=1))
        return out


def _convolution(dims: int, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> Convolution:
    return Convolution(
        dims, inputs, outputs, strides=stride, kernel_size=kernel, act="relu", norm=_norm(), bias=False
    )  # fmt: skip


def _norm() -> tuple[str, dict[str, int]]:
    return ("group", {"num_groups": NORM_GROUPS})


def _stage(dims: int, inputs: int, outputs: int, depth: int) -> nn.Sequential:
    """Bottleneck blocks to ``outputs`` channels, the first with stride 2."""
    shortcut = Convolution(dims, inputs, outputs, strides=2, kernel_size=1, act=None, norm=_norm(), bias=False)
    narrow = outputs // ResNetBottleneck.expansion
    first = ResNetBottleneck(inputs, narrow, dims, stride=2, downsample=shortcut, norm=_norm())
    return nn.Sequential(first, *(ResNetBottleneck(outputs, narrow, dims, norm=_norm()) for _ in range(depth - 1)))
