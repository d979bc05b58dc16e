"""The simulated reviewer, on masks small enough to walk by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.walk import (
    FIGURES,
    RANKINGS,
    Meter,
    course,
    halfway,
    in_order,
    measured,
    per_patch,
    scene_of,
    table,
    walks,
)
from napari_morse.metrics import doubtful_patches, score
from napari_morse.types import Grid, Mask, no_patches

SPACING = (1.0, 0.8, 2.5)
IDS = (1, 2)


def found(mask, error, planar=False):
    grid = Grid(mask.shape, np.diag([*SPACING, 1.0]))
    patches = doubtful_patches(mask, error, grid, 2 if planar else None)
    return SimpleNamespace(rendered=Mask(mask, grid), uncertainty=2 * error, patches=patches)


@pytest.fixture
def case():
    """Two boxes; the truth bulges out of the first where the doubt is, and holds an island and a lost tail."""
    mask = np.zeros((20, 18, 7), np.uint8)
    mask[3:9, 3:15, 2:5] = 1
    mask[9:17, 3:15, 2:5] = 2
    truth = mask.copy()
    truth[1:3, 5:9, 2:5] = 1
    truth[16, 3:15, 2:5] = 0
    truth[0, 17, 6] = 2
    error = np.full(mask.shape, 0.1)
    error[1:5, 4:10] = 0.45
    return mask, truth, error


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("name", [*RANKINGS, "in order", "slices", "random"])
def test_every_walk_visits_the_whole_boundary_and_leaves_the_truth(case, name, planar):
    mask, truth, error = case
    scene = scene_of(found(mask, error, planar), truth, planar)
    total = scene.patches.length.sum()
    meter = Meter(scene.truth, IDS, scene.spacing, scene.diagonal)
    for walk in walks(scene, name):
        visited = np.concatenate(walk.wrong)
        assert sorted(visited) == np.flatnonzero(scene.mask != scene.truth).tolist()
        way = course(scene, walk, meter)
        assert way.length[-1] == pytest.approx(total)
        assert (way.figures[0] > 0).all() and (way.figures[-1] == 0).all()


def test_wrong_voxels_belong_to_the_nearest_patch_in_mm(case):
    mask, truth, error = case
    scene = scene_of(found(mask, error), truth)
    mm = scene.voxel * np.array(SPACING)
    walk = next(walks(scene, "list"))
    for rank, wrong in enumerate(walk.wrong):
        for place in np.argwhere(np.isin(np.arange(scene.mask.size).reshape(scene.mask.shape), wrong)):
            off = np.linalg.norm(mm - place * SPACING, axis=1)
            assert off[scene.patch == rank].min() == pytest.approx(off.min())


def test_the_doubtful_bulge_is_corrected_at_the_first_visits_and_costs_their_length(case):
    mask, truth, error = case
    scene = scene_of(found(mask, error), truth)
    doubtful = int((scene.patches.probability > 0.25).sum())
    assert 0 < doubtful < len(scene.patches) / 2
    walk = next(walks(scene, "list"))
    mended = scene.mask.copy()
    for wrong in walk.wrong[:doubtful]:
        mended.ravel()[wrong] = scene.truth.ravel()[wrong]
    assert (mended[1:3, 5:9] == scene.truth[1:3, 5:9]).all()
    np.testing.assert_array_equal(walk.length, scene.patches.length)


@pytest.mark.parametrize("missed", [False, True])
def test_figures_are_those_of_the_tables(case, missed):
    mask, truth, _ = case
    if missed:
        mask = np.where(mask == 2, 0, mask)
    diagonal = float(np.linalg.norm(np.multiply(mask.shape, SPACING)))
    rows = score(mask, truth, SPACING, IDS)
    expected = [
        np.mean([r.hd95_or_diagonal for r in rows[:2]]),
        np.mean([r.asd_or_diagonal for r in rows[:2]]),
        rows[2].hd95_or_diagonal,
        rows[2].asd_or_diagonal,
    ]
    meter = Meter(truth, IDS, SPACING, diagonal)
    assert meter.read(truth) == [0.0] * 4
    assert meter.read(mask) == pytest.approx(expected, rel=1e-5)
    assert (expected[0] > diagonal / 3) == missed


def test_a_structure_in_neither_mask_counts_for_nothing(case):
    mask, truth, _ = case
    without = Meter(truth, IDS, SPACING, 50.0).read(mask)
    assert Meter(truth, (*IDS, 3), SPACING, 50.0).read(mask) == without


def test_in_order_goes_slice_by_slice_and_around_each(case):
    mask, truth, error = case
    scene = scene_of(found(mask, error, planar=True), truth, planar=True)
    order = in_order(scene)
    middle = np.stack([per_patch(scene, scene.voxel[:, a] * SPACING[a]) for a in range(3)], 1)
    middle = (middle / scene.patches.voxels[:, None])[order]
    assert (np.diff(middle[:, 2]) >= 0).all() and len(np.unique(middle[:, 2])) == 3
    for height in np.unique(middle[:, 2]):
        here = middle[middle[:, 2] == height]
        centre = (scene.voxel * SPACING)[np.isclose(scene.voxel[:, 2] * SPACING[2], height)].mean(axis=0)
        angle = np.arctan2(*(here - centre)[:, 1::-1].T)
        assert (np.diff(angle) >= 0).all() and len(here) >= 3


@pytest.mark.parametrize(
    ("values", "first", "last"),
    [([4, 3, 2, 1, 0], 2, 2), ([4, 2, 3, 1, 0], 1, 3), ([4, 0], 1, 1), ([4, 4, 4, 0], 3, 3)],
)
def test_halfway_is_met_first_and_kept_last(values, first, last):
    assert halfway(np.array(values, float)) == (first, last)


def test_lines_of_the_table_add_mm_over_cases(case):
    mask, truth, error = case
    names = ["list", "in order", "slices"]
    rows = []
    for seed, turned in enumerate((truth, truth[::-1])):
        scene = scene_of(found(mask, error), turned)
        length = float(scene.patches.length.sum())
        rows.append({"mm": length, "walks": measured(scene, names, IDS, seed)})
    rows.append({"mm": 0.0, "walks": {name: {} for name in names}})
    for figure in FIGURES:
        line = table(rows, "list", figure)
        ours = [row["walks"]["list"][figure]["first"] for row in rows[:2]]
        other = [row["walks"]["slices"][figure]["first"] for row in rows[:2]]
        assert line["cases"] == 2
        assert line["of slices"] == pytest.approx(sum(ours) / sum(other))
        assert line["first"] == pytest.approx(sum(ours) / sum(row["mm"] for row in rows))
        assert table(rows, "in order", figure)["of in order, median"] == 1


def test_a_mask_without_a_boundary_is_not_walked():
    mask = np.zeros((4, 5, 6), np.uint8)
    empty = SimpleNamespace(rendered=Mask(mask, Grid(mask.shape, np.eye(4))), patches=no_patches())
    assert scene_of(empty, mask) is None
