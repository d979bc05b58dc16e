"""MONAI's convolutional networks behind the adapter."""

from __future__ import annotations

import torch
from monai.networks.nets import BasicUNet, DynUNet, SegResNet, UNet
from torch import Tensor, nn

from napari_morse.config import BackboneConfig
from napari_morse.model.backbones.adapter import Backbone, PooledInput, pooled


class DynUNetBackbone(Backbone):
    """MONAI DynUNet (an nnU-Net); the stem's stride makes the coarse pass cheaper.

    With deep supervision every decoder map but the shallowest (which has the network's own output) and the bottleneck
    has a head of its own while training.
    """

    least_cells = 2

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
            deep_supervision=config.deep_supervision,
            deep_supr_num=max(1, depth - 2),
        )
        # MONAI registers every stage a second time for its own recursion; saved and averaged weights must hold it
        # once.
        del self.net.skip_layers
        # Where MONAI's own forward would keep the deeper logits of the last batch.
        self.net.heads = []
        self.strides = tuple(stem * 2**level for level in reversed(range(depth)))
        self.channels = tuple(reversed(filters))
        self.logit_stride = stem
        self.divisor = self.strides[0]

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the base class says."""
        net = self.net
        # Block by block instead of `net(x)`: that keeps the decoder maps to itself, and gives a stack of heads while
        # training with deep supervision.
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

    def deeper(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """As the base class says."""
        if not self.net.deep_supervision:
            return ()
        below = reversed(features[1:-1])
        return tuple(head(f) for head, f in zip(self.net.deep_supervision_heads, below, strict=True))


class SegResNetBackbone(PooledInput):
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


class BasicUNetBackbone(PooledInput):
    """MONAI BasicUNet: five levels, ``filters`` has six entries, the last one for its final decoder stage."""

    least_cells = 2

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


class UNetBackbone(Backbone):
    """MONAI UNet with two residual units per level; each entry of ``filters`` is a level.

    MONAI nests the levels in each other, as ``down, skip around the level below, up``. The maps are taken by walking
    down and up through them. The outermost ``up`` makes the logits themselves, so that the shallowest decoder map has
    cells twice as wide as the logits.
    """

    least_cells = 2

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        widths, stem = config.filters, config.stem_stride
        if len(widths) < 2:
            raise ValueError(f"UNet takes at least 2 filters, not {len(widths)}")
        self.stem = stem
        self.net = UNet(
            config.spatial_dims,
            config.in_channels,
            config.classes,
            channels=widths,
            strides=(2,) * (len(widths) - 1),
            num_res_units=2,
            norm=("instance", {"affine": True}),
        )
        levels = len(widths) - 1
        self.strides = tuple(stem * 2**level for level in range(levels, 0, -1))
        self.channels = (widths[-1], *reversed(widths[: levels - 1]))
        self.logit_stride = stem
        self.divisor = self.strides[0]

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the base class says."""
        x = pooled(x, self.stem)
        level: nn.Module = self.net.model
        skips, ups = [], []
        for _ in self.strides:
            down, around, up = level.children()
            x = down(x)
            skips.append(x)
            ups.append(up)
            level = around.submodule  # type: ignore[assignment]
        x = level(x)
        features = [x]
        for up, skip in zip(reversed(ups), reversed(skips), strict=True):
            # The skip first, as MONAI's SkipConnection has it: the weights go by this order.
            x = up(torch.cat([skip, x], dim=1))
            features.append(x)
        return features.pop(), tuple(features)
