"""What a fine-tuning run is told, and the numbers that were chosen on validation cases."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

What = Literal["head", "decoder", "all"]
"""What is trained: the renderer; the renderer and the backbone's decoder; everything."""


class TuneSettings(BaseModel):
    """One fine-tuning run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    what: What = "decoder"
    minutes: float = Field(2.0, gt=0)
    """Wall-clock time for preparing and training; judging comes after it."""
    steps: int = Field(0, ge=0)
    """Steps instead of minutes; 0: as many as this machine does in ``minutes``."""
    seed: int = Field(0, ge=0, lt=2**63)
    batch: int = Field(2, ge=1)
    rate: float = Field(1e-3, gt=0)
    """Learning rate of the renderer."""
    backbone_rate: float = Field(1.0, gt=0)
    """The backbone's, as a share of it."""
    ema: float = Field(0.98, ge=0, lt=1)
    corrected: float = Field(2.0, ge=1)
    """Weight of a voxel whose label a person changed; 1 is that of any other reviewed voxel, 0 of one that nobody
    reviewed."""
    distil: float = Field(0.5, ge=0)
    """Weight of staying with the base model's probabilities, where the labels do not contradict it."""
    anchor: float = Field(0.01, ge=0)
    """How fast weights are drawn back to the base model's: share of the distance, times learning rate over `rate`."""
    replay: float = Field(0.3, ge=0, lt=1)
    """Share of the samples from cases of earlier rounds, when there are any."""
    checks: int = Field(4, ge=1)
    """How often the held-out cases are looked at; the best of these moments is kept."""
    check_cases: int = Field(4, ge=1)
    """How many of them, at most."""
