"""MONAI's transformer networks behind the adapter, and a ViT that reads images of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.nets import UNETR, SwinUNETR, ViT
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_morse.config import BackboneConfig
from napari_morse.model.backbones.adapter import PooledInput, pooled

PATCH = 16
"""Voxels along a side of one token, in UNETR and in the published TransUNet."""


def vit_grid(config: BackboneConfig, patch: int) -> tuple[int, ...]:
    """Tokens per axis for which the position embedding has numbers: those of the training window.

    Raises
    ------
    ValueError
        No image size for every axis, or one that is no whole number of patches.
    """
    size = config.image_size
    if len(size) != config.spatial_dims or any(n < patch or n % patch for n in size):
        raise ValueError(f"image_size {list(size)} is not {config.spatial_dims} multiples of {patch}")
    return tuple(n // patch for n in size)


def vit_maps(vit: ViT, x: Tensor, grid: tuple[int, ...]) -> tuple[Tensor, list[Tensor]]:
    """Run a MONAI ViT on an image of any whole number of patches.

    Its position embedding was made for ``grid`` tokens; for another grid it is interpolated linearly.

    Returns
    -------
    last
        (B, H, *tokens) after the last norm.
    hidden
        The same after each block.
    """
    embedding = vit.patch_embedding
    x = embedding.patch_embeddings(x)
    tokens = tuple(x.shape[2:])
    # Not `vit(x)`: MONAI adds the embedding as it is, and fails on any other number of tokens.
    position = embedding.position_embeddings.transpose(1, 2).unflatten(2, grid)
    if tokens != grid:
        mode = "trilinear" if len(grid) == 3 else "bilinear"
        position = F.interpolate(position, tokens, mode=mode, align_corners=False)
    x = embedding.dropout((x + position).flatten(2).transpose(1, 2))
    hidden = []
    for block in vit.blocks:
        x = block(x)
        hidden.append(x)
    last, *states = (t.transpose(1, 2).unflatten(2, tokens) for t in (vit.norm(x), *hidden))
    return last, states


def drop_unused(vit: ViT) -> None:
    """Take out the weights that MONAI makes for cross-attention and a ViT never uses."""
    for block in vit.blocks:
        block.norm_cross_attn = nn.Identity()


class UNETRBackbone(PooledInput):
    """MONAI UNETR: ``filters[0]`` is its feature size; ``vit_width``, ``vit_mlp`` and ``vit_heads`` its transformer.

    It has 12 blocks and tokens of 16 voxels (of the thinned-out image), both fixed by MONAI. Its position embedding
    has a number for each token of ``image_size``, the training window, which is also the tile of inference. An image
    of another size is padded to whole tokens and the embedding interpolated to their grid.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config, levels=5)
        self.grid = vit_grid(config, PATCH * self.stem)
        first = config.filters[0]
        if config.vit_blocks != 12:
            raise ValueError(f"UNETR has 12 blocks, not {config.vit_blocks}")
        self.net = UNETR(
            config.in_channels,
            config.classes,
            tuple(PATCH * n for n in self.grid),
            feature_size=first,
            hidden_size=config.vit_width,
            mlp_dim=config.vit_mlp,
            num_heads=config.vit_heads,
            spatial_dims=config.spatial_dims,
        )
        drop_unused(self.net.vit)
        self.channels = (config.vit_width, *(first * 2**level for level in reversed(range(4))))

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the base class says."""
        net, x = self.net, pooled(x, self.stem)
        last, hidden = vit_maps(net.vit, x, self.grid)
        # As MONAI's own forward takes them, counted from 0: the states after the 4th, 7th and 10th block.
        d3 = net.decoder5(last, net.encoder4(hidden[9]))
        d2 = net.decoder4(d3, net.encoder3(hidden[6]))
        d1 = net.decoder3(d2, net.encoder2(hidden[3]))
        d0 = net.decoder2(d1, net.encoder1(x))
        return net.out(d0), (last, d3, d2, d1, d0)


class SwinUNETRBackbone(PooledInput):
    """MONAI SwinUNETR; ``filters[0]`` is its feature size, a multiple of 12. Its windows need no fixed image size."""

    least_cells = 2

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config, levels=6)
        first = config.filters[0]
        with _LinspaceOnCPU():
            self.net = SwinUNETR(
                config.in_channels, config.classes, feature_size=first, spatial_dims=config.spatial_dims
            )
        self.channels = (*(first * 2**level for level in reversed(range(5))), first)

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the base class says."""
        net, x = self.net, pooled(x, self.stem)
        hidden = net.swinViT(x, net.normalize)
        d4 = net.encoder10(hidden[4])
        d3 = net.decoder5(d4, hidden[3])
        d2 = net.decoder4(d3, net.encoder4(hidden[2]))
        d1 = net.decoder3(d2, net.encoder3(hidden[1]))
        d0 = net.decoder2(d1, net.encoder2(hidden[0]))
        top = net.decoder1(d0, net.encoder1(x))
        return net.out(top), (d4, d3, d2, d1, d0, top)


class _LinspaceOnCPU(TorchFunctionMode):
    """MONAI reads its depth-wise dropout rates out of a tensor, which a network without memory does not have."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make ``linspace`` on the CPU, do everything else as asked."""
        kwargs = kwargs or {}
        if func is torch.linspace:
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **kwargs)
