"""MONAI networks behind one face: (coarse logits, decoder maps deep to shallow, their strides)."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from monai.networks.nets import BasicUNet, DynUNet, SegResNet
from torch import Tensor, nn

from napari_morse.config import BackboneConfig


@dataclass(frozen=True)
class CoarseMaps:
    """What a backbone says of a batch.

    Parameters
    ----------
    logits
        (B, C, *cells), each cell ``logit_stride`` voxels wide; cells may reach past the image's end (padding).
    features
        Decoder maps (B, F_s, *cells), deep to shallow.
    strides
        Voxels per cell of each map.
    logit_stride
        Voxels per cell of the logits.
    size
        Voxels of the image itself.
    """

    logits: Tensor
    features: tuple[Tensor, ...]
    strides: tuple[int, ...]
    logit_stride: int
    size: tuple[int, ...]

    def full_logits(self) -> Tensor:
        """(B, C, *size) coarse logits at every voxel: linear interpolation, padding cropped off."""
        if self.logit_stride == 1:
            full = self.logits
        else:
            mode = "trilinear" if len(self.size) == 3 else "bilinear"
            full = F.interpolate(self.logits, scale_factor=self.logit_stride, mode=mode, align_corners=False)
        return full[(slice(None), slice(None), *(slice(0, n) for n in self.size))]

    def logits_in(self, image: int, box: tuple[slice, ...]) -> Tensor:
        """(1, C, *box) coarse logits of one image in a box of its voxels, as `full_logits` has them."""
        at = [torch.arange(s.start, s.stop, device=self.logits.device, dtype=torch.float64) for s in box]
        cells = [(a + 0.5) / self.logit_stride - 0.5 for a in at]
        return interpolated(self.logits[image : image + 1], cells)

    def detached(self) -> CoarseMaps:
        """The same maps, cut from the gradient."""
        features = tuple(f.detach() for f in self.features)
        return CoarseMaps(self.logits.detach(), features, self.strides, self.logit_stride, self.size)


def interpolated(maps: Tensor, at: list[Tensor]) -> Tensor:
    """(B, F, *cells) maps read on a lattice, linear, border padding.

    Parameters
    ----------
    at
        For each axis in space, the continuous indices (in cells) of the lattice's planes.
    """
    for axis, wanted in enumerate(at, start=2):
        inside = wanted.clamp(0, maps.shape[axis] - 1)
        low = inside.floor().long()
        high = (low + 1).clamp(max=maps.shape[axis] - 1)
        part = (inside - low).to(maps.dtype).view([-1 if a == axis else 1 for a in range(maps.ndim)])
        below = maps.index_select(axis, low)
        maps = below + (maps.index_select(axis, high) - below) * part
    return maps


class Backbone(nn.Module, abc.ABC):
    """An encoder-decoder behind the adapter: pads to its divisor, and says which maps its decoder made."""

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    logit_stride: int
    divisor: int

    @abc.abstractmethod
    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits and decoder maps, deep to shallow, of an image whose axes are multiples of the divisor."""

    def forward(self, x: Tensor) -> CoarseMaps:
        """(B, channels, *size) image of any size → its coarse maps."""
        size = tuple(x.shape[2:])
        short = [(-n) % self.divisor for n in size]
        if any(short):
            pads = [p for s in reversed(short) for p in (0, s)]
            x = F.pad(x, pads, mode="replicate")
        logits, features = self.maps(x)
        return CoarseMaps(logits, features, self.strides, self.logit_stride, size)


def pooled(x: Tensor, block: int) -> Tensor:
    """(B, channels, *space) averaged over blocks of voxels."""
    if block == 1:
        return x
    return F.avg_pool3d(x, block) if x.ndim == 5 else F.avg_pool2d(x, block)


class DynUNetBackbone(Backbone):
    """MONAI DynUNet (an nnU-Net); the stem's stride makes the coarse pass cheaper."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        filters, stem = config.filters, config.stem_stride
        self.pool = stem if config.stem == "pooled" else 1
        depth = len(filters)
        self.net = DynUNet(
            config.spatial_dims,
            config.in_channels,
            config.classes,
            kernel_size=[3] * depth,
            strides=[stem // self.pool] + [2] * (depth - 1),
            upsample_kernel_size=[2] * (depth - 1),
            filters=list(filters),
            norm_name=("instance", {"affine": True}),
        )
        # MONAI registers every stage a second time for its own recursion; saved and averaged weights must hold it
        # once.
        del self.net.skip_layers
        self.strides = tuple(stem * 2**level for level in reversed(range(depth)))
        self.channels = tuple(reversed(filters))
        self.logit_stride = stem
        self.divisor = self.strides[0]

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the base class says."""
        net = self.net
        x = pooled(x, self.pool)
        skips = [net.input_block(x)]
        for down in net.downsamples:
            skips.append(down(skips[-1]))
        x = net.bottleneck(skips[-1])
        features = [x]
        for up, skip in zip(net.upsamples, reversed(skips), strict=True):
            x = up(x, skip)
            features.append(x)
        return net.output_block(x), tuple(features)


class _PooledInput(Backbone):
    """Networks without a strided stem: the image is averaged over blocks of ``stem_stride`` voxels first."""

    def __init__(self, config: BackboneConfig, levels: int) -> None:
        super().__init__()
        self.stem = config.stem_stride
        self.strides = tuple(self.stem * 2**level for level in reversed(range(levels)))
        self.logit_stride = self.stem
        self.divisor = self.strides[0]


class SegResNetBackbone(_PooledInput):
    """MONAI SegResNet; ``filters[0]`` is its first width, doubled per level."""

    def __init__(self, config: BackboneConfig) -> None:
        levels = len(config.filters)
        super().__init__(config, levels)
        first = config.filters[0]
        self.net = SegResNet(
            config.spatial_dims,
            init_filters=first,
            in_channels=config.in_channels,
            out_channels=config.classes,
            blocks_down=(1,) + (2,) * (levels - 1),
            blocks_up=(1,) * (levels - 1),
        )
        self.channels = tuple(first * 2**level for level in reversed(range(levels)))

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the base class says."""
        net = self.net
        x, down = net.encode(pooled(x, self.stem))
        down.reverse()
        features = [x]
        for index, (up, layer) in enumerate(zip(net.up_samples, net.up_layers, strict=True)):
            x = layer(up(x) + down[index + 1])
            features.append(x)
        return net.conv_final(x), tuple(features)


class BasicUNetBackbone(_PooledInput):
    """MONAI BasicUNet: five levels, ``filters`` has six entries, the last one for its final decoder stage."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config, levels=5)
        widths = config.filters
        if len(widths) != 6:
            raise ValueError(f"BasicUNet takes 6 filters, not {len(widths)}")
        self.net = BasicUNet(
            config.spatial_dims,
            config.in_channels,
            config.classes,
            features=widths,
            norm=("instance", {"affine": True}),
        )
        self.channels = (widths[4], widths[3], widths[2], widths[1], widths[5])

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the base class says."""
        net = self.net
        x0 = net.conv_0(pooled(x, self.stem))
        x1 = net.down_1(x0)
        x2 = net.down_2(x1)
        x3 = net.down_3(x2)
        x4 = net.down_4(x3)
        u4 = net.upcat_4(x4, x3)
        u3 = net.upcat_3(u4, x2)
        u2 = net.upcat_2(u3, x1)
        u1 = net.upcat_1(u2, x0)
        return net.final_conv(u1), (x4, u4, u3, u2, u1)


def make_backbone(config: BackboneConfig) -> Backbone:
    """The backbone that a recipe names."""
    kinds: dict[str, type[Backbone]] = {
        "dynunet": DynUNetBackbone,
        "segresnet": SegResNetBackbone,
        "basicunet": BasicUNetBackbone,
    }
    return kinds[config.name](config)
