"""Conventions: what is missed or spurious is counted and never averaged away."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_morse.errors import GeometryError
from napari_morse.metrics import MERGED, score, summarise

SPACING = (1.0, 2.0, 3.0)
DIAGONAL = float(np.linalg.norm([6 * 1, 5 * 2, 4 * 3]))


def empty():
    return np.zeros((6, 5, 4), np.uint8)


def with_box(label=1):
    mask = empty()
    mask[1:4, 1:4, 1:3] = label
    return mask


def single(rows):
    assert len(rows) == 1
    return rows[0]


def test_missed():
    row = single(score(empty(), with_box(), SPACING, [1], merged=False))
    assert row.missed
    assert not row.spurious
    assert (row.dice, row.nsd, row.hd95, row.asd) == (0.0, 0.0, None, None)
    assert row.hd95_or_diagonal == row.asd_or_diagonal == pytest.approx(DIAGONAL)


def test_spurious():
    row = single(score(with_box(), empty(), SPACING, [1], merged=False))
    assert row.spurious
    assert not row.missed
    assert (row.dice, row.nsd, row.hd95, row.asd) == (0.0, 0.0, None, None)
    assert row.hd95_or_diagonal == row.asd_or_diagonal == pytest.approx(DIAGONAL)


def test_both_empty_has_no_figure():
    row = single(score(empty(), empty(), SPACING, [1], merged=False))
    assert row.both_empty
    assert {row.dice, row.nsd, row.hd95, row.asd, row.hd95_or_diagonal, row.asd_or_diagonal} == {None}


@pytest.mark.parametrize("fill", ["full", "one voxel"])
def test_extremes_equal_to_the_truth_are_perfect(fill):
    mask = empty()
    if fill == "full":
        mask[:] = 1
    else:
        mask[5, 0, 3] = 1
    row = single(score(mask, mask, SPACING, [1], merged=False))
    assert (row.dice, row.nsd, row.hd95, row.asd) == (1.0, 1.0, 0.0, 0.0)


def test_one_voxel_against_full():
    voxel = empty()
    voxel[0, 0, 0] = 1
    row = single(score(voxel, np.ones_like(voxel), SPACING, [1], merged=False))
    assert row.dice == pytest.approx(2 / (1 + 120))
    assert row.hd95_or_diagonal == row.hd95 < DIAGONAL


def test_merged_is_the_union_and_comes_last():
    truth, pred = with_box(1), with_box(2)  # every voxel found, every label wrong
    rows = score(pred, truth, SPACING, [1, 2])
    assert [row.id for row in rows] == [1, 2, MERGED]
    assert rows[0].missed
    assert rows[1].spurious
    assert rows[2].dice == 1.0


def test_labels_that_are_not_asked_for_count_as_background():
    truth, pred = with_box(1), with_box(1)
    pred[0, 0, 0] = 9
    rows = score(pred, truth, SPACING, [1])
    assert [row.dice for row in rows] == [1.0, 1.0]


def test_summary_cannot_improve_by_finding_less():
    perfect = score(with_box(), with_box(), SPACING, [1], merged=False)
    poor = score(np.roll(with_box(), 1, 0), with_box(), SPACING, [1], merged=False)
    missed = score(empty(), with_box(), SPACING, [1], merged=False)
    honest, silent = single(summarise([perfect, poor])), single(summarise([perfect, missed]))
    assert silent.hd95 < honest.hd95  # why the plain mean alone can't be trusted …
    assert silent.hd95_or_diagonal > honest.hd95_or_diagonal  # … and this one stands beside it
    assert silent.asd_or_diagonal > honest.asd_or_diagonal
    assert silent.dice < honest.dice
    assert silent.nsd < honest.nsd
    assert (silent.n, silent.found, silent.missed) == (2, 1, 1)


def test_summary_counts_every_case_once():
    cases = [
        score(a, b, SPACING, [1], merged=False)
        for a, b in [
            (with_box(), with_box()),
            (empty(), with_box()),
            (with_box(), empty()),
            (empty(), empty()),
            (empty(), empty()),
        ]
    ]
    row = single(summarise(cases))
    assert (row.n, row.found, row.missed, row.spurious, row.both_empty) == (5, 1, 1, 1, 2)
    assert row.dice == pytest.approx(1 / 3)
    assert row.nsd == pytest.approx(1 / 3)
    assert row.hd95 == 0.0
    assert row.hd95_or_diagonal == pytest.approx(2 * DIAGONAL / 3)


def test_summary_of_nothing_found_has_no_distance():
    row = single(summarise([score(empty(), empty(), SPACING, [1], merged=False)]))
    assert (row.dice, row.hd95, row.hd95_or_diagonal, row.both_empty) == (None, None, None, 1)
    assert summarise([]) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_slice_is_scored_in_its_plane(axis):
    """In 3-D every voxel of a single slice is surface; in its plane only the outline is."""
    truth, pred = np.zeros((9, 11), np.uint8), np.zeros((9, 11), np.uint8)
    truth[2:8, 2:9], pred[3:8, 3:10] = 1, 1
    in_plane = score(pred, truth, (0.5, 2.0), [1])
    spacing = np.insert([0.5, 2.0], axis, 7.0)
    volume = score(np.expand_dims(pred, axis), np.expand_dims(truth, axis), spacing, [1])
    assert volume == in_plane


@pytest.mark.parametrize("shape", [(1, 1, 9), (1, 9, 1), (1, 1, 1)])
def test_lines_and_points_have_figures(shape):
    mask = np.ones(shape, np.uint8)
    row = single(score(mask, mask, (1.0, 1.0, 1.0), [1], merged=False))
    assert (row.dice, row.nsd, row.hd95) == (1.0, 1.0, 0.0)


def test_order_of_ids_is_kept():
    assert [row.id for row in score(empty(), empty(), SPACING, [7, 3, 5])] == [7, 3, 5, MERGED]


@pytest.mark.parametrize(
    ("pred", "spacing"),
    [
        (np.zeros((6, 5, 3)), SPACING),
        (np.zeros((6, 5, 4)), (1.0, 1.0)),
        (np.zeros((6, 5, 4)), (1.0, 0.0, 1.0)),
        (np.zeros((6, 5, 4)), (1.0, np.nan, 1.0)),
    ],
    ids=["other shape", "too few spacings", "zero spacing", "NaN spacing"],
)
def test_what_cannot_be_compared_is_refused(pred, spacing):
    with pytest.raises(GeometryError):
        score(pred, empty(), spacing, [1])


def test_a_small_case_takes_well_under_a_tenth_of_a_second():
    steps = np.indices((60, 60, 60)) - 30
    truth = ((steps**2).sum(axis=0) < 15**2).astype(np.uint8)
    truth[:30] *= 2
    pred = np.roll(truth, 2, axis=1)
    score(pred, truth, (1.0, 1.0, 1.0), [1, 2])  # the surface table is made once
    seconds = []
    for _ in range(5):
        start = time.process_time()
        score(pred, truth, (1.0, 1.0, 1.0), [1, 2])
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1
