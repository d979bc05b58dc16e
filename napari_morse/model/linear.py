"""Linear layers on rows of points, in the precision of the rows and without copies where no gradient is asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POINTS_AT_ONCE = 2048
"""Points that go through all layers together: what one layer writes is still in the cache when the next reads it."""


def linear(layer: nn.Linear, rows: Tensor) -> Tensor:
    """(N, A) → (N, B) by a layer kept in float32, in the precision of ``rows``."""
    return F.linear(rows, layer.weight.to(rows.dtype), layer.bias.to(rows.dtype))


def linear_into(layer: nn.Linear, rows: Tensor, out: Tensor) -> Tensor:
    """`linear`, written into ``out``, which may be some columns of a wider array. Carries no gradient."""
    weight, bias = layer.weight.to(rows.dtype), layer.bias.to(rows.dtype)
    written: Tensor = torch.addmm(bias, rows, weight.t(), out=out)
    return written


def mlp(layers: nn.Sequential, rows: Tensor) -> Tensor:
    """A sequence of layers on (N, A) rows; all but `Linear` and ReLU are computed in float32."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            rows = linear(layer, rows)
        elif isinstance(layer, nn.ReLU):
            rows = rows.relu()
        else:
            rows = layer(rows.float()).to(rows.dtype)  # a norm's sums of squares lose themselves in bfloat16
    return rows
