"""γ: what a point knows of its own position."""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor, nn


class Encoding(nn.Module, abc.ABC):
    """γ(p); ``width`` columns."""

    width: int

    @abc.abstractmethod
    def forward(self, voxel_work: Tensor, size: tuple[int, ...]) -> Tensor:
        """(N, d) voxels in an array of ``size`` → (N, width)."""


class FourierEncoding(Encoding):
    """γ(p) = [sin, cos](2π Bᵀ(2p − 1)) with a fixed B.

    Depends on the frame of the array: two overlapping windows give one voxel two answers.

    Parameters
    ----------
    dims, features
        d and the columns of B.
    draw
        ``uniform``: B ~ U(0, 1), MORSE's; ``normal``: B ~ N(0, 1), Implicit PointRend's.
    """

    def __init__(self, dims: int, features: int, draw: str = "uniform") -> None:
        super().__init__()
        self.matrix: Tensor
        empty = torch.empty(dims, features)
        # Saved with the weights: the head is trained for this very draw, another one would be noise to it.
        self.register_buffer("matrix", empty.uniform_() if draw == "uniform" else empty.normal_())
        self.width = 2 * features

    def forward(self, voxel_work: Tensor, size: tuple[int, ...]) -> Tensor:
        """(N, d) voxels in an array of ``size`` → (N, 2·features)."""
        unit = (voxel_work + 0.5) / torch.tensor(size, dtype=voxel_work.dtype, device=voxel_work.device)
        angle = 2 * math.pi * (2 * unit - 1) @ self.matrix
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class CellRelativeEncoding(Encoding):
    """Offset of a point from the centre of its cell in each decoder map, as sine and cosine.

    It is the same in every window whose origin is a multiple of the strides.
    """

    def __init__(self, dims: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.strides = strides
        self.width = 2 * dims * len(strides)

    def forward(self, voxel_work: Tensor, size: tuple[int, ...]) -> Tensor:  # noqa: ARG002
        """(N, d) voxels → (N, 2·d·S)."""
        # No remainder is taken: sine and cosine are periodic in the cell already, and have no jump at its end.
        angle = torch.cat([2 * math.pi * (voxel_work + 0.5) / stride for stride in self.strides], dim=1)
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class NoEncoding(Encoding):
    """No position at all."""

    width = 0

    def forward(self, voxel_work: Tensor, size: tuple[int, ...]) -> Tensor:  # noqa: ARG002
        """(N, d) → (N, 0)."""
        return voxel_work[:, :0]


def make_encoding(name: str, dims: int, strides: tuple[int, ...], features: int, draw: str = "uniform") -> Encoding:
    """The encoding that a recipe names; ``width`` is its number of columns."""
    if name == "fourier":
        return FourierEncoding(dims, features, draw)
    if name == "cell_relative":
        return CellRelativeEncoding(dims, strides)
    return NoEncoding()
