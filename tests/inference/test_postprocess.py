"""Post-processing on request, and calibration."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.inference.postprocess import clean
from napari_morse.metrics.doubt import fit_temperature, softmax
from tests.inference.test_inference import model


def islands() -> np.ndarray:
    mask = np.zeros((1, 10, 10, 10), np.int64)
    mask[0, 1:4, 1:4, 1:4] = 1
    mask[0, 3, 3, 4] = 2
    mask[0, 7:9, 7:9, 7:9] = 2
    return mask


def test_nothing_is_removed_unless_the_card_says_so() -> None:
    assert clean(islands(), 1.0, model().card) is not None
    assert np.array_equal(clean(islands(), 1.0, model().card), islands())


def test_the_largest_piece_of_all_classes_together_stays() -> None:
    cleaned = clean(islands(), 1.0, model(largest_component=True).card)
    assert not cleaned[0, 7:].any()
    assert np.array_equal(cleaned[0, :5], islands()[0, :5])
    assert not clean(np.zeros((1, 4, 4, 4), np.int64), 1.0, model(largest_component=True).card).any()


def test_pieces_below_the_smallest_volume_go() -> None:
    card = model(minimum_volume_mm3=10.0).card
    assert not clean(islands(), 1.0, card)[0, 7:].any()
    assert np.array_equal(clean(islands(), 2.0, card), islands())


def test_a_2d_stack_is_cleaned_as_one_volume() -> None:
    stack = islands()[0]
    cleaned = clean(stack, 1.0, model(2, largest_component=True).card)
    assert cleaned.shape == stack.shape and not cleaned[7:].any() and cleaned[:5].any()


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_was_multiplied(factor: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 3))
    truth = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    assert fit_temperature(logits * factor, truth) == pytest.approx(factor, rel=0.06)
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0
