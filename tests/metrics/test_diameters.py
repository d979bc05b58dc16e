"""Diameters and area in a slice against those of ellipses and rectangles, turned, on pixels that are not square."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_morse.metrics.diameters import diameters

SHAPE = (120, 140)
CENTRE = np.array([58.3, 71.6])


def plane(spacing, angle):
    """Coordinates in mm of every pixel, turned by ``angle`` degrees around `CENTRE`."""
    at = (np.indices(SHAPE).reshape(2, -1).T - CENTRE) * spacing
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return (at @ np.array([[c, s], [-s, c]])).T.reshape(2, *SHAPE)


def ellipse(spacing, angle, a, b):
    u, v = plane(spacing, angle)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


def rectangle(spacing, angle, a, b):
    u, v = plane(spacing, angle)
    return (abs(u) <= a / 2) & (abs(v) <= b / 2)


def direction(ends, spacing):
    step = (ends[1] - ends[0]) * spacing
    return step / np.linalg.norm(step)


CASES = [(spacing, angle) for spacing in ((1.0, 1.0), (0.7, 1.6), (2.0, 0.5)) for angle in (0, 30, 77, 135)]


@pytest.mark.parametrize(("spacing", "angle"), CASES)
def test_an_ellipse_has_its_axes(spacing, angle):
    found = diameters(ellipse(spacing, angle, 30, 17), spacing)
    assert found.longest == pytest.approx(60, abs=max(spacing))
    assert found.across == pytest.approx(34, abs=max(spacing))
    assert found.area == pytest.approx(np.pi * 30 * 17, rel=0.02)
    assert found.parts == 1


@pytest.mark.parametrize(("spacing", "angle"), CASES)
def test_a_rectangle_has_its_diagonal_and_what_is_across_it(spacing, angle):
    a, b = 50, 20
    found = diameters(rectangle(spacing, angle, a, b), spacing)
    diagonal = np.hypot(a, b)
    assert found.longest == pytest.approx(diagonal, abs=1.5 * max(spacing))
    assert found.across == pytest.approx(b * diagonal / a, abs=1.5 * max(spacing))


@pytest.mark.parametrize(("spacing", "angle"), CASES)
def test_the_ends_lie_where_the_lengths_say_at_right_angles(spacing, angle):
    region = ellipse(spacing, angle, 30, 17)
    found = diameters(region, spacing)
    for ends, length in ((found.longest_ends, found.longest), (found.across_ends, found.across)):
        assert np.linalg.norm((ends[1] - ends[0]) * spacing) == pytest.approx(length, abs=1e-9)
    assert abs(direction(found.longest_ends, spacing) @ direction(found.across_ends, spacing)) < 1e-9
    for point in np.linspace(*found.across_ends, 50)[1:-1]:
        assert region[tuple(np.floor(point + 0.5).astype(int))] or region[tuple(np.ceil(point - 0.5).astype(int))]
    middle = found.longest_ends.mean(axis=0)
    assert np.abs((middle - CENTRE) * spacing).max() <= 1.5 * max(spacing)


@pytest.mark.parametrize("seed", range(12))
def test_a_region_has_the_same_diameters_seen_from_behind_or_turned(seed):
    rng = np.random.default_rng(seed)
    region = gaussian_filter(rng.normal(size=(31, 27)), 1.5) > 0
    spacing = np.array([0.83, 1.37])
    found = diameters(region, spacing)
    for seen, sides in (
        (region[::-1], spacing), (region[:, ::-1], spacing), (region[::-1, ::-1], spacing),
        (region.T, spacing[::-1]), (region.T[::-1], spacing[::-1]),
    ):  # fmt: skip
        again = diameters(seen, sides)
        assert (again.longest, again.across) == pytest.approx((found.longest, found.across), abs=1e-9)


def test_pixels_count_whole():
    one = np.zeros((5, 6), bool)
    one[2, 4] = True
    found = diameters(one, (2.0, 3.0))
    assert (found.longest, found.across, found.area) == (3.0, 2.0, 6.0)
    assert found.longest_ends.tolist() in ([[2, 3.5], [2, 4.5]], [[2, 4.5], [2, 3.5]])
    bar = np.ones((1, 7), bool)
    found = diameters(bar, (2.0, 3.0))
    assert (found.longest, found.across, found.area) == (21.0, 2.0, 42.0)


def test_of_several_parts_the_largest_counts_and_a_corner_joins():
    region = np.zeros((20, 30), bool)
    region[2:5, 2:12] = region[10:12, 20:22] = True
    region[5, 12] = True  # touches the first at its corner
    found = diameters(region, (1.0, 1.0))
    assert (found.area, found.parts) == (31.0, 2)
    assert found.longest_ends[:, 1].max() < 14


def test_a_hole_is_bridged_but_has_no_area_and_a_bay_is_not_bridged():
    ring = ellipse((1, 1), 0, 30, 20)
    full = diameters(ring, (1, 1))
    ring &= ~ellipse((1, 1), 0, 20, 10)
    found = diameters(ring, (1, 1))
    assert (found.longest, found.across) == (full.longest, full.across)
    assert found.area == np.count_nonzero(ring)
    comb = np.zeros((30, 60), bool)
    comb[20:24] = True
    comb[4:24, ::6] = True  # teeth one pixel wide: between them nothing is inside
    across = diameters(comb, (1, 1)).across_ends
    inside = [comb[tuple(np.round(p).astype(int))] for p in np.linspace(*across, 200)[5:-5]]
    assert np.mean(inside) > 0.85


def test_axes_that_are_not_at_right_angles_are_measured_in_mm():
    steps = np.array([[1.0, 0.5], [0.0, 1.2]])
    bar = np.zeros((9, 9), bool)
    bar[4, 1:8] = True
    found = diameters(bar, steps)
    assert found.area == pytest.approx(7 * 1.2)
    assert found.longest >= 7 * np.hypot(0.5, 1.2)
    mm = found.longest_ends @ steps.T
    assert np.linalg.norm(mm[1] - mm[0]) == pytest.approx(found.longest)


def test_nothing_has_no_diameter():
    with pytest.raises(ValueError, match="empty"):
        diameters(np.zeros((4, 5), bool), (1, 1))


@pytest.mark.alone
def test_a_large_slice_is_measured_while_a_hand_is_lifted():
    y, x = np.mgrid[:512, :512]
    disc = (y - 256) ** 2 + (x - 250) ** 2 < 240**2
    diameters(disc, (1, 1))
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        diameters(disc, (1, 1))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02
