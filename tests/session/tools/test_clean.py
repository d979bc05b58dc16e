"""Holes, islands, growing and shrinking: by mm, in a slice or everywhere, on the structure alone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.errors import InputError
from napari_morse.session.tools import fill_holes, grow, remove_islands


def put(mask, found):
    done = mask.copy()
    if found is not None:
        done[found.box.slices] = found.values
    return done


@pytest.fixture
def mask():
    mask = np.zeros((20, 22, 12), np.uint8)
    mask[4:14, 5:15, 3:9] = 1
    return mask


def test_enclosed_background_is_filled_and_other_structures_stay(mask):
    whole = mask.copy()
    mask[7, 7, 5], mask[9, 9, 6] = 0, 2
    whole[9, 9, 6] = 2
    np.testing.assert_array_equal(put(mask, fill_holes(mask, 1)), whole)
    assert fill_holes(whole, 1) is None


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_hole_in_a_slice_may_be_open_across_it(mask, axis):
    at = [slice(8, 10), slice(8, 10), slice(5, 7)]
    at[axis] = slice(None)
    mask[tuple(at)] = 0
    assert fill_holes(mask, 1) is None
    index = 7
    done = put(mask, fill_holes(mask, 1, axis, index))
    at[axis] = index
    assert (done[tuple(at)] == 1).all()
    rest = np.ones(mask.shape, bool)
    rest[tuple(at)] = False
    np.testing.assert_array_equal(done[rest], mask[rest])


def test_small_parts_go_by_size_in_mm_or_all_but_the_largest(mask):
    whole = mask.copy()
    mask[17, 18, 10] = 1
    mask[17:19, 2:4, 1] = 1
    mask[0, 0, 0] = 2
    done = put(mask, remove_islands(mask, 1, (1, 2, 0.5)))
    whole[0, 0, 0] = 2
    np.testing.assert_array_equal(done, whole)
    some = put(mask, remove_islands(mask, 1, (1, 2, 0.5), at_least=1.5))
    assert not some[17, 18, 10] and some[17, 2, 1] == 1
    flat = put(mask, remove_islands(mask, 1, (1, 2, 0.5), axis=2, index=1))
    np.testing.assert_array_equal(flat, mask)  # the largest of that slice


@pytest.mark.parametrize("mm", [1.0, 2.0])
def test_growing_by_voxels_is_exact_and_anisotropic(mm):
    mask = np.zeros((15, 15, 15), np.uint8)
    mask[7, 7, 7] = 1
    done = put(mask, grow(mask, 1, mm, (1.0, 2.0, 0.5)))
    index = (np.argwhere(done == 1) - 7) * (1.0, 2.0, 0.5)
    assert np.linalg.norm(index, axis=1).max() <= mm + 1e-6
    every = (np.indices(mask.shape).reshape(3, -1).T - 7) * (1.0, 2.0, 0.5)
    assert (done == 1).sum() == (np.linalg.norm(every, axis=1) <= mm + 1e-6).sum()


def test_shrinking_takes_one_layer_and_growing_it_again_gives_the_box_without_its_corners(mask):
    done = put(mask, grow(mask, 1, -1.0, (1, 1, 1)))
    smaller = np.zeros_like(mask)
    smaller[5:13, 6:14, 4:8] = 1
    np.testing.assert_array_equal(done, smaller)
    again = put(done, grow(done, 1, 1.0, (1, 1, 1)))
    assert (again <= mask).all() and again[4, 10, 5] == 1 and again[4, 5, 3] == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_growing_in_one_slice_leaves_the_others(mask, axis):
    mask[0:4, 0:22, 0:12][mask[0:4] == 0] = 2
    done = put(mask, grow(mask, 1, 2.0, (1, 1, 1), axis, 6))
    differs = np.flatnonzero((done != mask).any(axis=tuple(a for a in range(3) if a != axis)))
    np.testing.assert_array_equal(differs, [6])
    np.testing.assert_array_equal(done == 2, mask == 2)


def test_less_than_a_voxel_is_a_sentence(mask):
    with pytest.raises(InputError, match=r"at least 0\.5 mm"):
        grow(mask, 1, 0.4, (1, 2, 0.5))
    with pytest.raises(InputError, match="at least 1 mm"):
        grow(mask, 1, 0.6, (1, 2, 0.5), axis=2, index=4)
    assert grow(mask, 7, 2.0, (1, 1, 1)) is None
