"""The face that every backbone shows: any size in, coarse maps out."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
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
    deeper
        Logits (B, C, *cells) of the heads below the last, shallow to deep: only in training, and only of a network
        with deep supervision. Their cells are a whole number of the cells of ``logits``.
    """

    logits: Tensor
    features: tuple[Tensor, ...]
    strides: tuple[int, ...]
    logit_stride: int
    size: tuple[int, ...]
    deeper: tuple[Tensor, ...] = ()

    def full_logits(self) -> Tensor:
        """(B, C, *size) coarse logits at every voxel: linear interpolation, padding cropped off."""
        return self._full(self.logits, self.logit_stride)

    def full_deeper(self) -> tuple[Tensor, ...]:
        """(B, C, *size) of each deeper head, as `full_logits`."""
        cells = self.logits.shape[2]
        return tuple(self._full(d, self.logit_stride * cells // d.shape[2]) for d in self.deeper)

    def _full(self, logits: Tensor, stride: int) -> Tensor:
        if stride > 1:
            mode = "trilinear" if len(self.size) == 3 else "bilinear"
            # By the stride, then cropped, never straight to `size`: padded cells would be squeezed into the image.
            logits = F.interpolate(logits, scale_factor=stride, mode=mode, align_corners=False)
        return logits[(slice(None), slice(None), *(slice(0, n) for n in self.size))]

    def logits_in(self, image: int, box: tuple[slice, ...]) -> Tensor:
        """(1, C, *box) coarse logits of one image in a box of its voxels, as `full_logits` has them."""
        at = [torch.arange(s.start, s.stop, device=self.logits.device, dtype=torch.float64) for s in box]
        cells = [(a + 0.5) / self.logit_stride - 0.5 for a in at]
        return interpolated(self.logits[image : image + 1], cells)

    def detached(self) -> CoarseMaps:
        """The same maps, cut from the gradient."""
        return self._each(Tensor.detach)

    def float(self) -> CoarseMaps:
        """The same maps in float32."""
        return self._each(Tensor.float)

    def _each(self, change: Callable[[Tensor], Tensor]) -> CoarseMaps:
        features, deeper = tuple(map(change, self.features)), tuple(map(change, self.deeper))
        return replace(self, logits=change(self.logits), features=features, deeper=deeper)


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
    """An encoder-decoder behind the adapter: pads to its divisor, and says which maps its decoder made.

    Attributes
    ----------
    strides, channels
        Voxels per cell and features F_s of each decoder map, deep to shallow, one or more.
    logit_stride
        Voxels per cell of the logits.
    divisor
        Every axis that `maps` is given is a multiple of it.
    least_cells
        Cells that the deepest map must have: 2 where it is normalised per image. Smaller images are padded further.
    """

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    logit_stride: int
    divisor: int
    least_cells: int = 1

    @abc.abstractmethod
    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits and decoder maps, deep to shallow, of an image whose axes are multiples of the divisor."""

    def deeper(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ARG002
        """Logits of heads on the decoder maps, shallow to deep, for deep supervision; none unless overridden."""
        return ()

    def forward(self, x: Tensor) -> CoarseMaps:
        """(B, channels, *size) image of any size → its coarse maps."""
        size = tuple(x.shape[2:])
        short = [(-n) % self.divisor for n in size]
        if math.prod((n + s) // self.divisor for n, s in zip(size, short, strict=True)) < self.least_cells:
            short[-1] += self.divisor  # instance norm over a single cell has no variance, and raises while training
        if any(short):
            pads = [p for s in reversed(short) for p in (0, s)]
            # Behind the end only, so that cells start at voxel 0; with its own edge, as zeros would be a new border.
            x = F.pad(x, pads, mode="replicate")
        logits, features = self.maps(x)
        # In training alone: nothing reads them elsewhere, and they are whole maps of logits.
        deeper = self.deeper(features) if self.training else ()
        return CoarseMaps(logits, features, self.strides, self.logit_stride, size, deeper)

    @property
    def parameter_count(self) -> int:
        """Numbers that training fits."""
        return sum(p.numel() for p in self.parameters())


def pooled(x: Tensor, block: int) -> Tensor:
    """(B, channels, *space) averaged over blocks of voxels."""
    if block == 1:
        return x
    return F.avg_pool3d(x, block) if x.ndim == 5 else F.avg_pool2d(x, block)


class PooledInput(Backbone):
    """Networks without a strided stem: the image is averaged over blocks of ``stem_stride`` voxels first.

    Parameters
    ----------
    config
        Of the network.
    levels
        Decoder maps; each has cells twice as wide as the next one, and the last has those of the logits.
    """

    def __init__(self, config: BackboneConfig, levels: int) -> None:
        super().__init__()
        self.stem = config.stem_stride
        self.strides = tuple(self.stem * 2**level for level in reversed(range(levels)))
        self.logit_stride = self.stem
        self.divisor = self.strides[0]
