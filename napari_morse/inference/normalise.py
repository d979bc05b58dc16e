"""Grey levels → network input, and what is unusual about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_morse.config import Intensity
from napari_morse.errors import InputError
from napari_morse.types import Array


@dataclass(frozen=True, eq=False)
class Normalised:
    """A normalised image.

    Parameters
    ----------
    pixels
        Same shape as the input, float32, finite, mean 0 and sd 1 above its minimum.
    skewness
        Of the normalised histogram: tells one contrast from another.
    not_finite
        Voxels that were NaN or infinite; they are read as the minimum.
    flat
        True when there is no contrast at all; ``pixels`` is then 0.
    """

    pixels: NDArray[np.float32]
    skewness: float
    not_finite: int
    flat: bool


def normalise(image: Array, how: Intensity) -> Normalised:
    """Clip to percentiles and standardise, over the finite voxels above the minimum.

    The minimum itself is left out because it is what masks, gantries and resamplers fill empty space with.

    Raises
    ------
    InputError
        When no voxel is finite.
    """
    # float64 holds every grey level of an int32 scan; float32 merges those above 16 777 216.
    values = np.asarray(image, dtype=np.float64)
    finite = np.isfinite(values)
    missing = int(values.size - np.count_nonzero(finite))
    if missing == values.size:
        raise InputError("The scan holds no finite voxel.", "Check how it was exported.")
    minimum = values[finite].min() if missing else values.min()
    inside = values[finite & (values > minimum)]
    if inside.size == 0:
        return Normalised(np.zeros(values.shape, np.float32), 0.0, missing, True)
    low, high = np.percentile(inside, [how.lower_percentile, how.upper_percentile])
    clipped = np.clip(inside, low, high)
    # Values near the end of float64 have an infinite sd: as good as no contrast, and no reason for a warning.
    with np.errstate(over="ignore"):
        mean, sd = clipped.mean(), clipped.std()
    if not np.isfinite(sd) or sd <= np.finfo(np.float64).tiny:
        return Normalised(np.zeros(values.shape, np.float32), 0.0, missing, True)
    filled = np.where(finite, values, minimum) if missing else values
    pixels = (np.clip(filled, low, high) - mean) / sd
    skewness = float((((clipped - mean) / sd) ** 3).mean())
    return Normalised(pixels.astype(np.float32), skewness, missing, False)
