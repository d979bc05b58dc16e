"""Experts, one per scale, and the gate that weighs them at every point."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_morse.model.linear import linear, linear_into, mlp


def draw_survivors(experts: int, protected: int | None, generator: torch.Generator | None) -> Tensor:
    """Silence r ~ U{0 … S−1} experts chosen at random.

    Parameters
    ----------
    experts
        S.
    protected
        Index of an expert that is never silenced, or None.

    Returns
    -------
    Tensor
        (S,) bool, True for those that speak; at least one does.
    """
    candidates = [s for s in range(experts) if s != protected]
    most = len(candidates) - (1 if protected is None else 0)  # one must speak: the protected one does anyhow
    silenced = int(torch.randint(most + 1, (1,), generator=generator))
    order = torch.randperm(len(candidates), generator=generator)[:silenced]
    speaks = torch.ones(experts, dtype=torch.bool)
    for index in order.tolist():
        speaks[candidates[index]] = False
    return speaks


def silence(
    weights: Tensor, share: float, protected: int | None, rescale: str, generator: torch.Generator | None = None
) -> Tensor:
    """Set the weights of experts drawn at random to 0, in a ``share`` of the calls.

    Parameters
    ----------
    weights
        (N, S, …) summing to 1 over axis 1.
    share
        0 to 1.
    protected
        As `draw_survivors` takes it.
    rescale
        ``renorm`` divides what is left by its sum; ``none`` leaves it, so that what is mixed shrinks.

    Returns
    -------
    Tensor
        (N, S, …).
    """
    if float(torch.rand(1, generator=generator)) >= share:
        return weights
    experts = weights.shape[1]
    # One draw for the whole call, not one for each point: the published gate silences an expert for the batch.
    speaks = draw_survivors(experts, protected, generator).to(weights.device)
    weights = weights * speaks.view(1, experts, *[1] * (weights.ndim - 2))
    if rescale == "none":
        return weights
    # The experts that are left may all have had weights of nearly 0.
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)


class PointExperts(nn.Module):
    """Two-layer MLPs on features read at points, mixed by a gate that is stochastic in training.

    Parameters
    ----------
    channels
        Input channels per expert; S of them.
    width
        H, hidden and output units.
    stochastic
        Share of the batches in which experts are silenced at random while training.
    protected
        Index of an expert that is never silenced (the native one), or None.
    rescale
        What becomes of the weights that are left: ``renorm`` or ``none``.
    """

    def __init__(
        self, channels: tuple[int, ...], width: int, stochastic: float, protected: int | None = None,
        rescale: str = "renorm",
    ) -> None:  # fmt: skip
        super().__init__()
        self.stochastic = stochastic
        self.protected = protected
        self.rescale = rescale
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()) for c in channels
        )
        self.gate = nn.Sequential(
            nn.Linear(width * len(channels), width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, len(channels))
        )

    def forward(self, features: list[Tensor], generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """S × (N, C_s) → mixture (N, H) and weights (N, S).

        Rows sum to 1, but where experts are silenced in training without ``renorm``.
        """
        spoken = self._speak(features)
        # In float32: rounded to bfloat16, weights would no longer sum to 1.
        weights = mlp(self.gate, spoken).float().softmax(dim=1)
        if self.training:
            weights = silence(weights, self.stochastic, self.protected, self.rescale, generator)
        return _mixed(spoken, weights.to(spoken.dtype)), weights

    def _speak(self, features: list[Tensor]) -> Tensor:
        """What the experts say, side by side: (N, S·H)."""
        if torch.is_grad_enabled():
            # torch refuses to write into a given array where a gradient is asked for.
            return torch.cat([mlp(e, f) for e, f in zip(self.experts, features, strict=True)], dim=1)  # type: ignore[arg-type]
        width = self.experts[0][-2].out_features  # type: ignore[index]
        features_out = features[0].new_empty(len(features[0]), width * len(features))
        for number, (expert, read) in enumerate(zip(self.experts, features, strict=True)):
            first, second = expert[0], expert[2]  # type: ignore[index]
            mine = features_out[:, number * width : (number + 1) * width]
            linear_into(second, linear(first, read).relu_(), mine).relu_()
        return features_out


def _mixed(spoken: Tensor, weights: Tensor) -> Tensor:
    """(N, S·H) and (N, S) → (N, H). A gather weighs and adds in one reading."""
    points, experts = weights.shape
    if torch.is_grad_enabled() or weights.device.type != "cpu" or not points:
        return (spoken.view(points, experts, spoken.shape[1] // experts) * weights[..., None]).sum(dim=1)
    rows = torch.arange(points * experts).view(points, experts)
    return F.embedding_bag(rows, spoken.view(points * experts, -1), mode="sum", per_sample_weights=weights)
