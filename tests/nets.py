"""Small networks and scans that tests share."""

from __future__ import annotations

import numpy as np
import torch

from napari_morse.config import BackboneConfig, Recipe, RenderConfig, TrainConfig
from napari_morse.model.morse import Morse


def small_recipe(dims: int = 3, **render: object) -> Recipe:
    """A recipe that trains and runs in a blink."""
    return Recipe(
        name="small",
        backbone=BackboneConfig(spatial_dims=dims, filters=(8, 12, 16), classes=3),
        render=RenderConfig.model_validate({"points": 128, "width": 16, "head_width": 16, **render}),
        train=TrainConfig(window=(16, 24, 16)[:dims], batch=2, iterations=12, validate_every=4, warmup=2),
    )


def awake(net: Morse, seed: int = 0) -> Morse:
    """The same network with a head that does something: its last layer is no longer zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.renderer.head.last.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net.eval()


def small_net(dims: int = 3, seed: int = 0, **render: object) -> Morse:
    """An untrained network in evaluation mode."""
    torch.manual_seed(seed)
    return Morse(small_recipe(dims, **render)).eval()


def blob(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A bright ellipsoid in noise, float32, not symmetric in any axis."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = sum(((a - 0.1 * (i + 1)) / (0.5 + 0.1 * i)) ** 2 for i, a in enumerate(axes))
    return (np.where(radius < 1, 2.0, 0.0) + 0.3 * rng.standard_normal(shape)).astype(np.float32)
