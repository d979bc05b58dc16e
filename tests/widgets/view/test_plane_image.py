"""Slices as pixels: every voxel at its place in mm proportions, no voxel lost, masks on their own voxels."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtGui import QImage

from napari_morse.widgets.view.plane_image import (
    Outline,
    PictureFrame,
    Slices,
    filled,
    fitted_frame,
    grey_image,
    levels,
    nearer,
    outlined,
    painted,
)

GREYS = tuple(0xFF000000 | (n << 16) | (n << 8) | n for n in range(256))
RED, BLUE = 0xFFFF0000, 0xFF0000FF


def pixels_of(image: QImage):
    """(down, across) 0xaarrggbb."""
    image = image.convertToFormat(QImage.Format.Format_ARGB32)
    memory = image.constBits()
    memory.setsize(image.sizeInBytes())
    return (
        np.frombuffer(memory, np.uint32).reshape(image.height(), image.bytesPerLine() // 4)[:, : image.width()].copy()
    )


def outline(labels, style="solid", **more):
    return Outline(np.asarray(labels, np.uint8), lambda n: {1: RED, 2: BLUE}.get(n, 0), style, **more)


def rows_and_columns(mask):
    """Extent of what is true: first row, last row + 1, first column, last column + 1."""
    row, column = np.nonzero(mask)
    return int(row.min()), int(row.max()) + 1, int(column.min()), int(column.max()) + 1


@pytest.mark.parametrize(("scale", "origin"), [((3.0, 4.5), (2.0, -1.0)), ((0.4, 7.25), (-3.5, 1.25))])
def test_a_pixel_leads_back_to_its_voxel(scale, origin):
    place = PictureFrame(scale, origin, (100, 90))
    for row, column in [(0, 0), (5, 2), (40, 11), (-2, -1)]:
        down, across = place.pixel(row, column)
        assert place.index(down, across) == (row, column)
        assert place.exact(down, across) == pytest.approx((row, column))
        inside = (down - 0.49 * scale[0], across + 0.49 * scale[1])
        assert place.index(*inside) == (row, column)
        assert place.index(down - 0.51 * scale[0], across) == (row - 1, column)


def test_a_slice_fits_in_its_mm_proportions_and_stands_in_the_middle():
    place = fitted_frame((10, 20), (4.0, 1.0), (80, 200), 1.0, (0, 0))
    assert place.scale == pytest.approx((8.0, 2.0))  # 40 mm high in 80 pixels
    assert place.pixel(-0.5, -0.5) == pytest.approx((0, 80))
    assert place.pixel(9.5, 19.5) == pytest.approx((80, 120))


@pytest.mark.parametrize("centre", [(0, 0), (99, 49), (50, 25), (1000, -1000)])
def test_enlarged_no_room_is_left_empty_and_the_centre_is_in_the_middle_where_it_can(centre):
    place = fitted_frame((100, 50), (1.0, 2.0), (200, 200), 4.0, centre)
    top, left = place.pixel(-0.5, -0.5)
    bottom, right = place.pixel(99.5, 49.5)
    assert top <= 1e-9 and left <= 1e-9 and bottom >= 200 - 1e-9 and right >= 200 - 1e-9
    if centre == (50, 25):
        assert place.middle == pytest.approx(centre)
        assert place.pixel(50, 25) == pytest.approx((100, 100))


@pytest.mark.parametrize("zoom", [2.5, 4.0, 16.0])
def test_what_is_under_the_cursor_stays_there_when_it_is_enlarged(zoom):
    shape, spacing, cursor = (60, 80), (1.5, 1.0), (70.0, 130.0)
    before = fitted_frame(shape, spacing, (180, 240), 2.0, (30.0, 40.0))
    after = fitted_frame(shape, spacing, (180, 240), zoom, nearer(before, shape, spacing, zoom, cursor))
    assert after.exact(*cursor) == pytest.approx(before.exact(*cursor))
    assert after.scale[0] == pytest.approx(before.scale[0] * zoom / 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, np.float64])
def test_grey_levels_spread_between_the_limits_in_every_dtype(dtype):
    shown = levels(np.array([[0, 10, 70, 110, 120]], dtype), (10, 110))
    np.testing.assert_array_equal(shown, [[0, 0, 153, 255, 255]])


def test_what_is_no_number_is_dark_and_infinity_is_as_bright_or_dark_as_can_be():
    shown = levels(np.array([[np.nan, np.inf, -np.inf, 1e300]]), (0.0, 1.0))
    np.testing.assert_array_equal(shown, [[0, 255, 0, 255]])


@pytest.mark.parametrize("width", [1, 3, 5, 8])
def test_pictures_of_any_width_are_not_sheared(width):
    grey = np.arange(4 * width, dtype=np.uint8).reshape(4, width)
    shown = pixels_of(grey_image(grey[:, ::-1], GREYS))
    np.testing.assert_array_equal(shown & 0xFF, grey[:, ::-1])


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_one_bright_voxel_covers_its_own_pixels_and_no_others(ratio):
    pixels = np.zeros((12, 9), np.int16)
    pixels[7, 2] = 500
    place = fitted_frame((12, 9), (2.0, 1.0), (120, 200), 1.0, (0, 0))  # 10 pixels high, 5 wide, from column 77.5
    shown = pixels_of(painted(pixels, (0, 500), GREYS, (), place, ratio)) & 0xFF
    assert shown.shape == (120 * ratio, 200 * ratio)
    top, bottom, left, right = rows_and_columns(shown > 0)
    assert (top, bottom) == (70 * ratio, 80 * ratio)
    assert (left, right) == pytest.approx((87.5 * ratio, 92.5 * ratio), abs=0.5)


def test_made_smaller_no_voxel_is_left_out_and_thick_slices_stay_sharp():
    for row, column in [(0, 0), (100, 301), (511, 511), (257, 42)]:
        pixels = np.zeros((512, 512), np.float32)
        pixels[row, column] = 1000.0
        place = fitted_frame((512, 512), (0.5, 0.5), (97, 97), 1.0, (0, 0))
        shown = pixels_of(painted(pixels, (0, 1000), GREYS, (), place, 1.0)) & 0xFF
        down, across = place.pixel(row, column)
        at = np.argwhere(shown > 0)
        assert len(at) and np.abs(at + 0.5 - (down, across)).max() <= 1.5
    thick = np.zeros((4, 400), np.uint8)
    thick[2] = 255
    shown = pixels_of(
        painted(thick, (0, 255), GREYS, (), fitted_frame((4, 400), (50.0, 0.5), (100, 100), 1.0, (0, 0)), 1.0)
    )
    np.testing.assert_array_equal((shown & 0xFF)[:, 50], np.repeat([0, 0, 255, 0], 25))


def test_enlarged_the_part_in_view_is_at_its_place():
    pixels = np.arange(30 * 40).reshape(30, 40).astype(np.float32)
    place = fitted_frame((30, 40), (1.0, 1.0), (90, 120), 8.0, (17.0, 23.0))
    shown = pixels_of(painted(pixels, (0, 1199), GREYS, (), place, 1.0)) & 0xFF
    wanted = levels(pixels, (0, 1199))
    for row, column in [(17, 23), (16, 22), (18, 24)]:
        down, across = place.pixel(row, column)
        assert shown[int(down), int(across)] == wanted[row, column]


@pytest.mark.parametrize("at", [(0, 0), (3, 4), (5, 6)])
def test_the_line_of_a_voxel_lies_inside_of_it_and_is_closed(at):
    labels = np.zeros((6, 7), np.uint8)
    labels[at] = 1
    place = fitted_frame((6, 7), (1.0, 1.0), (60, 70), 1.0, (0, 0))
    drawn = outlined((outline(labels),), place)
    inside = np.zeros((60, 70), bool)
    inside[at[0] * 10 : at[0] * 10 + 10, at[1] * 10 : at[1] * 10 + 10] = True
    assert not drawn[~inside].any()
    box = drawn[inside].reshape(10, 10)
    ring = np.ones((10, 10), bool)
    ring[2:-2, 2:-2] = False
    np.testing.assert_array_equal(box, np.where(ring, RED, 0))


def test_where_two_labels_touch_both_are_seen_and_the_last_mask_lies_on_top():
    labels = np.ones((4, 4), np.uint8)
    labels[:, 2:] = 2
    place = fitted_frame((4, 4), (1.0, 1.0), (40, 40), 1.0, (0, 0))
    drawn = outlined((outline(labels),), place)
    assert set(drawn[20, 18:20]) == {RED} and set(drawn[20, 20:22]) == {BLUE}
    other = outlined((outline(labels), outline((labels == 1) * np.uint8(2))), place)
    assert set(other[20, 18:20]) == {BLUE} and set(other[20, 20:22]) == {BLUE}


def test_however_small_it_is_drawn_every_voxel_has_its_line():
    labels = np.zeros((300, 300), np.uint8)
    labels[::37, ::41] = 1
    place = fitted_frame((300, 300), (1.0, 1.0), (80, 80), 1.0, (0, 0))
    drawn = outlined((outline(labels),), place)
    for row, column in np.argwhere(labels):
        down, across = place.pixel(row, column)
        around = drawn[max(0, int(down) - 2) : int(down) + 3, max(0, int(across) - 2) : int(across) + 3]
        assert (around == RED).any()


def test_a_broken_line_has_gaps_on_the_path_of_the_solid_one():
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6] = 1
    place = fitted_frame((8, 8), (1.0, 1.0), (160, 160), 1.0, (0, 0))
    solid, dotted = (outlined((outline(labels, style),), place) > 0 for style in ("solid", "dotted"))
    assert dotted.any() and not (dotted & ~solid).any()
    assert 0.3 < dotted.sum() / solid.sum() < 0.6


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64])
def test_the_inside_is_filled_voxel_by_voxel_and_clear_labels_are_not(dtype):
    labels = np.array([[0, 1, 2], [3, 2, 0]], dtype)
    mask = Outline(labels, lambda n: {1: RED, 2: BLUE, 3: 0}[n], "solid", fill=0.4)
    shown = filled(mask, slice(0, 2), slice(0, 3))
    red, blue = 0x66FF0000, 0x660000FF
    np.testing.assert_array_equal(shown, [[0, red, blue], [0, blue, 0]])
    np.testing.assert_array_equal(filled(mask, slice(1, 2), slice(0, 2)), [[0, blue]])


def test_a_filled_mask_tints_its_voxels_and_leaves_the_others_as_they_are():
    pixels = np.full((6, 6), 100.0)
    labels = np.zeros((6, 6), np.uint8)
    labels[1:5, 1:5] = 1
    place = fitted_frame((6, 6), (1.0, 1.0), (60, 60), 1.0, (0, 0))
    shown = pixels_of(painted(pixels, (0.0, 255.0), GREYS, (outline(labels, fill=0.5),), place, 1.0))
    r, g, b = (int(shown[30, 30] >> s & 0xFF) for s in (16, 8, 0))
    assert (r, g, b) == pytest.approx((178, 50, 50), abs=2)
    assert shown[5, 5] & 0xFFFFFF == 0x646464 and shown[11, 30] == RED


def test_slices_are_copied_once_and_stay_the_same_object_while_they_are_the_same():
    volume = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    for across in range(3):
        slices = Slices(across)
        first = slices.take("scan", volume, volume[::-1], 2)
        np.testing.assert_array_equal(first, np.take(volume[::-1], 2, axis=across))
        assert first.flags.c_contiguous and not np.shares_memory(first, volume)
        assert slices.take("scan", volume, volume[::-1], 2) is first
        np.testing.assert_array_equal(
            slices.take("scan", volume, volume[::-1], 3), np.take(volume[::-1], 3, axis=across)
        )
        other = volume + 1
        np.testing.assert_array_equal(slices.take("scan", other, other, 3), np.take(other, 3, axis=across))


def test_a_slice_is_read_again_only_where_the_change_crosses_it():
    mask = np.zeros((5, 6, 7), np.uint8)
    slices = Slices(0)
    first = slices.take("mask", mask, mask, 2)
    mask[2, 3, 4] = 1
    slices.changed("mask", range(3, 5))
    assert slices.take("mask", mask, mask, 2) is first
    slices.changed("mask", range(2, 3))
    second = slices.take("mask", mask, mask, 2)
    assert second[3, 4] == 1 and first[3, 4] == 0
    slices.changed("mask")
    assert slices.take("mask", mask, mask, 2) is second  # nothing differs
    mask[2] = 0
    slices.clear()
    assert not slices.take("mask", mask, mask, 2).any()
