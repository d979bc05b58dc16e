"""Probabilities that can be believed: temperature scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from napari_morse.types import Array


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """(N, C) logits divided by a temperature → (N, C) probabilities."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def fit_temperature(logits: NDArray[np.floating], truth: Array) -> float:
    """The temperature that makes the truth most likely (Guo et al. 2017): above 1 the model was too sure.

    Parameters
    ----------
    logits
        (N, C).
    truth
        (N,) class indices.

    Returns
    -------
    float
        Within 0.1 … 10; 1 when there is nothing to fit.
    """
    if len(truth) == 0:
        return 1.0
    rows = np.arange(len(truth))

    def surprise(log_t: float) -> float:
        likely = softmax(logits, float(np.exp(log_t)))[rows, truth]
        return float(-np.log(np.maximum(likely, 1e-12)).mean())

    found = minimize_scalar(surprise, bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    return round(float(np.exp(found.x)), 4)
