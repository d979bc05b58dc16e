"""The implicit head: position, mixed features and coarse logits in, logits out, at points only."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from napari_morse.config import RenderConfig
from napari_morse.model.dense import DenseMixture
from napari_morse.model.encoding import make_encoding
from napari_morse.model.experts import PointExperts
from napari_morse.model.linear import POINTS_AT_ONCE, linear, linear_into, mlp


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
            # Only the last layer: with zeros in all, no gradient would ever reach those before it.
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """(N, inputs) features and (N, C) coarse logits → (N, C) logits."""
        coarse_again = coarse.to(features.dtype)
        rows = torch.cat([features, coarse_again], dim=1)
        for layer in self.layers:
            if torch.is_grad_enabled():
                rows = torch.cat([linear(layer, rows).relu(), coarse_again], dim=1)  # type: ignore[arg-type]
            else:
                rows = self._beside(layer, rows, coarse_again)  # type: ignore[arg-type]
        out = linear(self.last, rows).to(coarse.dtype)
        # The sum in P(p)'s own float32: in bfloat16, adding nothing would round P(p) and change the mask.
        return coarse + out if self.residual else out

    @staticmethod
    def _beside(layer: nn.Linear, rows: Tensor, coarse_again: Tensor) -> Tensor:
        """A layer's answer with P(p) in the columns after it."""
        width = layer.out_features
        both = rows.new_empty(len(rows), width + coarse_again.shape[1])
        linear_into(layer, rows, both[:, :width]).relu_()
        both[:, width:] = coarse_again
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
        self.encoding = make_encoding(config.encoding, dims, strides, config.fourier_features, config.fourier_draw)
        inputs = channels + ((native_channels,) if native_channels else ())
        # Never silenced: what the others read, the coarse classifier has read already; only this one sees what is new.
        protected = len(channels) if native_channels else None
        self.mixture: PointExperts | DenseMixture | None = None
        if config.dense:
            self.mixture = DenseMixture(config, dims, channels, strides)
        elif config.mixture != "none":
            self.mixture = PointExperts(inputs, config.width, config.silencing, protected, config.rescale)
            self.fusion = _fusion(config)
        width = sum(inputs) if self.mixture is None else config.width
        self.head = RenderingHead(self.encoding.width + width, classes, config.head_width, config.residual)
        self.precision = torch.float32
        """What the layers compute in where no gradient is asked for; weights, P(p) and what is added to it stay
        float32."""

    def _mixed(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Features at the points, as the recipe's form reads them → what the head sees (N, ·) and weights (N, S)."""
        if isinstance(self.mixture, DenseMixture):
            fused, weights = features
            return fused, weights
        if self.mixture is None:
            return torch.cat(features, dim=1), features[0].new_ones(len(features[0]), 1)
        mixed, weights = self.mixture(features)
        return mlp(self.fusion, mixed), weights

    def forward(
        self, features: list[Tensor], voxel_work: Tensor, size: tuple[int, ...], coarse: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Re-predict points.

        Parameters
        ----------
        features
            S × (N, F_s), read at the points; of a dense mixture Z and the weights.
        voxel_work
            (N, d) in the backbone's input of ``size``.
        coarse
            (N, C) P(p).

        Returns
        -------
        logits
            (N, C).
        weights
            (N, S); a column of ones without a mixture.
        """
        if torch.is_grad_enabled() or self.training:
            # In one go: experts are silenced once for a call, and each block would draw anew.
            return self._of(features, voxel_work, size, coarse)
        parts = []
        for start in range(0, max(1, len(coarse)), POINTS_AT_ONCE):  # no points are one empty part
            rows = slice(start, start + POINTS_AT_ONCE)
            read = [f[rows].to(self.precision) for f in features]
            if isinstance(self.mixture, DenseMixture):
                read[1] = features[1][rows]  # weights that sum to 1
            parts.append(self._of(read, voxel_work[rows], size, coarse[rows]))
        logits, weights = (torch.cat(p) for p in zip(*parts, strict=True))
        return logits, weights

    def _of(
        self, features: list[Tensor], voxel_work: Tensor, size: tuple[int, ...], coarse: Tensor
    ) -> tuple[Tensor, Tensor]:
        mixed, weights = self._mixed(features)
        encoded = self.encoding(voxel_work, size).to(mixed.dtype)
        return self.head(torch.cat([encoded, mixed], dim=1), coarse), weights.float()


def _fusion(config: RenderConfig) -> nn.Sequential:
    width = config.width
    return nn.Sequential(
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(width, width),
    )
