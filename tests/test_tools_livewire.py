"""The wire lies on the edge; a node that is moved changes its own two paths; what is enclosed is filled."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from napari_morse.session.tools.livewire import Contour, Wire, edge_cost


def disc(spacing=(1.0, 1.0), shape=(160, 160), radius=45.0, noise=20.0, seed=0):
    """A noisy disc (mm), and the distance of each pixel from its rim."""
    rng = np.random.default_rng(seed)
    middle = (np.array(shape) - 1) / 2
    mm = (np.indices(shape) - middle.reshape(2, 1, 1)) * np.array(spacing).reshape(2, 1, 1)
    off = np.hypot(*mm) - radius
    return 100.0 * (off < 0) + rng.normal(0, noise, shape), off


def around(cost, spacing, radius=45.0, count=6):
    contour = Contour(cost, spacing)
    middle = (np.array(cost.shape) - 1) / 2
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        step = radius * np.array([np.sin(angle), np.cos(angle)]) / spacing
        contour.add(tuple(int(v) for v in np.rint(middle + step)))
    return contour


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.6)])
@pytest.mark.parametrize("noise", [5.0, 20.0, 40.0])
def test_few_nodes_are_enough_to_follow_an_edge(spacing, noise):
    shape = tuple(int(160 / s) for s in spacing)
    picture, off = disc(spacing, shape, noise=noise)
    contour = around(edge_cost(picture, spacing), spacing)
    assert contour.close()
    line = contour.line()
    mean = np.abs(off[tuple(line.T)]).mean()
    corners = np.array([*contour.nodes, contour.nodes[0]])
    straight = np.concatenate([np.linspace(a, b, 40) for a, b in itertools.pairwise(corners)])
    straight = np.abs(off[tuple(np.rint(straight).astype(int).T)]).mean()
    assert mean < 0.6 and straight > 2
    filled = contour.filled()
    assert 2 * (filled & (off < 0)).sum() / (filled.sum() + (off < 0).sum()) > 0.97


def test_a_path_is_whole_and_ends_where_it_should():
    picture, _ = disc()
    wire = Wire(edge_cost(picture, (1, 1)), (1, 1), (10, 150))
    for there in ((12, 140), (150, 3), (0, 0), (400, -7)):
        inside = np.clip(there, 0, 159)
        for path in (wire.to(there), wire.quick(there)):
            np.testing.assert_array_equal(path[0], (10, 150))
            np.testing.assert_array_equal(path[-1], inside)
            assert np.abs(np.diff(path, axis=0)).max() == 1


def test_moving_a_node_changes_the_two_paths_at_it_and_no_other():
    picture, _ = disc()
    contour = around(edge_cost(picture, (1, 1)), (1.0, 1.0))
    contour.close()
    before = [path.copy() for path in contour.paths]
    contour.move(2, (120, 60))
    for place, (old, new) in enumerate(zip(before, contour.paths, strict=True)):
        assert np.array_equal(old, new) == (place not in (1, 2))
    np.testing.assert_array_equal(contour.paths[1][-1], (120, 60))
    np.testing.assert_array_equal(contour.paths[2][0], (120, 60))
    contour.move(0, (80, 120))
    np.testing.assert_array_equal(contour.paths[-1][-1], (80, 120))
    np.testing.assert_array_equal(contour.paths[0][0], (80, 120))
    assert np.abs(np.diff(contour.line(), axis=0)).max() == 1


def test_nodes_are_taken_back_one_by_one():
    picture, _ = disc()
    contour = around(edge_cost(picture, (1, 1)), (1.0, 1.0))
    whole = contour.line().copy()
    contour.close()
    contour.take_back()
    assert not contour.closed
    np.testing.assert_array_equal(contour.line(), whole)
    for left in range(5, -1, -1):
        contour.take_back()
        assert len(contour.nodes) == left and len(contour.paths) == max(0, left - 1)
    contour.take_back()
    assert not len(contour.line()) and not contour.filled().any() and not contour.close()


def test_in_a_flat_picture_wires_are_straight():
    wire = Wire(edge_cost(np.full((60, 60), 7.0), (1, 1)), (1, 1), (10, 10))
    np.testing.assert_array_equal(wire.to((10, 40))[:, 0], 10)
    picture = np.full((60, 60), np.nan)
    np.testing.assert_array_equal(
        Wire(edge_cost(picture, (1, 1)), (1, 1), (3, 3)).to((9, 9)), [(n, n) for n in range(3, 10)]
    )


@pytest.mark.alone
def test_under_the_cursor_a_path_is_found_in_milliseconds():
    picture, _ = disc(shape=(512, 512), radius=150)
    wire = Wire(edge_cost(picture, (1, 1)), (1, 1), (256, 406))
    taken = []
    for angle in np.linspace(0, 2 * np.pi, 40):
        begin = time.perf_counter()
        wire.quick((int(256 + 150 * np.sin(angle)), int(256 + 150 * np.cos(angle))))
        taken.append(time.perf_counter() - begin)
    assert np.median(taken) < 0.03
