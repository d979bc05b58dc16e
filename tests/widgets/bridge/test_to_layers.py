"""How layers look: grey levels, colours, features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from numpy.testing import assert_allclose, assert_array_equal

from napari_morse.errors import GeometryError
from napari_morse.types import Grid, Mask
from napari_morse.widgets import bridge as L
from tests.layer_cases import LABELS, affine_of, mask_on, prediction_on, scan_on


@pytest.fixture
def scan():
    return scan_on(affine_of("LAS"))


def test_a_single_bright_voxel_does_not_darken_the_scan(scan):
    data = scan.data.copy()
    data[0, 0, 0] = 1e9
    low, high = L.contrast_limits(data)
    assert low < 100 < high < 400


@pytest.mark.parametrize(
    "values",
    [
        np.full((4, 5, 6), 7.0),
        np.full((4, 5, 6), -1e6),
        np.full((4, 5, 6), np.nan),
        np.zeros((4, 5, 6), np.uint8),
        np.array([np.nan, np.inf, -np.inf, 3.0, 4.0, 5.0]).reshape(1, 2, 3),
        np.r_[np.zeros(999), 5.0].reshape(10, 10, 10),
    ],
    ids=["constant", "negative", "nan", "zeros", "infinite", "one voxel"],
)
def test_contrast_limits_are_finite_and_increasing(values):
    low, high = L.contrast_limits(values)
    assert np.isfinite([low, high]).all()
    assert low < high


def test_contrast_of_a_large_scan_is_that_of_all_its_voxels():
    data = np.random.default_rng(0).normal(0, 1, (120, 120, 120)).astype(np.float32)
    assert_allclose(L.contrast_limits(data), np.percentile(data, (0.5, 99.5)), atol=0.03)


def test_the_scan_layer_shares_the_pixels_and_carries_the_scan(scan):
    layer = Layer.create(*L.scan_layer_data(scan))
    assert np.shares_memory(layer.data, scan.data)
    carrier = L.carrier_of(layer)
    assert carrier is not None
    assert carrier.scan is scan
    assert layer.name == "case"
    assert not layer.rgb


def test_a_scan_whose_last_axis_is_three_long_is_no_colour_picture():
    data, attributes, kind = L.scan_layer_data(scan_on(np.diag([-1, -1, 1, 1.0]), (3, 20, 20)))
    layer = Layer.create(data, attributes, kind)
    assert layer.ndim == 3
    assert not layer.rgb


def test_mask_colours_and_names_are_those_of_its_labels(scan):
    mask = mask_on(scan)
    layer = Layer.create(*L.mask_layer_data(mask, scan, "rendered", role="rendered"))
    assert_allclose(layer.get_color(1), (0, 0x72 / 255, 0xB2 / 255, 1), atol=1e-6)
    assert layer.colormap.map(0)[3] == 0
    assert layer.get_color(9)[3] == 1, "a stroke with a new id must be seen"
    assert list(layer.features["structure"]) == ["background", "anterior", "posterior"]
    layer.data[0, 0, 0] = 1
    assert mask.data.flags.writeable is False


def test_a_mask_without_names_gets_the_palette(scan):
    data = np.zeros(scan.grid.shape, np.uint8)
    data[0, 0, 0], data[1, 1, 1] = 1, 9
    layer = Layer.create(*L.mask_layer_data(Mask(data, scan.grid), scan, "mask"))
    assert list(layer.features["structure"]) == ["background", "label 1", "label 9"]
    assert not np.allclose(layer.get_color(1), layer.get_color(9))
    assert L.mask_of(layer).labels == ()


def test_a_mask_of_another_grid_is_refused(scan):
    other = Grid(scan.grid.shape, scan.grid.affine + np.diag([0, 0, 0.01, 0]))
    with pytest.raises(GeometryError, match="does not lie on the grid"):
        L.mask_layer_data(Mask(np.zeros(other.shape, np.uint8), other), scan, "mask")


def test_uncertainty_is_hidden_and_reaches_from_0_to_1(scan):
    prediction = prediction_on(scan)
    layer = Layer.create(*L.uncertainty_layer_data(prediction, scan))
    assert not layer.visible
    assert layer.contrast_limits == [0.0, 1.0]
    assert_array_equal(L.display_axes(scan).to_storage(layer.data), prediction.uncertainty)


def test_points_have_their_features(scan):
    prediction = prediction_on(scan)
    points = prediction.points
    features = Layer.create(*L.points_layer_data(prediction, scan)).features
    assert_allclose(features["margin"], points.margin)
    assert list(features["expert"]) == [points.experts[i] for i in points.expert_weights.argmax(axis=1)]
    assert_array_equal(features["changed"] == "yes", points.changed)
    names = ["background"] + [label.name for label in LABELS]
    assert list(features["after"]) == [names[i] for i in points.after]
    assert list(features["before"]) == [names[i] for i in points.before]
    assert_allclose(features["weight: far"], points.expert_weights[:, 1])


@pytest.mark.parametrize("first", ["margin", "expert", "changed"])
@pytest.mark.parametrize("then", ["margin", "expert", "changed"])
def test_points_change_from_any_colouring_to_any_other(scan, first, then):
    layer = Layer.create(*L.points_layer_data(prediction_on(scan), scan))
    L.colour_points(layer, first)
    L.colour_points(layer, then)
    alone = Layer.create(*L.points_layer_data(prediction_on(scan), scan))
    L.colour_points(alone, then)
    assert_allclose(layer.face_color, alone.face_color)
    values = layer.features[then]
    for value in set(values) if then != "margin" else ():
        assert len(np.unique(layer.face_color[values == value], axis=0)) == 1
    colours = len(np.unique(layer.face_color, axis=0))
    assert colours > 30 if then == "margin" else colours == len(set(values))


@pytest.mark.parametrize("by", ["margin", "expert", "changed"])
def test_no_points_at_all(scan, by):
    prediction = prediction_on(scan)
    points = prediction.points
    none = {k: getattr(points, k)[:0] for k in ("voxel", "mm", "margin", "before", "after", "expert_weights")}
    layer = Layer.create(*L.points_layer_data(replace(prediction, points=replace(points, **none)), scan))
    L.colour_points(layer, by)
    assert layer.data.shape == (0, 3)
