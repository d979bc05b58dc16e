"""What a drawn rectangle means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Layer, Shapes

from napari_morse.errors import InputError
from napari_morse.types import Roi
from napari_morse.widgets import bridge as L
from tests.layer_cases import ORIENTATIONS, SHAPE, affine_of, scan_on

SCAN = scan_on(affine_of("RAS"))
SHOWN = tuple(SHAPE[a] for a in L.display_axes(SCAN).order)


def rectangle(across: int, at: float, low: tuple[float, float], high: tuple[float, float]) -> np.ndarray:
    corners = np.array([(low[0], low[1]), (low[0], high[1]), (high[0], high[1]), (high[0], low[1])], dtype=float)
    return np.insert(corners, across, at, axis=1)


def drawn(*shapes: np.ndarray, scan=SCAN, **attributes) -> Shapes:
    return Layer.create(list(shapes), {"shape_type": "rectangle"} | L.placement(scan) | attributes, "shapes")


def shown(roi: Roi) -> Roi:
    return L.display_axes(SCAN).roi_to_view(roi)


def test_a_rectangle_on_a_slice_bounds_the_plane_and_no_slice():
    roi = shown(L.roi_from_shapes(drawn(rectangle(0, 4, (1.6, 0.6), (5.4, 3.4))), SCAN))
    assert (roi.start, roi.stop) == ((0, 2, 1), (SHOWN[0], 6, 4))


def test_a_rectangle_between_two_slices_is_still_on_one():
    roi = shown(L.roi_from_shapes(drawn(rectangle(0, 4.37, (2, 1), (5, 3))), SCAN))
    assert (roi.start, roi.stop) == ((0, 2, 1), (SHOWN[0], 6, 4))


def test_the_given_slices_bound_it_too():
    roi = shown(L.roi_from_shapes(drawn(rectangle(0, 4, (2, 1), (5, 3))), SCAN, slices=(7, 3)))
    assert (roi.start, roi.stop) == ((3, 2, 1), (8, 6, 4))


def test_two_rectangles_of_one_view_bound_the_slices_between_them():
    layer = drawn(rectangle(0, 3, (2, 1), (5, 3)), rectangle(0, 6, (4, 2), (7, 4)))
    roi = shown(L.roi_from_shapes(layer, SCAN))
    assert (roi.start, roi.stop) == ((3, 2, 1), (7, 8, 5))


def test_rectangles_of_two_views_intersect():
    layer = drawn(rectangle(0, 4, (2, 1), (6, 5)), rectangle(1, 4, (3, 2), (9, 6)))
    roi = shown(L.roi_from_shapes(layer, SCAN))
    assert (roi.start, roi.stop) == ((3, 2, 2), (10, 7, 6))


def test_a_box_over_the_edge_is_clipped():
    roi = shown(L.roi_from_shapes(drawn(rectangle(0, 4, (-50, 2), (3, 500))), SCAN))
    assert (roi.start, roi.stop) == ((0, 0, 2), (SHOWN[0], 4, SHOWN[2]))


def test_a_flat_shapes_layer_is_read_in_the_plane():
    place = L.placement(SCAN)
    layer = Layer.create(
        [np.array([[2, 1], [2, 3], [5, 3], [5, 1.0]])],
        {"scale": place["scale"][1:], "translate": place["translate"][1:], "units": place["units"][1:]},
        "shapes",
    )
    roi = shown(L.roi_from_shapes(layer, SCAN))
    assert (roi.start, roi.stop) == ((0, 2, 1), (SHOWN[0], 6, 4))


def test_a_layer_that_lies_elsewhere_is_read_through_the_world():
    scale, translate = (np.array(L.placement(SCAN)[key]) for key in ("scale", "translate"))
    corners = rectangle(0, 4, (2, 1), (5, 3)) * scale + translate
    layer = Layer.create([corners], {"shape_type": "rectangle", "units": ("mm",) * 3}, "shapes")
    roi = shown(L.roi_from_shapes(layer, SCAN))
    assert (roi.start, roi.stop) == ((0, 2, 1), (SHOWN[0], 6, 4))


@pytest.mark.parametrize(
    "shapes",
    [(), (rectangle(0, 4, (50, 50), (60, 60)),), (rectangle(0, 4, (2.1, 1.1), (2.4, 1.4)),)],
    ids=["none", "outside", "between voxel centres"],
)
def test_a_region_without_a_voxel_is_refused(shapes):
    layer = drawn(*shapes) if shapes else Shapes(ndim=3)
    with pytest.raises(InputError, match=r"region"):
        L.roi_from_shapes(layer, SCAN)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_outline_of_a_box_is_read_back(codes):
    scan = scan_on(affine_of(codes, angle=17.0))
    roi = Roi((1, 4, 3), (6, 5, 12))
    assert L.roi_from_shapes(Layer.create(*L.roi_shape_data(roi, scan)), scan) == roi


@settings(max_examples=25)
@given(
    st.tuples(*[st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)) for n in SHAPE]),
)
def test_any_box_is_read_back(ends):
    roi = Roi(tuple(min(e) for e in ends), tuple(max(e) + 1 for e in ends))
    assert L.roi_from_shapes(Layer.create(*L.roi_shape_data(roi, SCAN)), SCAN) == roi
