"""MONAI networks, and a user's own, behind one face: coarse logits, decoder maps deep to shallow, their strides."""

from napari_morse.model.backbones.adapter import Backbone, CoarseMaps, PooledInput, interpolated, pooled
from napari_morse.model.backbones.registry import make_backbone, package_of, register_backbone

__all__ = [
    "Backbone",
    "CoarseMaps",
    "PooledInput",
    "interpolated",
    "make_backbone",
    "package_of",
    "pooled",
    "register_backbone",
]
