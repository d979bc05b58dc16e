"""A voxel of the file, its voxel on the screen, its place in mm: always the same one."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Layer
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from napari_morse.io import open_scan
from napari_morse.widgets import bridge as L
from tests.layer_cases import MARKER, ORIENTATIONS, affine_of, mask_on, mm, prediction_on, scan_on


def world(position) -> np.ndarray:
    """Where the viewer shows a place in mm RAS+: letters of the display frame, by hand."""
    along = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    return np.array([along[letter][1] * position[along[letter][0]] for letter in L.AXIS_LABELS])


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_voxel_is_shown_at_its_own_place(codes):
    scan = scan_on(affine_of(codes))
    layer = Layer.create(*L.scan_layer_data(scan))
    assert (np.array(layer.scale) > 0).all()
    assert {str(u) for u in layer.units} == {"millimeter"}
    index = L.display_axes(scan).index_to_view(np.array([MARKER, (0, 0, 0)]))
    for shown, voxel in zip(index, (MARKER, (0, 0, 0)), strict=True):
        assert layer.data[tuple(shown)] == scan.data[voxel]
        assert_allclose(layer.data_to_world(shown), world(mm(scan.grid.affine, voxel)), atol=1e-6)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_mask_comes_back_exactly_as_it_went(codes):
    scan = scan_on(affine_of(codes, angle=17.0))
    mask = mask_on(scan)
    layer = Layer.create(*L.mask_layer_data(mask, scan, "mask"))
    back = L.mask_of(layer)
    assert_array_equal(back.data, mask.data)
    assert back.data.dtype == np.uint8
    assert back.grid is scan.grid
    assert back.labels == mask.labels


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_points_lie_on_the_centres_of_their_voxels(codes):
    scan = scan_on(affine_of(codes))
    prediction = prediction_on(scan)
    mask = Layer.create(*L.mask_layer_data(prediction.rendered, scan, "mask"))
    points = Layer.create(*L.points_layer_data(prediction, scan))
    values = mask.data[tuple(points.data.astype(int).T)]
    assert_array_equal(values, prediction.points.after)
    assert_allclose(points.data_to_world(points.data[5]), world(prediction.points.mm[5]), atol=1e-6)


def test_an_oblique_scan_is_straightened_from_its_first_voxel():
    scan = scan_on(affine_of("LPS", angle=17.0))
    layer = Layer.create(*L.scan_layer_data(scan))
    first = L.display_axes(scan).index_to_storage(np.zeros((1, 3), dtype=int))[0]
    assert_allclose(layer.data_to_world((0, 0, 0)), world(mm(scan.grid.affine, first)), atol=1e-6)
    assert_allclose(sorted(layer.scale), sorted(scan.grid.spacing))
    assert_allclose(layer.rotate, np.eye(3))


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")  # as napari says of the layer that the scan was made from
def test_a_turned_scan_made_in_the_viewer_keeps_its_place_there():
    scan = scan_on(affine_of("IPL", angle=17.0), made_in_viewer=True)
    layer = Layer.create(*L.mask_layer_data(mask_on(scan), scan, "mask"))
    index = L.display_axes(scan).index_to_view(np.array([MARKER]))[0]
    assert_allclose(layer.data_to_world(index), world(mm(scan.grid.affine, MARKER)), atol=1e-6)


@pytest.mark.parametrize(
    ("pixdim", "unit"), [((0.7, 0.7, 0.7), "mm"), ((1.0, 1.0, 2.0), "mm"), ((0.0, 0.0, 0.0), "pixel")]
)
def test_units_are_pixels_only_where_a_file_says_no_size(tmp_path, pixdim, unit):
    """NIfTI without forms, with and without voxel sizes."""
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.int16), None)
    image.header.set_sform(None, 0)
    image.header.set_qform(None, 0)
    content = bytearray(image.to_bytes())
    content[80:92] = np.array(pixdim, "<f4").tobytes()
    (tmp_path / "scan.nii").write_bytes(bytes(content))
    assert L.units_of(open_scan(tmp_path / "scan.nii")) == unit


@pytest.mark.parametrize(("dpi", "unit"), [((25.4, 25.4), "mm"), ((127.0, 127.0), "mm"), (None, "pixel")])
def test_units_of_a_picture_are_pixels_where_it_says_no_size(tmp_path, dpi, unit):
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10)).save(tmp_path / "slice.png", dpi=dpi)
    assert L.units_of(open_scan(tmp_path / "slice.png")) == unit


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_world_matrix_composes_as_napari_does():
    place = {
        "scale": (2.0, 1.0, 0.5),
        "translate": (5.0, -3.0, 8.0),
        "rotate": (10.0, 20.0, 30.0),
        "shear": (0.1, 0.0, 0.2),
        "affine": np.array([[0.0, 1, 0, 4], [1, 0, 0, 5], [0, 0, 1, 6], [0, 0, 0, 1]]),
    }
    layer = Layer.create(np.zeros((3, 4, 5)), place, "image")
    for position in ((0, 0, 0), (1, 2, 3)):
        expected = layer.data_to_world(position)
        assert_allclose((L.layer_matrix(layer) @ [*position, 1])[:3], expected)
        assert_allclose((L.world_matrix(place, 3) @ [*position, 1])[:3], expected)


def test_micrometres_become_millimetres():
    layer = Layer.create(np.zeros((3, 4, 5)), {"scale": (500, 250, 1000), "units": ("um",) * 3}, "image")
    assert_allclose(np.diag(L.layer_matrix(layer)), (0.5, 0.25, 1.0, 1.0))
    assert L.has_length(layer.units)
    assert not L.has_length(Layer.create(np.zeros((3, 4)), {}, "image").units)
