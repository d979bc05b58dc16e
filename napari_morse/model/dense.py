"""The published mixture: experts, gate and fusion on whole maps, before any point is chosen.

Its width is paid at every voxel, not at the boundary's; `experts` holds the point-wise form.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_morse.config import RenderConfig
from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.experts import silence

MOST_GROUPS = 8
"""Most groups of a group norm."""


@dataclass(frozen=True)
class MixedMaps(CoarseMaps):
    """Coarse maps whose features are the mixture Z (B, H, *size) and the gate's weights (B, S, *size)."""


def _gate_norm(name: str, channels: int, dims: int) -> nn.Module:
    if name == "group":
        # The gate's last layer has one channel for each expert: mostly no multiple of eight.
        return nn.GroupNorm(MOST_GROUPS if channels % MOST_GROUPS == 0 else 1, channels)
    if name == "instance":
        kind = nn.InstanceNorm3d if dims == 3 else nn.InstanceNorm2d
        return kind(channels, affine=True)
    return (nn.BatchNorm3d if dims == 3 else nn.BatchNorm2d)(channels)


class DenseMixture(nn.Module):
    """Per-pixel MLPs at each map's own resolution, brought to full size, weighed by a convolutional gate, fused.

    Parameters
    ----------
    config
        Width H, silencing, norm of the gate, dropout.
    dims
        d.
    channels, strides
        Of the S maps that are read, deep to shallow; voxels per cell.
    """

    def __init__(self, config: RenderConfig, dims: int, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.dims, self.strides = config, dims, strides
        conv: type[nn.Conv2d | nn.Conv3d] = nn.Conv3d if dims == 3 else nn.Conv2d
        width, count = config.width, len(channels)
        self.experts = nn.ModuleList(
            nn.Sequential(conv(c, width, 1), nn.ReLU(), conv(width, width, 1), nn.ReLU()) for c in channels
        )
        self.gate = nn.Sequential(
            conv(width * count, width, 3, padding=1),
            _gate_norm(config.gate_norm, width, dims),
            nn.ReLU(),
            conv(width, count, 3, padding=1),
            # A norm and a ReLU right before the softmax look superfluous, but are the published gate: this form exists
            # for fidelity.
            _gate_norm(config.gate_norm, count, dims),
            nn.ReLU(),
        )
        self.fusion = nn.Sequential(
            conv(width, width, 1),
            nn.ReLU(),
            conv(width, width, 1),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            conv(width, width, 1),
        )

    def mix(self, maps: tuple[Tensor, ...], size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """S × (B, C_s, *cells) → mixture before its fusion (B, H, *size) and weights (B, S, *size)."""
        # Each expert at its map's own resolution first, then upsampled, as published: with a ReLU in between the other
        # order is another function.
        spoken = torch.cat(
            [self._full(e(m), s, size) for e, m, s in zip(self.experts, maps, self.strides, strict=True)], dim=1
        )
        weights = self.gate(spoken).softmax(dim=1)
        if self.training:
            weights = silence(weights, self.config.silencing, None, self.config.rescale)
        parts = spoken.chunk(len(maps), dim=1)
        # Added part by part: one product of all would hold S more maps of H channels at full size; see `dense_floats`.
        mixed = parts[0] * weights[:, :1]
        for index, part in enumerate(parts[1:], start=1):
            mixed = mixed + part * weights[:, index : index + 1]
        return mixed, weights

    def forward(self, maps: tuple[Tensor, ...], size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """S × (B, C_s, *cells) → Z (B, H, *size) and weights (B, S, *size)."""
        mixed, weights = self.mix(maps, size)
        fused: Tensor = self.fusion(mixed)
        return fused, weights

    def _full(self, cells: Tensor, stride: int, size: tuple[int, ...]) -> Tensor:
        if stride != 1:
            mode = "trilinear" if self.dims == 3 else "bilinear"
            # By the stride, then cropped, never straight to `size`: cells may reach past the image's end (padding), and
            # squeezing them in would shift all of the map.
            cells = F.interpolate(cells, scale_factor=stride, mode=mode, align_corners=False)
        return cells[(slice(None), slice(None), *(slice(0, n) for n in size))]

    def mixed_maps(self, maps: CoarseMaps) -> MixedMaps:
        """Coarse maps with the S finest ones mixed; outside training one image at a time, to hold less at once."""
        read = maps.features[-len(self.strides) :]
        if self.training:
            # All images at once: batch norm in the gate takes its statistics from the whole batch.
            mixed = self(read, maps.size)
        else:
            images = [self(tuple(f[b : b + 1] for f in read), maps.size) for b in range(len(maps.logits))]
            # Channels last: a point's column is then one piece of memory, and reading it copies no map.
            layout = torch.channels_last_3d if self.dims == 3 else torch.channels_last
            mixed = tuple(torch.cat(m).contiguous(memory_format=layout) for m in zip(*images, strict=True))
        return MixedMaps(maps.logits, tuple(mixed), (1, 1), maps.logit_stride, maps.size)


def dense_floats(config: RenderConfig, count: int, images: int) -> int:
    """Numbers per voxel of the working grid that a dense mixture of ``count`` experts holds at its peak, at inference.

    Z and the weights stay for all images; experts, gate and fusion pass for one.
    """
    if not config.dense:
        return 0
    return images * (config.width + count) + (2 * count + 2) * config.width
