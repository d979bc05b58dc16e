"""Probabilities that can be believed, and how far they can: temperature scaling and the figures that judge doubt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import rankdata

from napari_morse.types import Array


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """(N, C) logits divided by a temperature → (N, C) probabilities."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    # Less the largest: a logit of 800 has an infinite exponential.
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

    # By its logarithm: half as sure and twice as sure are equally far from 1.
    fitted = minimize_scalar(surprise, bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    return round(float(np.exp(fitted.x)), 4)


def calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error: mean over voxels of |confidence − share that is correct| of the voxel's bin.

    Parameters
    ----------
    confidence
        (N,) in [0, 1], probability of the label that was given.
    correct
        (N,) whether that label is the true one.
    bins
        Of equal width over [0, 1]; a value on an edge belongs to the upper bin, 1 to the last.

    Returns
    -------
    float
        In [0, 1]; 0 for no voxel.
    """
    if not len(confidence):
        return 0.0
    bin_of = np.minimum((np.asarray(confidence, np.float64) * bins).astype(np.int64), bins - 1)
    claimed = np.bincount(bin_of, confidence, minlength=bins)
    held = np.bincount(bin_of, correct, minlength=bins)
    return float(np.abs(claimed - held).sum() / len(confidence))


def auroc(score: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float | None:
    """Probability that a wrong voxel scores higher than a right one, ties counting half; None without both kinds.

    Parameters
    ----------
    score
        (N,), larger is more doubtful.
    wrong
        (N,).
    """
    bad = int(np.count_nonzero(wrong))
    good = len(wrong) - bad
    if not bad or not good:
        return None
    ranks = rankdata(score)[np.asarray(wrong, bool)].sum()
    return float((ranks - bad * (bad + 1) / 2) / (bad * good))


def captured(length: NDArray[np.floating], wrong: NDArray[np.integer], share: float) -> float | None:
    """Share of the wrong boundary voxels that lie in the patches making up the first ``share`` of the listed length.

    Parameters
    ----------
    length
        (N,) of the patches in the order of the list.
    wrong
        (N,) wrongly labelled boundary voxels in each.
    share
        In [0, 1]; only patches that end within it count.

    Returns
    -------
    float or None
        None when nothing is wrong.
    """
    total = int(np.sum(wrong))
    if not total:
        return None
    # A trifle more: rounding must not leave out the patch that ends exactly at the share.
    within = np.cumsum(length) <= share * np.sum(length) * (1 + 1e-9)
    return float(np.sum(wrong[within]) / total)
