"""Reader, writers and samples in a napari window."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.settings import get_plugin_settings
from napari.utils.notifications import Notification, notification_manager
from npe2 import PluginManager, PluginManifest
from numpy.testing import assert_array_equal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QDialogButtonBox

from napari_morse.contributions import reader
from napari_morse.errors import InputError
from napari_morse.widgets.bridge import carrier_of
from tests.layer_cases import MARKER, SHAPE, affine_of, write_nifti

NAME = "napari-morse"


@pytest.fixture(scope="session")
def plugin():
    """The plugin as its manifest says, whether it is installed or not; napari keeps commands until it ends."""
    manager = PluginManager.instance()
    if NAME not in manager:
        manager.register(PluginManifest.from_file(Path(__file__).parents[3] / "napari.yaml"))


@pytest.fixture
def viewer(nothing_left, plugin, make_napari_viewer):
    """Napari itself and not its proxy: files are dropped and buttons pressed on its own widgets."""
    return make_napari_viewer(show=True)


def test_a_sample_is_in_the_menu_and_opens_upright(viewer):
    (layer,) = viewer.open_sample(NAME, "colin27_t1")
    assert viewer.dims.axis_labels == tuple(layer.axis_labels)
    assert viewer.dims.range[0].step == 1.0
    assert {str(u) for u in layer.units} == {"millimeter"}
    picture = viewer.screenshot(canvas_only=True, flash=False)[:, :, :3].astype(float).mean(axis=2)
    head = np.argwhere(picture > 60)
    (top, left), (bottom, right) = head.min(axis=0), head.max(axis=0)
    assert bottom - top > 1.1 * (right - left), "an axial slice of a head is longer than wide"
    widths = [np.ptp(np.argwhere(row > 60)) for row in picture[top + 5 : bottom - 5]]
    front, back = np.mean(widths[: len(widths) // 5]), np.mean(widths[-len(widths) // 5 :])
    assert front < back, "the forehead, narrower than the back of the head, is at the top"


def test_a_file_that_cannot_be_read_is_told_in_a_sentence_and_adds_nothing(viewer, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("Dear radiologist,\n" * 40)
    good = write_nifti(tmp_path / "good.nii.gz", np.ones(SHAPE, np.float32), affine_of("LAS"))
    before = len(notification_manager.records)
    viewer.window._qt_viewer._qt_open([str(bad), str(good)], stack=False, plugin=NAME)
    assert [layer.name for layer in viewer.layers] == ["good"]
    said = [n.message for n in notification_manager.records[before:]]
    assert len(said) == 1
    assert "bad.nii.gz" in said[0]


def test_a_mask_painted_in_the_window_is_saved_on_its_scan(viewer, tmp_path):
    data = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    path = write_nifti(tmp_path / "scan.nii.gz", data, affine_of("PIR", angle=17.0))
    (image,) = viewer.open(path, plugin=NAME)
    assert carrier_of(image).scan.source == path
    viewer.window._qt_viewer.layerButtons.newLabelsButton.click()
    labels = viewer.layers[-1]
    place = np.argwhere(np.asarray(image.data) == data[MARKER])[0]
    viewer.dims.set_current_step(0, int(place[0]))
    labels.mode = "paint"
    labels.brush_size = 1
    labels.paint(place, 1)
    (written,) = labels.save(str(tmp_path / "mask.nii.gz"), plugin=NAME)
    saved, source = nib.load(written), nib.load(path)
    assert_array_equal(saved.affine, source.affine)
    assert [tuple(v) for v in np.argwhere(np.asarray(saved.dataobj))] == [MARKER]
    ((_, attributes, kind),) = reader.read(written)
    assert (kind, attributes["name"]) == ("labels", "mask")


def test_the_setting_opens_masks_as_images(viewer, tmp_path):
    path = str(write_nifti(tmp_path / "case_mask.nii.gz", np.ones(SHAPE, np.uint8), affine_of("LAS")))
    settings = get_plugin_settings(NAME)
    assert settings.reading.masks_as_labels, "on unless it is switched off"
    assert [kind for _, _, kind in reader.read(path)] == ["labels"]
    settings.reading.masks_as_labels = False
    try:
        assert [kind for _, _, kind in reader.read(path)] == ["image"]
    finally:
        settings.reading.masks_as_labels = True


def write_series(tmp_path):
    data = np.stack([np.full(SHAPE, n, np.float32) for n in (1, 2, 3)], axis=-1)
    data[MARKER] = 9
    return write_nifti(tmp_path / "series.nii.gz", data, affine_of("LAS"))


def answer(qtbot, frame):
    """Answer the dialog that comes; None closes it."""

    def act():
        dialog = QApplication.activeModalWidget()
        spin = dialog.findChild(QAbstractSpinBox)
        if frame is not None:
            spin.setValue(frame)
        buttons = dialog.findChild(QDialogButtonBox)
        kind = buttons.StandardButton.Cancel if frame is None else buttons.StandardButton.Ok
        buttons.button(kind).click()

    QTimer.singleShot(500, act)


def test_a_series_asks_which_frame(viewer, tmp_path, qtbot):
    path = write_series(tmp_path)
    answer(qtbot, 2)
    (layer,) = viewer.open(path, plugin=NAME)
    assert carrier_of(layer).scan.frame == 2 and set(np.unique(layer.data)) == {3.0, 9.0}


def test_a_series_of_which_no_frame_is_wanted_adds_nothing(viewer, tmp_path, qtbot):
    before = len(notification_manager.records)
    answer(qtbot, None)
    viewer.window._qt_viewer._qt_open([str(write_series(tmp_path))], stack=False, plugin=NAME)
    assert len(viewer.layers) == 0 and len(notification_manager.records) == before


def test_what_napari_shows_of_an_error_has_the_way_out():
    notice = Notification.from_exception(InputError("It is broken.", "Mend it."))
    assert notice.message == "It is broken. Mend it."
