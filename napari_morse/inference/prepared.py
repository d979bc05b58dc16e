"""A scan made ready for a model, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_morse.geometry.orientation import Axes
from napari_morse.inference.normalise import Normalised
from napari_morse.types import Roi, Scan


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan made ready: what the engine reads, and the way back."""

    scan: Scan
    roi: Roi | None
    axes: Axes
    slice_axis: int | None
    """RAS axis that was brought to the front as slices; None in 3-D."""
    image: Normalised
    """Of channel 0."""
    stack: NDArray[np.float32]
    """(B, *space), or (B, channels, *space) where there are several."""
    spacing: tuple[float, ...]
    warnings: tuple[str, ...]
    seconds: float
    polarity_chosen: bool
    """Whether ``stack`` is of the contrast that the model is surer of, or the model reads no other than the scan's."""
