"""Working grids: where every voxel goes, and that nothing moves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from napari_morse.errors import GeometryError
from napari_morse.geometry.orientation import axes_to, codes, obliquity, oriented
from napari_morse.geometry.resampling import to_work_grid, work_frame
from napari_morse.types import Grid, Roi


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 1.3), (2.5, 0.4)])
def test_a_ramp_stays_where_it_is(spacing: tuple[float, float]) -> None:
    shape = (40, 50)
    mm = [(np.arange(n) + 0.5) * s for n, s in zip(shape, spacing, strict=True)]
    ramp = (mm[0][:, None] + 3 * mm[1][None]).astype(np.float32)
    frame = work_frame(shape, spacing, (1.0, 1.0), (16, 16), 8)
    work = to_work_grid(ramp, frame)
    assert work.shape == frame.shape and all(n % 8 == 0 and n >= 16 for n in work.shape)
    for axis in (0, 1):
        back = frame.to_work(np.arange(shape[axis]), axis)
        assert np.all(np.diff(back) > 0) and back[0] >= frame.pad[axis] - 0.5
    rows, columns = frame.to_work(np.arange(5, 35), 0), frame.to_work(np.arange(5, 45), 1)
    read = ndimage.map_coordinates(work, np.meshgrid(rows, columns, indexing="ij"), order=1)
    assert np.allclose(read, ramp[5:35, 5:45], atol=0.05)


def test_equal_spacing_is_not_resampled_at_all() -> None:
    image = np.random.default_rng(0).random((9, 12)).astype(np.float32)
    frame = work_frame((9, 12), (1.003, 0.999), (1.0, 1.0), (16, 16), 8)
    work = to_work_grid(image, frame)
    inner = tuple(slice(p, p + n) for p, n in zip(frame.pad, image.shape, strict=True))
    assert np.array_equal(work[inner], image)
    work[inner] = image.min()
    assert np.all(work == image.min())


def test_thinning_out_averages_instead_of_skipping() -> None:
    stripes = np.tile([0.0, 1.0], 40).astype(np.float32)[:, None] * np.ones((1, 16), np.float32)
    frame = work_frame(stripes.shape, (0.25, 1.0), (1.0, 1.0), (8, 8), 8)
    inner = to_work_grid(stripes, frame)[frame.pad[0] + 2 : frame.pad[0] + 18, 8]
    assert np.allclose(inner, 0.5, atol=0.1)


def affines() -> list[np.ndarray]:
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = (np.diag(signs) @ np.diag([0.5, 0.7, 7.0]))[:, list(order)]
            affine[:3, 3] = (1e5, -3, 8)
            found.append(affine)
    turn = np.radians(17)
    found.append(
        np.array(
            [[np.cos(turn), -np.sin(turn), 0, 1], [np.sin(turn), np.cos(turn), 0, 2], [0, 0, 2, 3], [0, 0, 0, 1.0]]
        )
    )
    return found


@pytest.mark.parametrize("target", ["RAS", "IPL", "LPI"])
def test_there_and_back_is_nothing_and_places_stay(target: str) -> None:
    rng = np.random.default_rng(0)
    for affine in affines():
        grid = Grid((3, 4, 5), affine)
        data = rng.random(grid.shape)
        axes = axes_to(grid, target)
        turned, moved = axes.to_view(data), oriented(grid, axes)
        assert codes(moved) == target and moved.shape == turned.shape
        assert np.array_equal(axes.to_storage(turned), data)
        voxel = rng.integers(0, 3, (6, 3))
        other = axes.index_to_view(voxel)
        assert np.array_equal(turned[tuple(other.T)], data[tuple(voxel.T)])
        assert np.array_equal(axes.index_to_storage(other), voxel)
        homogeneous = np.c_[voxel, np.ones(6)].T, np.c_[other, np.ones(6)].T
        assert np.allclose(affine @ homogeneous[0], moved.affine @ homogeneous[1])
        roi = Roi((0, 1, 2), (2, 3, 4))
        assert axes.roi_to_storage(axes.roi_to_view(roi)) == roi
        assert np.array_equal(np.sort(turned[axes.roi_to_view(roi).slices].ravel()), np.sort(data[roi.slices].ravel()))


def test_obliquity_and_sizes() -> None:
    assert obliquity(Grid((2, 2, 2), affines()[-1])) == pytest.approx(17)
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    assert Grid((2, 2, 2), sheared).voxel_volume == pytest.approx(1)
    assert Grid((2, 2, 2), np.diag([1e-4, 1e-4, 1e-4, 1])).voxel_volume == pytest.approx(1e-12)


def test_grids_that_cannot_place_voxels_are_refused() -> None:
    for broken in (np.diag([1.0, 1, 0, 1]), np.full((4, 4), np.nan), np.eye(3)):
        with pytest.raises(GeometryError):
            Grid((2, 2, 2), broken)


def test_same_place_is_judged_in_mm() -> None:
    grid = Grid((100, 100, 100), np.eye(4))
    turned = np.eye(4)
    turned[0, 1] = 1e-4
    assert not grid.same_as(Grid((100, 100, 100), turned))
    assert grid.same_as(Grid((100, 100, 100), np.eye(4) + np.array([[0, 0, 0, 1e-4]] + [[0] * 4] * 3)))
    assert not grid.same_as(Grid((100, 100, 99), np.eye(4)))
