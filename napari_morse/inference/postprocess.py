"""Largest component and smallest volume, when a model's card asks for them."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray

from napari_morse.config import ModelCard


def clean(mask: NDArray[np.integer], voxel_mm3: float, card: ModelCard) -> NDArray[np.integer]:
    """Remove islands from a (B, *space) stack of class indices.

    With ``largest_component`` only the largest connected piece of the union of all classes stays (26-connected in
    3-D, across slices too); pieces below ``minimum_volume_mm3`` go in any case.
    """
    if not card.largest_component and card.minimum_volume_mm3 <= 0:
        return mask
    volume = mask[0] if mask.ndim == 4 else mask
    pieces = cc3d.connected_components(volume > 0, connectivity=26)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0  # the background is no piece, however large
    keep = sizes * voxel_mm3 >= max(card.minimum_volume_mm3, 1e-12)
    if card.largest_component and sizes.any():
        keep &= np.arange(len(sizes)) == sizes.argmax()
    return np.where(keep[pieces].reshape(mask.shape), mask, 0)
