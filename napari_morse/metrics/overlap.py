"""Overlap of two regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dice(pred: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float | None:
    """Dice's coefficient 2 |A ∩ B| / (|A| + |B|), in [0, 1].

    Parameters
    ----------
    pred, truth
        Boolean, of one shape.

    Returns
    -------
    float or None
        None when both are empty: nothing to find and nothing found.
    """
    total = int(np.count_nonzero(pred)) + int(np.count_nonzero(truth))
    if total == 0:
        return None
    return 2.0 * int(np.count_nonzero(pred & truth)) / total
