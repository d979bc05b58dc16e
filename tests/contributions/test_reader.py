"""Files that napari opens through the reader."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from numpy.testing import assert_allclose

from napari_morse.contributions import reader
from napari_morse.errors import DamagedFileError, InputError, MorseError
from napari_morse.widgets import bridge as L
from napari_morse.widgets.bridge import viewer as layers_host
from tests.layer_cases import MARKER, SHAPE, affine_of, write_nifti


@pytest.fixture
def image(tmp_path):
    data = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    return write_nifti(tmp_path / "case.nii.gz", data, affine_of("LAS"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ", "a.b.nii.gz"])
def test_nifti_is_ours_by_name(name):
    assert reader.get_reader(name) is reader.read
    assert reader.get_reader([name, "other.nii"]) is reader.read


@pytest.mark.parametrize("path", ["a.png", "a.gz", "a.nii.png", "nii", [], ["a.nii", "a.png"]])
def test_the_rest_is_left_to_others(path):
    assert reader.get_reader(path) is None


def test_an_image_file_becomes_one_image_layer(image):
    ((data, attributes, kind),) = reader.read(str(image))
    layer = Layer.create(data, attributes, kind)
    assert (kind, layer.name) == ("image", "case")
    scan = L.carrier_of(layer).scan
    assert_allclose(scan.grid.affine, affine_of("LAS"), rtol=1e-6)
    assert scan.source == image


def test_several_files_become_several_layers(image, tmp_path):
    other = write_nifti(tmp_path / "other.nii", np.zeros(SHAPE, np.int16), affine_of("RAS"))
    assert [attributes["name"] for _, attributes, _ in reader.read([str(image), str(other)])] == ["case", "other"]


@pytest.mark.parametrize(
    ("stem", "data", "intent", "kind"),
    [
        ("case_coarse", np.uint8, None, "labels"),
        ("case_rendered", np.uint8, None, "labels"),
        ("sub-01_T1w_dseg", np.int16, None, "labels"),
        ("SEG", np.float32, None, "labels"),
        ("case", np.uint8, "label", "labels"),
        ("case", np.uint8, None, "image"),
        ("unmasked", np.uint8, None, "image"),
        ("maskedcase", np.uint8, None, "image"),
        ("masks of_head", np.uint8, None, "image"),
        ("prob_seg", "fractions", None, "image"),
        ("odd_mask", "negative", None, "image"),
        ("grey_mask", "many", None, "image"),
    ],
)
def test_a_mask_is_told_by_what_it_says_and_what_it_holds(tmp_path, stem, data, intent, kind):
    rng = np.random.default_rng(0)
    values = {
        "fractions": rng.random(SHAPE).astype(np.float32),
        "negative": rng.integers(-1, 2, SHAPE).astype(np.int16),
        "many": rng.integers(0, 2000, SHAPE).astype(np.int16),
    }
    array = values[data] if isinstance(data, str) else rng.integers(0, 3, SHAPE).astype(data)
    file = nib.Nifti1Image(array, affine_of("LPS"))
    if intent:
        file.header.set_intent(intent)
    nib.save(file, tmp_path / f"{stem}.nii.gz")
    ((shown, attributes, found),) = reader.read(str(tmp_path / f"{stem}.nii.gz"))
    assert found == kind
    layer = Layer.create(shown, attributes, found)
    carrier = L.carrier_of(layer)
    index = L.display_axes(carrier.scan).index_to_view(np.array([MARKER]))[0]
    assert layer.data[tuple(index)] == pytest.approx(array[MARKER])


def damaged(tmp_path, kind: str):
    path = tmp_path / "bad.nii.gz"
    if kind == "text":
        path.write_text("Dear radiologist,\n" * 40)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "series":
        write_nifti(path, np.zeros((4, 5, 6, 3), np.int16), np.eye(4))
    elif kind == "cut":
        write_nifti(path, np.random.default_rng(0).random((20, 20, 20)), np.eye(4))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "cut", "series"])
def test_without_a_window_the_error_is_raised(tmp_path, kind):
    with pytest.raises(InputError) as raised:
        reader.read(str(damaged(tmp_path, kind)))
    assert "bad.nii.gz" in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "cut"])
def test_in_a_window_the_error_is_shown_and_the_other_files_open(tmp_path, image, monkeypatch, kind):
    monkeypatch.setattr(layers_host, "current_viewer", ViewerModel)
    shown: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", shown.append)
    bad = str(damaged(tmp_path, kind))
    assert reader.read(bad) == [(None,)]
    assert len(reader.read([bad, str(image)])) == 1
    assert len(shown) == 2
    assert shown[0].startswith(("“bad.nii.gz”", "There is no file “bad.nii.gz”"))


def test_the_shown_error_holds_the_way_out(monkeypatch):
    monkeypatch.setattr(layers_host, "current_viewer", ViewerModel)
    shown: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", shown.append)
    error: MorseError = DamagedFileError("It is broken.", "Copy it again.")
    assert layers_host.show_in_window(error)
    assert shown == ["It is broken. Copy it again."]
