"""Layers that somebody else made: read at their own place, or refused; never pasted by index."""

from __future__ import annotations

from copy import deepcopy

import dask
import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.testing import assert_allclose, assert_array_equal

from napari_morse.errors import GeometryError, InputError, MemoryBudgetError
from napari_morse.widgets import bridge as L
from tests.layer_cases import MARKER, affine_of, mask_on, mm, prediction_on, scan_on

DATA = np.random.default_rng(3).random((5, 6, 7)).astype(np.float32)
PLACE = {"scale": (2.0, 0.5, 0.7), "translate": (10.0, 20.0, -30.0)}


def ras(position) -> np.ndarray:
    """Place in mm RAS+ of a place in the viewer, by hand."""
    along = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    place = np.empty(3)
    for letter, value in zip(L.AXIS_LABELS, position, strict=True):
        axis, sign = along[letter]
        place[axis] = sign * value
    return place


def viewer_with(*scans) -> ViewerModel:
    viewer = ViewerModel()
    for scan in scans:
        viewer.add_layer(Layer.create(*L.scan_layer_data(scan)))
    return viewer


def by_hand(viewer: ViewerModel, index: int = -1) -> Labels:
    """What napari's own button makes of the selected layer."""
    viewer.layers.selection.active = viewer.layers[index]
    viewer._new_labels()
    layer = viewer.layers[-1]
    assert L.carrier_of(layer) is None
    return layer


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize(
    "place",
    [
        PLACE,
        PLACE | {"rotate": (10.0, 0.0, 25.0)},
        PLACE | {"shear": (0.1, 0.2, 0.0)},
        {"affine": np.array([[0.0, 0, -2, 8], [1, 0, 0, 3], [0, 0.5, 0, 1], [0, 0, 0, 1]])},
    ],
    ids=["scaled", "turned", "sheared", "transposed"],
)
def test_an_image_is_read_where_it_lies_and_its_mask_lies_there_too(place):
    layer = Image(DATA, units=("mm",) * 3, **place)
    scan = L.scan_of(layer)
    assert_array_equal(scan.data, DATA)
    for voxel in ((0, 0, 0), (4, 5, 6), (1, 2, 3)):
        assert_allclose(mm(scan.grid.affine, voxel), ras(layer.data_to_world(voxel)), atol=1e-9)
    mask = mask_on_marker(scan)
    shown = Layer.create(*L.mask_layer_data(mask, scan, "mask"))
    index = np.argwhere(shown.data)[0]
    assert_allclose(shown.data_to_world(index), layer.data_to_world((1, 2, 3)), atol=1e-9)
    assert_array_equal(L.mask_of(shown).data, mask.data)


def mask_on_marker(scan):
    from napari_morse.types import Mask

    data = np.zeros(scan.grid.shape, np.uint8)
    data[1, 2, 3] = 1
    return Mask(data, scan.grid)


def test_a_layer_without_units_says_how_it_is_read():
    scan = L.scan_of(Image(DATA, **PLACE))
    assert not scan.orientation_known
    assert any("read as mm" in notice for notice in scan.notices)
    assert L.units_of(scan) == "pixel"


def test_micrometres():
    scan = L.scan_of(Image(DATA, scale=(500, 250, 1000), units=("um",) * 3))
    assert_allclose(scan.grid.spacing, (0.5, 0.25, 1.0))


def test_a_flat_image_is_a_picture():
    layer = Image(DATA[0], scale=(0.5, 0.7), translate=(3.0, 4.0))
    scan = L.scan_of(layer)
    assert scan.is_picture
    assert scan.data.shape == (6, 7, 1)
    assert_allclose(scan.grid.spacing, (0.5, 0.7, 1.0))
    shown = Layer.create(*L.scan_layer_data(scan))
    assert shown.data.shape == (1, 6, 7)
    assert_array_equal(shown.data[0], layer.data)
    assert_allclose(shown.data_to_world((0, 2, 3))[1:], layer.data_to_world((2, 3)))


def test_a_flat_mask_over_a_flat_image_is_the_picture_s():
    scan = L.scan_of(Image(DATA[0], scale=(0.5, 0.7)))
    labels = Labels(np.arange(42).reshape(6, 7), scale=(0.5, 0.7))
    mask = L.mask_of(labels, scan=scan)
    assert_array_equal(mask.data[:, :, 0], labels.data)
    assert mask.grid is scan.grid


def test_dask_is_loaded_within_the_budget(monkeypatch):
    with dask.config.set(scheduler="synchronous"):
        layer = Image(da.from_array(DATA, chunks=3), contrast_limits=(0, 1), **PLACE)
        assert_array_equal(L.scan_of(layer).data, DATA)
        monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", "1e-7")
        with pytest.raises(MemoryBudgetError):
            L.scan_of(layer)


def test_of_several_resolutions_the_finest_is_read():
    layer = Image([DATA, DATA[:3, :3, :3]], multiscale=True, contrast_limits=(0, 1))
    scan = L.scan_of(layer)
    assert_array_equal(scan.data, DATA)
    assert any("5 × 6 × 7" in notice for notice in scan.notices)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (Image(np.zeros((5, 6, 3), np.uint8), rgb=True), "colour"),
        (Image(np.zeros((2, 5, 6, 7), np.float32)), "two or three axes"),
        (Labels(np.zeros((5, 6), np.uint8)), "not an image layer"),
    ],
    ids=["rgb", "4-D", "labels"],
)
def test_what_is_no_grey_image_is_refused_in_a_sentence(layer, why):
    with pytest.raises(InputError, match=why) as raised:
        L.scan_of(layer)
    assert raised.value.hint


def test_booleans_become_numbers():
    assert L.scan_of(Image(DATA > 0.5, contrast_limits=(0, 1))).data.dtype == np.uint8


def test_our_own_layer_gives_its_own_scan():
    scan = scan_on(affine_of("PSL", angle=17.0))
    assert L.scan_of(Layer.create(*L.scan_layer_data(scan))) is scan


def test_pixels_that_a_person_changed_are_read():
    scan = scan_on(affine_of("PSL", angle=17.0))
    layer = Layer.create(*L.scan_layer_data(scan))
    layer.data = np.array(layer.data) + 1
    changed = L.scan_of(layer)
    assert_array_equal(changed.data, scan.data + 1)
    assert changed.grid is scan.grid
    layer.data = L.display_axes(scan).to_view(scan.data)[::-1]  # the same memory, turned over
    turned = L.display_axes(scan).to_view(L.scan_of(layer).data)
    assert_array_equal(turned, L.display_axes(scan).to_view(scan.data)[::-1])


def test_a_layer_that_a_person_moved_is_read_where_it_is_and_says_so():
    layer = Layer.create(*L.scan_layer_data(scan_on(affine_of("RAS"))))
    layer.translate = np.add(layer.translate, (0, 5, 0))
    scan = L.scan_of(layer)
    assert any("was moved" in notice for notice in scan.notices)
    assert_allclose(mm(scan.grid.affine, (0, 0, 0)), ras(layer.data_to_world((0, 0, 0))))


def test_a_copy_of_a_layer_is_the_same_scan():
    scan = scan_on(affine_of("ASR", angle=17.0))
    data, attributes, kind = Layer.create(*L.scan_layer_data(scan)).as_layer_data_tuple()
    copied = L.scan_of(Layer.create(data, deepcopy(attributes), kind))
    assert_array_equal(copied.data, scan.data)
    assert copied.grid.same_as(scan.grid, atol=0.0)


def test_a_filtered_copy_lies_on_the_exact_grid_of_its_scan():
    scan = scan_on(affine_of("ASR", angle=17.0))
    viewer = viewer_with(scan)
    base = viewer.layers[0]
    filtered = Image(
        np.sqrt(np.abs(base.data)), scale=base.scale, translate=base.translate, units=base.units, name="root/of it"
    )
    found = L.scan_of(filtered, viewer)
    assert found.grid is scan.grid
    assert found.stem == "root_of it"
    assert_allclose(found.data, np.sqrt(np.abs(scan.data)))


def test_an_uncertainty_layer_is_read_on_the_exact_grid():
    scan = scan_on(affine_of("ASR", angle=17.0))
    prediction = prediction_on(scan)
    found = L.scan_of(Layer.create(*L.uncertainty_layer_data(prediction, scan)))
    assert_array_equal(found.data, prediction.uncertainty)
    assert found.grid is scan.grid
    assert found.stem != scan.stem


@pytest.mark.parametrize("angle", [0.0, 17.0])
def test_a_mask_made_by_hand_lies_on_its_scan(angle):
    scan = scan_on(affine_of("ARI", angle=angle))
    viewer = viewer_with(scan)
    layer = by_hand(viewer)
    layer.data[tuple(L.display_axes(scan).index_to_view(np.array([MARKER]))[0])] = 200
    mask = L.mask_of(layer, viewer)
    assert mask.grid is scan.grid
    assert [tuple(v) for v in np.argwhere(mask.data)] == [MARKER]


def test_two_scans_shown_alike_are_told_apart_by_name_or_refused():
    one, other = scan_on(affine_of("RAS")), scan_on(affine_of("RAS"))
    turned = affine_of("LAS")
    turned[0, 3] = 31.0 + 0.5 * 6  # the same voxels, stored from the other side
    other = type(other)(one.data[::-1], type(other.grid)(other.grid.shape, turned), "other", one.source)
    viewer = viewer_with(one, other)
    layer = by_hand(viewer, 1)
    assert L.mask_of(layer, viewer).grid is other.grid
    layer.name = "mine"
    with pytest.raises(GeometryError, match="several open scans"):
        L.mask_of(layer, viewer)


def test_two_scans_on_one_grid_are_no_question():
    one = scan_on(affine_of("SAR"))
    viewer = viewer_with(one, scan_on(affine_of("SAR")))
    layer = by_hand(viewer)
    layer.name = "mine"
    assert L.mask_of(layer, viewer).grid is one.grid


def test_a_mask_on_no_scan_has_its_own_place():
    layer = Labels(np.zeros((5, 6, 7), np.uint8), units=("mm",) * 3, **PLACE)
    mask = L.mask_of(layer, viewer_with(scan_on(affine_of("RAS"))))
    assert_allclose(mm(mask.grid.affine, (1, 2, 3)), ras(layer.data_to_world((1, 2, 3))))


def test_beside_an_oblique_scan_a_mask_on_no_scan_is_refused():
    layer = Labels(np.zeros((5, 6, 7), np.uint8), **PLACE)
    with pytest.raises(GeometryError, match="oblique"):
        L.mask_of(layer, viewer_with(scan_on(affine_of("RAS", angle=17.0))))


def test_a_mask_is_never_pasted_by_index():
    scan = scan_on(affine_of("RAS"))
    shape = Layer.create(*L.scan_layer_data(scan)).data.shape
    place = {key: np.array(value) for key, value in L.placement(scan).items() if key in ("scale", "translate")}
    good = Labels(np.zeros(shape, np.uint8), **place)
    assert L.mask_of(good, scan=scan).grid is scan.grid
    for bad in (
        Labels(np.zeros(shape, np.uint8)),
        Labels(np.zeros(shape, np.uint8), scale=place["scale"], translate=place["translate"] + (0, 0.01, 0)),
        Labels(np.zeros(shape, np.uint8), scale=place["scale"] * 1.001, translate=place["translate"]),
        Labels(np.zeros(shape[::-1], np.uint8), **place),
        Labels(np.zeros(shape[1:], np.uint8), **{k: v[1:] for k, v in place.items()}),
    ):
        with pytest.raises(GeometryError, match="does not lie on the scan"):
            L.mask_of(bad, scan=scan)


def test_negative_ids_are_refused():
    with pytest.raises(InputError, match="negative"):
        L.mask_of(Labels(np.full((5, 6, 7), -1)))


def test_a_mask_turned_into_an_image_keeps_its_grid():
    scan = scan_on(affine_of("ASR", angle=17.0))
    _, attributes, _ = L.mask_layer_data(mask_on(scan), scan, "mask")
    kept = {key: attributes[key] for key in ("metadata", "scale", "translate", "units")}
    image = Image(np.array(L.display_axes(scan).to_view(mask_on(scan).data)), name="mask", **kept)
    assert L.scan_of(image).grid is scan.grid
