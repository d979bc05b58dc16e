"""Shapes come back from some of their slices, along each axis, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.errors import InputError
from napari_morse.session.tools import interpolate, slices_with

SPACING = (1.0, 0.7, 2.0)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def put(mask, found):
    done = mask.copy()
    if found is not None:
        done[found.box.slices] = found.values
    return done


def ellipsoid(shape=(40, 44, 36), radii=(12.0, 13.0, 11.0)):
    index = np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2
    return ((index / np.array(radii).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= 1


def tube(lean=1.6):
    """An oblique tube: neighbouring drawn slices do not overlap."""
    i, j, k = np.indices((50, 40, 24))
    return ((i - 5 - lean * k) ** 2 + (j - 20 + 0.3 * k) ** 2 <= 16) & (k >= 1) & (k <= 22)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("step", [3, 6])
def test_an_ellipsoid_comes_back_along_each_axis(axis, step):
    truth = ellipsoid()
    drawn = slices_with(truth, [1], axis)[1::step]
    mask = np.zeros(truth.shape, np.uint8)
    at = [slice(None)] * 3
    for n in drawn:
        at[axis] = n
        mask[tuple(at)] = truth[tuple(at)]
    done = put(mask, interpolate(mask, [1], axis, SPACING))
    at[axis] = slice(drawn[0], drawn[-1] + 1)
    assert dice(done[tuple(at)] == 1, truth[tuple(at)]) > (0.97 if step == 3 else 0.94)  # straight between slices
    for n in drawn:
        at[axis] = n
        np.testing.assert_array_equal(done[tuple(at)], mask[tuple(at)])
    outside = np.ones(truth.shape, bool)
    at[axis] = slice(drawn[0], drawn[-1] + 1)
    outside[tuple(at)] = False
    assert not done[outside].any()


def test_an_oblique_tube_stays_one():
    truth = tube()
    mask = np.zeros(truth.shape, np.uint8)
    for n in (1, 8, 15, 22):
        mask[:, :, n] = truth[:, :, n]
    assert not (mask[:, :, 1] & mask[:, :, 8]).any()
    done = put(mask, interpolate(mask, [1], 2, SPACING)) == 1
    assert dice(done, truth) > 0.95


def test_two_parts_that_move_apart_are_followed_each():
    whole = tube() | np.flip(tube(), axis=0)
    mask = np.zeros(whole.shape, np.uint8)
    for n in (1, 5, 9):
        mask[:, :, n] = whole[:, :, n]
    done = put(mask, interpolate(mask, [1], 2, SPACING)) == 1
    part = np.s_[:, :, 1:10]
    assert dice(done[part], whole[part]) > 0.93


def test_two_structures_leave_no_gap_and_do_not_overlap():
    truth = ellipsoid().astype(np.uint8)
    truth[(truth == 1) & (np.indices(truth.shape)[0] >= 20)] = 2
    drawn = [8, 14, 20, 26]
    mask = np.zeros_like(truth)
    mask[:, :, drawn] = truth[:, :, drawn]
    done = put(mask, interpolate(mask, [1, 2], 2, SPACING))
    part = done[:, :, 8:27]
    for label in (1, 2):
        assert dice(part == label, truth[:, :, 8:27] == label) > 0.93
    assert dice(part > 0, truth[:, :, 8:27] > 0) > 0.95


def test_other_structures_stay_bit_for_bit():
    truth = ellipsoid()
    mask = np.zeros(truth.shape, np.uint8)
    mask[:, :, [8, 26]] = truth[:, :, [8, 26]]
    mask[18:24, 18:24, 12:20] = 3
    done = put(mask, interpolate(mask, [1], 2, SPACING))
    np.testing.assert_array_equal(done == 3, mask == 3)
    assert (done[:, :, 15] == 1).any()


def test_between_named_slices_what_was_there_is_replaced():
    truth = ellipsoid()
    mask = truth.astype(np.uint8)
    mask[:, :, 14:20] = np.roll(mask[:, :, 14:20], 9, axis=0)
    done = put(mask, interpolate(mask, [1], 2, SPACING, slices=[13, 20]))
    assert dice(done == 1, truth) > 0.97
    with pytest.raises(InputError, match="every slice"):
        interpolate(mask, [1], 2, SPACING)


def test_a_named_empty_slice_is_an_end():
    mask = np.zeros((20, 20, 11), np.uint8)
    mask[5:15, 5:15, 0] = 1
    done = put(mask, interpolate(mask, [1], 2, (1, 1, 1), slices=[0, 10]))
    areas = done.sum(axis=(0, 1))
    assert (np.diff(areas.astype(int)) <= 0).all() and areas[3] and not areas[10]


def test_one_slice_is_a_sentence():
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[2:5, 2:5, 3] = 1
    with pytest.raises(InputError, match="fewer than two"):
        interpolate(mask, [1], 2, (1, 1, 1))
