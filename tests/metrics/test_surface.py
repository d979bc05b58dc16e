"""Surface figures against MONAI, against surface-distance, and against geometry."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage

from napari_morse.metrics import dice, surface_scores
from napari_morse.metrics.surface import surfel_areas

with warnings.catch_warnings():  # its import and its calls touch names that NumPy and SciPy are about to remove
    warnings.simplefilter("ignore", DeprecationWarning)
    import surface_distance

SPACINGS = [
    (1.0, 1.0, 1.0),
    (0.5, 0.7, 7.0),  # thick slices
    (0.2, 0.2, 0.2),  # a tolerance of 1 is 5 steps that floats can't add up exactly
    (2.0, 1.0, 0.625),
    (0.7, 0.7, 1.2),
]


def monai_distances(pred, truth, spacing):
    onehot = [torch.from_numpy(m)[None, None].float() for m in (pred, truth)]
    with warnings.catch_warnings():  # MONAI calls its own deprecated argument
        warnings.simplefilter("ignore", FutureWarning)
        hd95 = compute_hausdorff_distance(*onehot, include_background=True, percentile=95, spacing=list(spacing))
        asd = compute_average_surface_distance(*onehot, include_background=True, symmetric=True, spacing=list(spacing))
    return hd95.item(), asd.item()


def deepmind_nsd(pred, truth, spacing, tolerance):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = surface_distance.compute_surface_distances(truth, pred, spacing)
    return surface_distance.compute_surface_dice_at_tolerance(distances, tolerance)


def random_pair(seed, dims, smooth):
    """Two blobs (smooth > 0) or two clouds of single voxels, reaching the array's border."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(7, 22, dims))
    fields = [rng.normal(size=shape) for _ in range(2)]
    if smooth:
        fields = [ndimage.gaussian_filter(f, smooth) for f in fields]
    return [f > 0.2 * f.std() for f in fields]


def ball(shape, radius, spacing, centre):
    steps = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij")
    return sum((a - c) ** 2 for a, c in zip(steps, centre, strict=True)) <= radius**2


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("smooth", [0.0, 1.5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_reference_libraries(spacing, dims, smooth, seed):
    pred, truth = random_pair(seed, dims, smooth)
    spacing = spacing[:dims]
    for tolerance in (0.5, 1.0, 2.0):
        ours = surface_scores(pred, truth, spacing, tolerance)
        assert ours.nsd == pytest.approx(deepmind_nsd(pred, truth, spacing, tolerance), abs=1e-6)
    hd95, asd = monai_distances(pred, truth, spacing)
    assert ours.hd95 == pytest.approx(hd95, abs=1e-4)
    assert ours.asd == pytest.approx(asd, abs=1e-4)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.7, 3.0)])
def test_every_surfel_has_the_published_area(spacing):
    """One mask for each of the 256 ways to fill 2 × 2 × 2 voxels, whose surfaces NSD weighs."""
    ours = surfel_areas(spacing)
    published = surface_distance.lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    kernel = surface_distance.lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL.ravel()
    for code in range(256):
        bits = [code >> bit & 1 for bit in range(8)]
        assert ours[code] == pytest.approx(published[int(np.dot(bits, kernel))], abs=1e-9)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 3.0)])
def test_every_contour_has_the_published_length(spacing):
    ours = surfel_areas(spacing)
    published = surface_distance.lookup_tables.create_table_neighbour_code_to_contour_length(spacing)
    kernel = surface_distance.lookup_tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL.ravel()
    for code in range(16):
        bits = [code >> bit & 1 for bit in range(4)]
        assert ours[code] == pytest.approx(published[int(np.dot(bits, kernel))], abs=1e-9)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 2.0)])
def test_balls_in_one_centre_differ_by_their_radii(spacing):
    shape = tuple(round(36 / s) for s in spacing)
    small, large = (ball(shape, r, spacing, (17.0, 17.0, 17.0)) for r in (10.0, 14.0))
    scores = surface_scores(small, large, spacing, 1.0)
    assert scores.hd95 == pytest.approx(4.0, abs=0.75 * max(spacing))
    assert scores.asd == pytest.approx(4.0, abs=0.5 * max(spacing))
    assert scores.nsd == 0.0
    assert dice(small, large) == pytest.approx(2 * 10**3 / (10**3 + 14**3), abs=0.01)


def test_a_shifted_cube_has_the_distances_of_its_faces():
    cube = np.zeros((12, 8, 8), bool)
    cube[2:6, 2:6, 2:6] = True
    moved = np.roll(cube, 3, axis=0)
    scores = surface_scores(moved, cube, (2.0, 1.0, 1.0), 1.0)
    assert scores.hd95 == pytest.approx(6.0)  # 16 of 56 edge voxels are 3 steps of 2 mm away: above the 95th percentile
    assert surface_scores(cube, cube, (2.0, 1.0, 1.0), 0.0) == type(scores)(hd95=0.0, asd=0.0, nsd=1.0)


def test_figures_do_not_depend_on_the_order_or_on_empty_space():
    pred, truth = random_pair(5, 3, 1.5)
    spacing = (0.5, 0.7, 3.0)
    there = surface_scores(pred, truth, spacing, 1.0)
    back = surface_scores(np.pad(truth, 9), np.pad(pred, 9), spacing, 1.0)
    assert (there.hd95, there.asd, there.nsd) == pytest.approx((back.hd95, back.asd, back.nsd), rel=1e-6)


def test_the_area_of_a_ball():
    """Each corner's surfel weighs its area: the sum is the ball's, to the error of marching cubes on voxels."""
    region = np.pad(ball((40, 40, 40), 16.0, (1.0, 1.0, 1.0), (19.5, 19.5, 19.5)), 1)
    bits = [
        region[tuple(slice(c, c + 41) for c in corner)].astype(int) << bit
        for bit, corner in enumerate(np.ndindex(2, 2, 2))
    ]
    area = surfel_areas((1.0, 1.0, 1.0))[sum(bits)].sum()
    assert area == pytest.approx(4 * np.pi * 16.0**2, rel=0.1)


def test_an_empty_region_is_refused():
    full, empty = np.ones((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
    with pytest.raises(ValueError, match="non-empty"):
        surface_scores(empty, full, (1.0, 1.0, 1.0), 1.0)
    assert dice(empty, empty) is None
