"""The implicit head: position, mixed features and coarse logits in, logits out, at points only."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from napari_morse.config import RenderConfig
from napari_morse.model.encoding import make_encoding
from napari_morse.model.experts import PointExperts
from napari_morse.model.linear import ROWS, linear, linear_into, mlp


class RenderingHead(nn.Module):
    """Three ReLU layers with P(p) concatenated again at each, then C logits.

    A residual head adds its output to P(p) and starts at zero, so that an untrained one changes nothing.
    """

    def __init__(self, inputs: int, classes: int, width: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        widths = [inputs] + [width] * 3
        self.layers = nn.ModuleList(nn.Linear(a + classes, b) for a, b in itertools.pairwise(widths))
        self.last = nn.Linear(width + classes, classes)
        if residual:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """(N, inputs) features and (N, C) coarse logits → (N, C) logits."""
        said = coarse.to(features.dtype)
        rows = torch.cat([features, said], dim=1)
        for layer in self.layers:
            if torch.is_grad_enabled():
                rows = torch.cat([linear(layer, rows).relu(), said], dim=1)  # type: ignore[arg-type]
            else:
                rows = self._beside(layer, rows, said)  # type: ignore[arg-type]
        out = linear(self.last, rows).to(coarse.dtype)
        return coarse + out if self.residual else out

    @staticmethod
    def _beside(layer: nn.Linear, rows: Tensor, said: Tensor) -> Tensor:
        """A layer's answer with P(p) in the columns after it."""
        width = layer.out_features
        both = rows.new_empty(len(rows), width + said.shape[1])
        linear_into(layer, rows, both[:, :width]).relu_()
        both[:, width:] = said
        return both


class Renderer(nn.Module):
    """Encoding, experts, fusion and head.

    Parameters
    ----------
    config
        Widths and switches.
    dims, classes
        d and C.
    channels, strides
        Of the decoder maps, deep to shallow.
    native_channels
        Columns that the native expert reads, 0 without one; it is the last expert.
    """

    def __init__(
        self,
        config: RenderConfig,
        dims: int,
        classes: int,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        native_channels: int,
    ) -> None:
        super().__init__()
        self.encoding = make_encoding(config.encoding, dims, strides, config.fourier_features)
        inputs = channels + ((native_channels,) if native_channels else ())
        protected = len(channels) if native_channels else None
        self.mixture = PointExperts(inputs, config.width, config.stochastic, protected)
        self.fusion = nn.Sequential(
            nn.Linear(config.width, config.width),
            nn.ReLU(),
            nn.Linear(config.width, config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, config.width),
        )
        self.head = RenderingHead(self.encoding.width + config.width, classes, config.head_width, config.residual)
        self.precision = torch.float32
        """What the layers compute in where no gradient is asked for; weights, P(p) and what is added to it stay
        float32."""

    def forward(
        self, features: list[Tensor], voxel: Tensor, size: tuple[int, ...], coarse: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Re-predict points.

        Parameters
        ----------
        features
            S × (N, F_s), read at the points.
        voxel
            (N, d) in the backbone's input of ``size``.
        coarse
            (N, C) P(p).

        Returns
        -------
        logits
            (N, C).
        weights
            (N, S).
        """
        if torch.is_grad_enabled() or self.training:
            return self._of(features, voxel, size, coarse)
        logits = coarse.new_empty(coarse.shape)
        weights = coarse.new_empty(len(coarse), len(features))
        for start in range(0, len(coarse), ROWS):
            rows = slice(start, start + ROWS)
            read = [f[rows].to(self.precision) for f in features]
            logits[rows], weights[rows] = self._of(read, voxel[rows], size, coarse[rows])
        return logits, weights

    def _of(
        self, features: list[Tensor], voxel: Tensor, size: tuple[int, ...], coarse: Tensor
    ) -> tuple[Tensor, Tensor]:
        mixed, weights = self.mixture(features)
        fused = mlp(self.fusion, mixed)
        encoded = self.encoding(voxel, size).to(fused.dtype)
        return self.head(torch.cat([encoded, fused], dim=1), coarse), weights
