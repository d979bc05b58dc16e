"""Meshes lie where the mask's faces are, and distances are mm."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.errors import CancelledError
from napari_morse.metrics.surfaces import apart, mesh


def cube(shape=(20, 22, 24), low=(4, 5, 6), high=(10, 12, 14), label=1):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = label
    return mask


def test_a_cubes_surface_lies_half_a_voxel_outside_its_voxels():
    found = mesh(cube())
    np.testing.assert_allclose(found.vertex.min(axis=0), (3.5, 4.5, 5.5))
    np.testing.assert_allclose(found.vertex.max(axis=0), (9.5, 11.5, 13.5))
    corners = found.vertex[found.face].astype(float)
    a, b, c = corners.transpose(1, 0, 2)
    volume = (a * np.cross(b, c)).sum() / 6
    assert abs(volume) == pytest.approx(6 * 7 * 8, rel=0.05)


def test_a_mask_at_the_images_end_is_closed():
    found = mesh(np.ones((3, 4, 5), np.uint8))
    assert found.vertex.min() == -0.5
    edges = np.sort(found.face[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()


def test_two_structures_have_a_surface_each():
    mask = cube() + cube(low=(10, 5, 6), high=(14, 12, 14), label=2)
    assert len(mesh(mask)) == len(mesh(mask == 1)) + len(mesh((mask == 2).astype(np.uint8)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_is_its_length_in_mm(axis):
    spacing = (0.5, 1.0, 2.0)
    one = cube()
    other = np.roll(one, 2, axis=axis)
    far = apart(mesh(one), mesh(other), spacing)
    assert far.max() == pytest.approx(2 * spacing[axis], abs=0.01) and far.min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(apart(mesh(one), mesh(one), spacing), 0)


def test_empty_masks_and_large_ones():
    nothing = mesh(np.zeros((5, 5, 5), np.uint8))
    assert not len(nothing) and np.isnan(apart(mesh(cube()), nothing, (1, 1, 1))).all()
    fine, coarse = mesh(cube()), mesh(cube(), most=100)
    assert coarse.step > 1 and len(coarse) < len(fine)
    with pytest.raises(CancelledError):
        mesh(cube(), lambda: True)
