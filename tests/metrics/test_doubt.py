"""Boundary patches and the figures that judge doubt, against constructed cases."""

from __future__ import annotations

import csv
import io
import itertools
import time

import numpy as np
import pytest
import torch
from scipy import ndimage

from benchmarks.doubt import speaking
from napari_morse.errors import CancelledError
from napari_morse.inference.engine import coarse_pass, frame_of
from napari_morse.inference.export import patches_csv
from napari_morse.inference.rendering import render_voxels
from napari_morse.metrics import auroc, boundary, calibration_error, captured, doubtful_patches, partition
from napari_morse.metrics.patches import EXTENT, FEWEST_VOXELS, WALKED, contour_shares
from napari_morse.types import Grid, Label, Roi, no_patches
from tests.nets import awake, blob, small_net

LABELS = (Label(7, "front", "#000000"), Label(9, "back", "#ffffff"))


def two_halves(shape=(18, 20, 16), seed=0):
    """An ellipsoid of label 7 and, behind a flat cut, label 9; a random smooth error."""
    index = [np.linspace(-1, 1, n) for n in shape]
    i, j, k = np.meshgrid(*index, indexing="ij")
    mask = np.where((i / 0.8) ** 2 + (j / 0.7) ** 2 + (k / 0.6) ** 2 < 1, np.where(j > 0.1, 9, 7), 0).astype(np.uint8)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    return mask, np.clip(0.25 + noise, 0, 0.66)


def by_hand(mask, axes):
    """Boundary voxels, one neighbour after the other."""
    edge = np.zeros(mask.shape, bool)
    for place in np.ndindex(mask.shape):
        for axis, step in itertools.product(axes, (-1, 1)):
            other = list(place)
            other[axis] += step
            if 0 <= other[axis] < mask.shape[axis] and mask[tuple(other)] != mask[place]:
                edge[place] = True
    return edge


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 4.0), (6.0, 0.5, 0.5)])
def test_patches_part_the_whole_boundary_and_none_is_longer_than_allowed(planar, spacing):
    mask, error = two_halves()
    axis = int(np.argmax(spacing))
    found = partition(mask, error, spacing, axis, planar)
    edge = by_hand(mask, [a for a in range(3) if not (planar and a == axis)])
    listed = np.zeros(mask.shape, int)
    np.add.at(listed, tuple(found.voxel_ijk.T), 1)
    np.testing.assert_array_equal(listed, edge.astype(int))
    assert set(found.patch) == set(range(found.count)) and found.count > 10
    mean = np.bincount(found.patch, found.error) / np.bincount(found.patch)
    assert (np.diff(mean) <= 1e-12).all() and mean.min() >= 0 and mean.max() <= 1
    for number in range(found.count):
        voxel = found.voxel_ijk[found.patch == number]
        side = (np.ptp(voxel, axis=0) + 1) * spacing
        assert np.linalg.norm(side) <= EXTENT
        assert not planar or np.ptp(voxel[:, axis]) == 0
        alone = np.zeros(mask.shape, bool)
        alone[tuple(voxel.T)] = True
        assert ndimage.label(alone, np.ones((3, 3, 3)))[1] == 1


def test_doubtful_stretches_stay_together_and_come_first():
    mask = np.zeros((40, 40, 3), np.uint8)
    mask[10:30, 10:30] = 7
    error = np.full(mask.shape, 0.05)
    error[8:12, 14:24] = 0.45
    found = partition(mask, error, (1, 1, 1), 2, planar=True)
    for number in range(3):
        voxel = found.voxel_ijk[found.patch == number]
        assert sorted(set(voxel[:, 0])) == [9, 10] and sorted(set(voxel[:, 1])) == list(range(14, 24))
    assert found.error[found.patch >= 3].max() == 0.05


def test_small_pieces_join_what_they_touch():
    mask = np.zeros((24, 24, 1), np.uint8)
    mask[6:18, 6:18] = 7
    error = np.full(mask.shape, 0.2)
    error[6, 12] = 0.5
    found = partition(mask, error, (1, 1, 1), 2, planar=True)
    assert np.bincount(found.patch).min() >= FEWEST_VOXELS


def test_patches_worth_a_visit_where_neighbours_allow_it():
    """Strewn doubt on a plane: single voxels join what surrounds them; one far from all others stays alone."""
    mask = np.zeros((30, 30, 8), np.uint8)
    mask[:, :, 4:] = 7
    mask[2, 2, 0] = 7
    error = np.where(np.random.default_rng(0).random(mask.shape) < 0.1, 0.45, 0.02)
    found = partition(mask, error, (1, 1, 1), 2)
    sizes = np.bincount(found.patch)
    alone = found.patch[(found.voxel_ijk <= 3).all(axis=1) & (found.voxel_ijk[:, 2] < 2)]
    assert len(set(alone)) == 1 and sizes[alone[0]] == len(alone)
    others = np.delete(sizes, alone[0])
    assert others.min() >= WALKED
    for number in range(found.count):
        assert np.linalg.norm(np.ptp(found.voxel_ijk[found.patch == number], axis=0) + 1) <= EXTENT


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lengths_are_those_of_the_contours_and_add_up(axis):
    spacing = [0.8, 1.3, 2.1]
    mask = np.zeros((12, 13, 14), np.uint8)
    mask[3:9, 4:9, 2:9] = 7
    plane = [a for a in range(3) if a != axis]
    sides = np.array([6, 5, 7]) * spacing
    corner = np.hypot(*(spacing[a] / 2 for a in plane)) - sum(spacing[a] / 2 for a in plane)
    contour = 2 * sum(sides[a] for a in plane) + 4 * corner
    shares = contour_shares(mask, spacing, axis)
    assert shares.sum() == pytest.approx(contour * (6, 5, 7)[axis])
    assert not shares[~by_hand(mask, plane)].any()
    flat = partition(mask, np.zeros(mask.shape), spacing, axis, planar=True)
    assert flat.length.sum() == pytest.approx(shares.sum())


def test_a_border_between_two_structures_is_one_line():
    mask = np.zeros((10, 12, 1), np.uint8)
    mask[:, 4:8], mask[:, 8:] = 7, 9
    assert contour_shares(mask, (2.0, 1.0, 1.0), 2).sum() == pytest.approx(2 * 10 * 2.0)


def test_what_lies_across_slices_is_not_listed_for_free():
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[:, :, 4:] = 7
    found = partition(mask, np.full(mask.shape, 0.3), (1.0, 3.0, 5.0), 2)
    np.testing.assert_array_equal(found.length, np.full(2 * 81, 1.0))


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_places_are_those_of_the_grid_and_sides_are_label_ids(flips):
    mask, error = two_halves((30, 34, 26))
    angle = np.radians(17.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * (np.array([1.0, 1.2, 1.5]) * flips)
    affine[:3, 3] = (5, -8, 30)
    found = doubtful_patches(mask, error, Grid(mask.shape, affine))
    plain = doubtful_patches(mask, error, Grid(mask.shape, np.diag([1.0, 1.2, 1.5, 1.0])))
    np.testing.assert_array_equal(found.voxel, plain.voxel)
    np.testing.assert_allclose(found.length, plain.length)
    np.testing.assert_allclose(found.mm, (np.c_[found.centre, np.ones(len(found))] @ affine.T)[:, :3])
    assert set(zip(found.label.tolist(), found.other.tolist(), strict=True)) == {(7, 0), (9, 0), (7, 9)}
    for rank in range(len(found)):
        inside = found.of(rank)
        assert found.centre[rank].tolist() in inside.tolist() and found.worst[rank].tolist() in inside.tolist()
        told = error[tuple(inside.T)]
        assert found.probability[rank] == pytest.approx(told.mean())
        assert found.highest[rank] == told.max() == error[tuple(found.worst[rank])]


def test_slices_are_the_axial_ones_or_those_of_the_longest_side():
    mask, error = two_halves()
    for affine, axis in (
        (np.diag([1.0, 1, 1, 1]), 2),
        (np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]), 0),
        (np.diag([1.0, 4, 1, 1]), 1),
    ):
        assert doubtful_patches(mask, error, Grid(mask.shape, affine)).slice_axis == axis
    assert doubtful_patches(mask, error, Grid(mask.shape, np.eye(4)), sliced=0).slice_axis == 0


def test_the_faces_of_a_region_are_no_boundary():
    mask, error = two_halves()
    roi = Roi((6, 3, 5), (12, 18, 11))
    cut = np.zeros_like(mask)
    cut[roi.slices] = mask[roi.slices]
    found = doubtful_patches(cut, error, Grid(mask.shape, np.eye(4)), roi=roi)
    listed = np.zeros(mask.shape, bool)
    listed[tuple(found.voxel.T)] = True
    np.testing.assert_array_equal(listed[roi.slices], by_hand(mask[roi.slices], range(3)))
    assert listed.sum() == listed[roi.slices].sum()


def test_an_empty_mask_leaves_a_header_alone():
    mask = np.zeros((5, 6, 7), np.uint8)
    found = doubtful_patches(mask, np.zeros(mask.shape), Grid(mask.shape, np.eye(4)))
    assert len(found) == len(no_patches()) == 0
    lines = patches_csv(found, LABELS).splitlines()
    assert len(lines) == 1 and lines[0].startswith("rank,length_mm,probability,")


def test_the_table_says_what_the_list_holds():
    mask, error = two_halves((30, 34, 26))
    found = doubtful_patches(mask, error, Grid(mask.shape, np.eye(4)))
    rows = list(csv.DictReader(io.StringIO(patches_csv(found, LABELS))))
    assert [int(r["rank"]) for r in rows] == list(range(1, len(found) + 1))
    np.testing.assert_allclose([float(r["length_mm"]) for r in rows], found.length, atol=1e-4)
    np.testing.assert_allclose([float(r["probability"]) for r in rows], found.probability, atol=1e-4)
    names = {(r["label"], r["other"]): (r["structure"], r["beside"]) for r in rows}
    assert names[("7", "9")] == ("front", "back") and names[("9", "0")] == ("back", "background")


def test_cutting_the_boundary_is_left_off_before_the_next_patch():
    mask = (np.random.default_rng(0).random((30, 30, 30)) < 0.3).astype(np.uint8)
    asked = []
    with pytest.raises(CancelledError):
        partition(mask, np.zeros(mask.shape), (1, 1, 1), 2, cancelled=lambda: len(asked) >= 6 or asked.append(0))
    assert len(asked) == 6


def test_known_errors_are_captured():
    mask = np.zeros((40, 40, 1), np.uint8)
    mask[10:30, 10:30] = 7
    truth = mask.copy()
    truth[10, 14:24] = 0
    found = doubtful_patches(mask, np.where(mask != truth, 0.6, 0.02), Grid(mask.shape, np.eye(4)), sliced=2)
    wrong = (mask != truth)[tuple(found.voxel.T)]
    held = np.bincount(np.repeat(np.arange(len(found)), found.voxels), wrong, minlength=len(found)).astype(int)
    assert held.sum() == 10 and captured(found.length, held, 0.2) == 1.0
    assert captured(found.length[::-1], held[::-1], 0.2) == 0.0


def test_only_patches_that_end_within_the_share_count():
    assert captured(np.array([2.0, 3.0, 5.0]), np.array([1, 2, 1]), 0.2) == 0.25
    assert captured(np.array([2.0, 3.0, 5.0]), np.array([1, 2, 1]), 0.49) == 0.25
    assert captured(np.array([2.0, 3.0, 5.0]), np.array([1, 2, 1]), 1.0) == 1.0
    assert captured(np.array([2.0]), np.array([0]), 0.2) is None


def test_calibration_error_of_sets_that_are_known():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.34, 1, 200_000)
    assert calibration_error(confidence, rng.uniform(size=len(confidence)) < confidence) < 0.005
    assert calibration_error(np.full(1000, 0.9), np.arange(1000) < 600) == pytest.approx(0.3)
    both = np.concatenate([np.full(100, 0.5), np.full(300, 1.0)])
    assert calibration_error(both, np.arange(400) >= 100) == pytest.approx(0.25 * 0.5)
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0


def test_auroc_is_the_count_of_pairs():
    rng = np.random.default_rng(1)
    score, wrong = rng.integers(0, 9, 120).astype(float), rng.uniform(size=120) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in score[wrong] for b in score[~wrong]]
    assert auroc(score, wrong) == pytest.approx(np.mean(pairs))
    assert auroc(score, np.ones(120, bool)) is None


def test_two_steps_from_the_boundary():
    mask = np.zeros((9, 9), int)
    mask[4, 4] = 1
    index = np.abs(np.indices(mask.shape) - 4).sum(axis=0)
    np.testing.assert_array_equal(boundary(mask, (0, 1)), index <= 1)
    np.testing.assert_array_equal(boundary(mask, (0, 1), 2), index <= 2)
    np.testing.assert_array_equal(boundary(mask, (0,)), (index <= 1) & (np.arange(9) == 4))


@pytest.mark.alone
def test_a_large_scan_takes_less_than_a_second():
    mask, error = two_halves((190, 140, 88))
    grid = Grid(mask.shape, np.diag([0.625, 0.625, 0.625, 1.0]))
    best = np.inf
    for _ in range(3):
        begun = time.perf_counter()
        found = doubtful_patches(mask, error, grid)
        best = min(best, time.perf_counter() - begun)
    assert len(found.voxel) > 20_000 and best < 1.0, best


def test_the_benchmark_lets_one_expert_speak_alone() -> None:
    net = awake(small_net(3))
    stack = blob((16, 24, 16))[None]
    done = coarse_pass(net, stack, frame_of(stack, (1.0,) * 3, (1.0,) * 3, net))
    chosen = torch.arange(0, 6144, 7)
    before = render_voxels(net, done, chosen)
    with speaking(net, [False, True, False, False]):
        weights = render_voxels(net, done, chosen)[1]
    assert torch.equal(weights, torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(len(chosen), -1))
    assert torch.equal(render_voxels(net, done, chosen)[0], before[0])
