"""Layers that napari saves: on the grid of their scan, to the bit."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.testing import assert_allclose, assert_array_equal

from napari_morse.contributions import reader, writer
from napari_morse.errors import GeometryError, InputError
from napari_morse.widgets import bridge as L
from napari_morse.widgets.bridge import viewer as layers_host
from tests.layer_cases import MARKER, ORIENTATIONS, SHAPE, affine_of, write_nifti


@pytest.fixture
def viewer(monkeypatch):
    viewer = ViewerModel()
    monkeypatch.setattr(layers_host, "current_viewer", lambda: viewer)
    return viewer


def open_in(viewer, path):
    (layer_data,) = reader.read(str(path))
    viewer.add_layer(Layer.create(*layer_data))
    return viewer.layers[-1]


def by_hand(viewer):
    viewer.layers.selection.active = viewer.layers[0]
    viewer._new_labels()
    return viewer.layers[-1]


def save(layer, path, write=writer.write_labels):
    data, attributes, _ = layer.as_layer_data_tuple()
    return write(str(path), data, attributes)


def same_geometry(saved, source):
    """Affine, forms, codes and units are equal, not nearly so."""
    assert saved.shape == source.shape
    assert_array_equal(saved.affine, source.affine)
    for form in ("sform", "qform"):
        (a, a_code), (b, b_code) = (getattr(x.header, f"get_{form}")(coded=True) for x in (saved, source))
        assert a_code == b_code, form
        assert a is None if b is None else np.allclose(a, b, atol=1e-4)
    assert saved.header.get_xyzt_units() == source.header.get_xyzt_units()


CASES = [(codes, 17.0) for codes in ORIENTATIONS] + [(codes, 0.0) for codes in ORIENTATIONS[::6]]


@pytest.mark.parametrize(("codes", "angle"), CASES, ids=[f"{codes}-{angle:.0f}" for codes, angle in CASES])
def test_a_mask_painted_by_hand_lies_on_its_scan(tmp_path, viewer, codes, angle):
    data = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    source = nib.load(write_nifti(tmp_path / "scan.nii.gz", data, affine_of(codes, angle=angle)))
    image = open_in(viewer, tmp_path / "scan.nii.gz")
    labels = by_hand(viewer)
    assert L.carrier_of(labels) is None
    seen = np.argwhere(np.asarray(image.data) == data[MARKER])  # the voxel that a person sees and paints
    labels.data[tuple(seen[0])] = 7
    (written,) = save(labels, tmp_path / "mask.nii.gz")
    saved = nib.load(written)
    same_geometry(saved, source)
    assert [tuple(v) for v in np.argwhere(np.asarray(saved.dataobj))] == [MARKER]
    assert np.asarray(saved.dataobj)[MARKER] == 7
    assert saved.get_data_dtype() == np.uint8


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (4, 2), (0, 0)])
def test_the_codes_of_the_header_stay(tmp_path, viewer, sform, qform):
    affine = affine_of("LAS", origin=(3.0, -5.0, 8.0))
    source = nib.load(write_nifti(tmp_path / "scan.nii.gz", np.ones(SHAPE, np.int16), affine, sform=sform, qform=qform))
    open_in(viewer, tmp_path / "scan.nii.gz")
    (written,) = save(by_hand(viewer), tmp_path / "mask.nii.gz")
    same_geometry(nib.load(written), source)


def test_a_mask_that_was_opened_and_edited_is_saved_where_it_was(tmp_path, viewer):
    data = np.zeros(SHAPE, np.uint8)
    data[MARKER] = 2
    source = nib.load(write_nifti(tmp_path / "case_seg.nii.gz", data, affine_of("SRA", angle=17.0)))
    layer = open_in(viewer, tmp_path / "case_seg.nii.gz")
    layer.data[0, 0, 0] = 3
    (written,) = save(layer, tmp_path / "edited.nii")
    saved = nib.load(written)
    same_geometry(saved, source)
    back = np.asarray(saved.dataobj)
    assert back[MARKER] == 2
    assert (back == 3).sum() == 1


def test_an_image_layer_is_saved_on_its_own_grid(tmp_path, viewer):
    data = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    source = nib.load(write_nifti(tmp_path / "scan.nii.gz", data, affine_of("PIR", angle=17.0)))
    (written,) = save(open_in(viewer, tmp_path / "scan.nii.gz"), tmp_path / "copy.nii.gz", writer.write_image)
    saved = nib.load(written)
    same_geometry(saved, source)
    assert_array_equal(saved.get_fdata(), source.get_fdata())


def test_a_filtered_image_over_an_oblique_scan_keeps_the_scan_s_grid(tmp_path, viewer):
    data = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    source = nib.load(write_nifti(tmp_path / "scan.nii.gz", data, affine_of("PIR", angle=17.0)))
    base = open_in(viewer, tmp_path / "scan.nii.gz")
    filtered = Image(np.asarray(base.data) * 2, scale=base.scale, translate=base.translate, units=base.units)
    (written,) = save(filtered, tmp_path / "double.nii.gz", writer.write_image)
    saved = nib.load(written)
    same_geometry(saved, source)
    assert_allclose(saved.get_fdata(), data * 2)


def test_a_layer_of_several_resolutions_is_saved_at_its_finest(tmp_path, viewer):
    data = np.random.default_rng(0).random((6, 8, 10)).astype(np.float32)
    layer = Image([data, data[::2, ::2, ::2]], multiscale=True, contrast_limits=(0, 1), scale=(2, 1, 0.5))
    (written,) = save(layer, tmp_path / "a.nii.gz", writer.write_image)
    assert nib.load(written).shape == data.shape


def test_without_an_ending_the_file_becomes_nii_gz(tmp_path, viewer):
    (written,) = save(Labels(np.ones((3, 4, 5), np.uint8)), tmp_path / "mask")
    assert written == str(tmp_path / "mask.nii.gz")
    assert nib.load(written).shape == (3, 4, 5)


def test_what_cannot_be_saved_leaves_the_old_file_and_says_why(tmp_path, viewer):
    old = tmp_path / "mask.nii.gz"
    old.write_bytes(b"old")
    with pytest.raises(InputError, match=r"negative values .* Label ids start at 0"):
        save(Labels(np.full((3, 4, 5), -1)), old)
    with pytest.raises(InputError, match=r"\.nii\.gz"):
        save(Labels(np.ones((3, 4, 5), np.uint8)), tmp_path / "mask.tif")
    assert old.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["mask.nii.gz"]


def test_a_mask_of_nowhere_beside_an_oblique_scan_is_not_saved(tmp_path, viewer):
    data = np.zeros(SHAPE, np.float32)
    open_in(viewer, write_nifti(tmp_path / "scan.nii.gz", data, affine_of("PIR", angle=17.0)))
    with pytest.raises(GeometryError, match="oblique"):
        save(Labels(np.ones((3, 4, 5), np.uint8)), tmp_path / "mask.nii.gz")
    assert not (tmp_path / "mask.nii.gz").exists()


def tuples(*layers):
    return [layer.as_layer_data_tuple() for layer in layers]


def test_a_folder_gets_every_layer_once_under_names_that_any_system_takes(tmp_path, viewer):
    write_nifti(tmp_path / "scan.nii.gz", np.ones(SHAPE, np.int16), affine_of("LAS"))
    open_in(viewer, tmp_path / "scan.nii.gz")
    painted = [by_hand(viewer) for _ in range(3)]
    for label, (layer, name) in enumerate(zip(painted, ("a/b: left", "A_B_ left", ".."), strict=True), start=1):
        layer.name = name
        layer.data[1, 1, 1] = label
    written = writer.write_folder(str(tmp_path / "out"), tuples(*painted))
    assert [Path(p).name for p in written] == ["a_b_ left.nii.gz", "A_B_ left 2.nii.gz", "layer.nii.gz"]
    assert [int(np.asarray(nib.load(p).dataobj).max()) for p in written] == [1, 2, 3]
    for path in written:
        same_geometry(nib.load(path), nib.load(tmp_path / "scan.nii.gz"))


def test_a_folder_that_holds_a_file_of_the_name_gets_nothing(tmp_path, viewer):
    write_nifti(tmp_path / "scan.nii.gz", np.ones(SHAPE, np.int16), affine_of("LAS"))
    image = open_in(viewer, tmp_path / "scan.nii.gz")
    labels = by_hand(viewer)
    labels.name = "mask"
    before = (tmp_path / "scan.nii.gz").read_bytes()
    with pytest.raises(InputError, match=r"scan\.nii\.gz.* already"):
        writer.write_folder(str(tmp_path), tuples(labels, image))
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii.gz"]
    assert (tmp_path / "scan.nii.gz").read_bytes() == before
