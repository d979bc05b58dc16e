"""The wire lies on the edge; a node that is moved changes its own two paths; what is enclosed is filled."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from skimage.draw import line, polygon2mask
from skimage.graph import MCP_Geometric

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


def off_the_rim(contour, off):
    """Mean distance from the rim in mm: of the wire, and of straight lines between its nodes."""
    corners = np.array([*contour.nodes, contour.nodes[0]])
    straight = np.concatenate([np.linspace(a, b, 40) for a, b in itertools.pairwise(corners)])
    places = contour.line(), np.rint(straight).astype(int)
    return tuple(float(np.abs(off[tuple(at.T)]).mean()) for at in places)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.6)])
@pytest.mark.parametrize("noise", [5.0, 20.0, 40.0])
def test_few_nodes_are_enough_to_follow_an_edge(spacing, noise):
    shape = tuple(int(160 / s) for s in spacing)
    picture, off = disc(spacing, shape, noise=noise)
    contour = around(edge_cost(picture, spacing), spacing)
    assert contour.close()
    wire, straight = off_the_rim(contour, off)
    assert wire < 0.5 * max(spacing) and straight > 2
    assert dice(contour.filled(), off < 0) > 0.97


@pytest.mark.parametrize("bumps", [(0.0, 1), (0.22, 5)], ids=["ellipse", "star"])
def test_ellipses_and_stars_are_followed_between_few_nodes(bumps):
    depth, count = bumps
    shape, spacing = (150, 190), (1.0, 1.0)
    down, right = np.indices(shape) - (np.array(shape).reshape(2, 1, 1) - 1) / 2
    angle, far = np.arctan2(down / 45, right / 70), np.hypot(down / 45, right / 70)
    inside = far < 1 - depth + depth * np.cos(count * angle)
    picture = 100.0 * inside + np.random.default_rng(1).normal(0, 20, shape)
    turns = np.linspace(0, 2 * np.pi, 4000)
    reach = 1 - depth + depth * np.cos(count * turns)
    rim = np.stack([45 * reach * np.sin(turns) + 74.5, 70 * reach * np.cos(turns) + 94.5], axis=1)
    contour = Contour(edge_cost(picture, spacing), spacing)
    for place in rim[:: 4000 // (2 * count if count > 1 else 6)][: 2 * count if count > 1 else 6]:
        contour.add(tuple(int(v) for v in np.rint(place)))
    assert contour.close()
    gaps = np.linalg.norm(contour.line()[:, None] - rim[None, ::4], axis=2).min(axis=1)
    corners = np.array([*contour.nodes, contour.nodes[0]], float)
    straight = np.concatenate([np.linspace(a, b, 40) for a, b in itertools.pairwise(corners)])
    assert gaps.mean() < 0.5 and np.linalg.norm(straight[:, None] - rim[None, ::4], axis=2).min(axis=1).mean() > 1
    assert dice(contour.filled(), inside) > 0.97


def test_a_path_is_whole_and_ends_where_it_should():
    picture, _ = disc()
    wire = Wire(edge_cost(picture, (1, 1)), (1, 1), (10, 150))
    for there in ((12, 140), (150, 3), (0, 0), (400, -7)):
        inside = np.clip(there, 0, 159)
        path = wire.to(there)
        np.testing.assert_array_equal(path[0], (10, 150))
        np.testing.assert_array_equal(path[-1], inside)
        assert np.abs(np.diff(path, axis=0)).max() == 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0)])
def test_far_from_the_node_the_path_is_the_cheapest_of_all_and_shown_as_it_is_laid(spacing):
    shape = (300, 320)
    picture, _ = disc(spacing, shape, radius=120 * min(spacing))
    cost = edge_cost(picture, spacing)
    contour = around(cost, spacing, 120 * min(spacing), 4)
    node, there = contour.nodes[:2]
    assert np.abs(np.subtract(node, there)).max() > 100  # further than is looked at around a node
    whole = MCP_Geometric(cost, sampling=spacing)
    total, _ = whole.find_costs([node])

    def price(path):
        steps = np.hypot(*(np.diff(path, axis=0) * spacing).T)
        each = cost[tuple(path.T)]
        return (steps * (each[1:] + each[:-1]) / 2).sum()

    assert price(contour.paths[0]) == pytest.approx(total[there], rel=1e-3)
    for pixel in ((20, 30), (280, 310), (150, 160)):
        shown = contour.preview(pixel)
        contour.add(pixel)
        np.testing.assert_array_equal(contour.paths[-1], shown)
        contour.take_back()


def test_what_is_filled_is_what_lies_in_the_polygon_and_under_its_line():
    shape = (44, 52)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        corners = [tuple(int(v) for v in rng.integers(0, shape)) for _ in range(rng.integers(3, 9))]
        contour = Contour(np.ones(shape), (1.0, 1.0))
        for first, last in itertools.pairwise([*corners, corners[0]]):
            contour.nodes.append(first)
            contour.paths.append(np.stack(line(*first, *last), axis=1))
        contour.closed = True
        pixels = contour.line()
        expected = polygon2mask(shape, pixels)
        expected[tuple(pixels.T)] = True
        np.testing.assert_array_equal(contour.filled(), expected)
    contour.take_back()
    assert contour.filled().sum() == len(np.unique(contour.line(), axis=0))  # open: nothing is enclosed


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


@pytest.mark.parametrize("closed", [False, True])
def test_a_node_between_two_others_comes_and_goes_and_leaves_the_other_paths_alone(closed):
    picture, _ = disc()
    contour = around(edge_cost(picture, (1, 1)), (1.0, 1.0))
    if closed:
        contour.close()
    nodes, before = list(contour.nodes), [path.copy() for path in contour.paths]
    for place in range(len(before)):
        middle = tuple(int(v) for v in before[place][len(before[place]) // 2] + 3)
        contour.insert(place, middle)
        assert contour.nodes == [*nodes[: place + 1], middle, *nodes[place + 1 :]]
        for old, new in zip(before[:place] + before[place + 1 :], contour.paths[:place] + contour.paths[place + 2 :],
                            strict=True):  # fmt: skip
            np.testing.assert_array_equal(old, new)
        assert np.abs(np.diff(contour.line(), axis=0)).max() == 1
        contour.remove(place + 1)
        assert contour.nodes == nodes and contour.closed == closed
        for old, new in zip(before, contour.paths, strict=True):
            np.testing.assert_array_equal(old, new)
    contour.remove(0)
    assert contour.nodes == nodes[1:]
    np.testing.assert_array_equal(contour.paths[0], before[1])
    contour.remove(len(contour.nodes) - 1)
    assert contour.nodes == nodes[1:-1] and len(contour.paths) == len(contour.nodes) - (not closed)
    while contour.nodes:
        contour.remove(0)
    assert not contour.paths


def test_the_path_that_passes_a_place_is_found():
    picture, _ = disc(spacing=(2.0, 1.0), shape=(80, 160))
    contour = around(edge_cost(picture, (2.0, 1.0)), (2.0, 1.0))
    row, column = (int(v) for v in contour.paths[3][len(contour.paths[3]) // 2])
    assert contour.path_near((row, column), 0.0) == 3
    assert contour.path_near((40, 80), 30.0) is None and contour.path_near((40, 80), 60.0) is not None
    assert Contour(contour.cost, (2.0, 1.0)).path_near((40, 80), 1e9) is None


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
    cost = edge_cost(picture, (1, 1))
    anchored, taken = [], []
    for _ in range(5):
        begin = time.perf_counter()
        wire = Wire(cost, (1, 1), (256, 406))
        anchored.append(time.perf_counter() - begin)
    for angle in np.linspace(0, 2 * np.pi, 40):
        begin = time.perf_counter()
        wire.to((int(256 + 150 * np.sin(angle)), int(256 + 150 * np.cos(angle))))
        taken.append(time.perf_counter() - begin)
    contour = around(cost, (1.0, 1.0), 150)
    contour.close()
    begin = time.perf_counter()
    contour.filled()
    assert np.median(taken) < 0.03 and np.median(anchored) < 0.05 and time.perf_counter() - begin < 0.05
