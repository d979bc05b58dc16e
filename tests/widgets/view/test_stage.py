"""One scan in view at a time: whatever is opened, chosen, deleted or shown by hand, all that is seen lies on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.layers._layer_actions import _convert
from qtpy.QtCore import Qt

from napari_morse.io import open_scan
from napari_morse.types import Mask, Roi
from napari_morse.widgets.base.shortcuts import ACCEPT
from napari_morse.widgets.bridge import carrier_of, mask_layer_data, roi_shape_data
from napari_morse.widgets.view.twins import is_twin
from tests.fakes import FakeEngine, make_prediction, make_scan
from tests.layer_cases import affine_of, write_nifti
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.project.test_window import at, project  # noqa: F401 (a fixture)
from tests.widgets.segment.test_dock_run import messages, press, run_through


def seen(viewer):
    return [layer for layer in viewer.layers if layer.visible and not is_twin(layer)]


def check_one_patient(viewer, dock):
    """Image, masks, points and titles are of the chosen scan, and of no other."""
    scan = dock.session.scan
    assert dock.active_case.scan is scan
    for layer in seen(viewer):
        carrier = carrier_of(layer)
        assert carrier is None or carrier.scan is scan, f"“{layer.name}” is seen over {scan.stem}"
    if scan is not None:
        assert dock.segment.scans.layer.visible
        titles, cells = dock.comparison.titles.text, 2 if viewer.canvas.grid.enabled else 1
        assert titles and all(dock.segment.scans.layer.name in text for text in titles[:cells]), titles
        others = {
            x.name for x in viewer.layers if isinstance(x, Image) and carrier_of(x) and carrier_of(x).role == "scan"
        }
        assert not any(name in text for name in others - {dock.segment.scans.layer.name} for text in titles)


@pytest.fixture
def first(viewer, dock, qtbot):
    """The first patient's scan, with both masks in view."""
    layer = add_scan(viewer, make_scan(stem="Anna"))
    run_through(qtbot, dock)
    return layer


def choose(qtbot, dock, layer):
    """By the keyboard, in the list of scans."""
    combo = dock.segment.scans.combo
    combo.setFocus()
    wanted = combo.findData(layer)
    key = Qt.Key.Key_Down if wanted > combo.currentIndex() else Qt.Key.Key_Up
    while combo.currentIndex() != wanted:
        qtbot.keyClick(combo, key)


def settled(qtbot, dock):
    qtbot.waitUntil(lambda: dock.comparison.shown is not None and not dock.comparison.settling, timeout=20000)


def test_a_second_scan_takes_the_stage_and_the_first_comes_back_with_all_of_its_own(viewer, dock, first, qtbot):
    check_one_patient(viewer, dock)
    before, grid = {x.name for x in seen(viewer)}, viewer.canvas.grid.enabled
    viewer.dims.set_point(0, 21.0)
    viewer.scene.camera.center = (0.0, 3.0, 4.0)
    at_first = tuple(viewer.dims.point), tuple(viewer.scene.camera.center)
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    check_one_patient(viewer, dock)
    assert seen(viewer) == [second] and not viewer.canvas.grid.enabled
    assert dock.segment.scans.layer is second and not dock.segment.results.isVisible()
    choose(qtbot, dock, first)
    settled(qtbot, dock)
    check_one_patient(viewer, dock)
    assert {x.name for x in seen(viewer)} == before and viewer.canvas.grid.enabled == grid
    assert (tuple(viewer.dims.point), tuple(viewer.scene.camera.center)) == at_first
    assert dock.segment.results.isVisible() and dock.segment.results.caption.whole.startswith("Anna")
    assert dock.walker.walk is not None and dock.active_case.prediction is dock.session.result


def test_two_results_each_stand_under_their_own_scan(viewer, dock, first, qtbot):
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    run_through(qtbot, dock)
    check_one_patient(viewer, dock)
    for layer, name in ((first, "Anna"), (second, "Berta"), (first, "Anna")):
        choose(qtbot, dock, layer)
        settled(qtbot, dock)
        check_one_patient(viewer, dock)
        assert dock.session.result_scan is dock.session.scan and dock.comparison.shown.scan is layer
        assert dock.segment.results.caption.whole.startswith(name)


@pytest.mark.parametrize("gone", ["scan", "rendered", "points"])
def test_deleting_a_layer_brings_no_other_patient_s_masks_back(viewer, dock, first, gone, qtbot):
    shown = dock.comparison.shown
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    run_through(qtbot, dock)
    other = dock.comparison.shown
    viewer.layers.remove(getattr(other, gone))
    qtbot.wait(50)
    check_one_patient(viewer, dock)
    assert (second in viewer.layers) == (dock.segment.scans.layer is second)
    if gone == "scan":
        settled(qtbot, dock)
        assert dock.segment.scans.layer is first and shown.rendered.visible and not other.rendered.visible


def test_masks_of_a_scan_that_was_closed_stay_hidden_also_when_shown_by_hand(viewer, dock, first, qtbot):
    rendered = dock.comparison.shown.rendered
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    viewer.layers.remove(first)
    rendered.visible = True
    qtbot.waitUntil(lambda: not rendered.visible)
    check_one_patient(viewer, dock)
    assert "lies on a scan that is closed" in messages()[-1] and second.visible


@pytest.mark.parametrize("which", ["scan", "rendered"])
def test_what_is_shown_by_hand_brings_its_own_scan_along(viewer, dock, first, which, qtbot):
    layer = getattr(dock.comparison.shown, which)
    add_scan(viewer, make_scan(stem="Berta", seed=1))
    layer.visible = True  # the eye in the list of layers
    qtbot.waitUntil(lambda: dock.segment.scans.layer is first)
    settled(qtbot, dock)
    check_one_patient(viewer, dock)


@pytest.mark.parametrize("closed", [False, True])
def test_a_region_that_is_shown_by_hand_brings_its_scan_along_unless_that_is_closed(viewer, dock, qtbot, closed):
    first = add_scan(viewer, make_scan(stem="Anna"))
    data, attributes, _ = roi_shape_data(Roi((1, 1, 1), (4, 5, 6)), dock.session.scan)
    region = viewer.add_shapes(data, **attributes)
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    assert not region.visible
    if closed:
        viewer.layers.remove(first)
    region.visible = True  # the eye in the list of layers
    qtbot.waitUntil(lambda: dock.segment.scans.layer is (second if closed else first) and region.visible != closed)
    check_one_patient(viewer, dock)


def test_a_result_that_arrives_while_another_scan_is_in_view_waits_for_its_own(viewer, qtbot):
    engine = FakeEngine(steps=200, seconds=0.05)
    dock = add_dock(viewer, engine)
    first = add_scan(viewer, make_scan(stem="Anna"))
    press(qtbot, dock.segment.run_bar.run)
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    check_one_patient(viewer, dock)
    engine.pace.set()
    qtbot.waitUntil(lambda: dock.session.status == "done" and not dock.segment.presenting, timeout=20000)
    check_one_patient(viewer, dock)
    assert seen(viewer) == [second] and any("The masks of “Anna” are ready" in text for text in messages())
    choose(qtbot, dock, first)
    settled(qtbot, dock)
    check_one_patient(viewer, dock)
    assert dock.comparison.shown.scan is first and dock.segment.results.isVisible()


def test_a_correction_is_hidden_with_its_scan_and_goes_on_with_it(viewer, dock, first, qtbot):
    press(qtbot, dock.correct.begin)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    corrected = dock.active_case.corrected
    corrected.layer.data[2:4, 3:5, 4:6] = 1
    corrected.compare()
    mask = corrected.corrections.mask.copy()
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    check_one_patient(viewer, dock)
    assert dock.active_case.corrected is None and not corrected.layer.visible
    viewer.keymap[next(key for key in viewer.keymap if str(key) == "Ctrl+Z")](viewer)
    np.testing.assert_array_equal(corrected.corrections.mask, mask, "undo reached a mask that is not in view")
    dock.tabs.setCurrentIndex(2)
    press(qtbot, dock.correct.begin)  # of the second scan: the first one's is put away
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    check_one_patient(viewer, dock)
    choose(qtbot, dock, first)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None, timeout=10000)
    check_one_patient(viewer, dock)
    np.testing.assert_array_equal(dock.active_case.corrected.corrections.mask, mask)
    assert dock.active_case.corrected.corrections.undoable == 1 and second in viewer.layers


def test_a_case_and_a_loose_scan_never_share_the_stage(viewer, dock, first, qtbot, project):  # noqa: F811
    dock.ahead.set_enabled(False)
    dock.host.take(project)
    at(qtbot, dock, 1)
    check_one_patient(viewer, dock)
    assert dock.session.scan is dock.host.work.scan and dock.active_case.corrected is dock.host.corrected
    choose(qtbot, dock, first)
    settled(qtbot, dock)
    check_one_patient(viewer, dock)
    assert dock.active_case.corrected is None and not dock.host.corrected.layer.visible
    case = dock.host.case
    press(qtbot, dock.case_bar.accept)
    assert dock.host.project.case(case.id).status == case.status, "a case was accepted that was not in view"
    check_one_patient(viewer, dock)
    assert dock.host.in_view and case.stem in messages()[-1]
    choose(qtbot, dock, first)
    dock.host.step(1)
    at(qtbot, dock, 2)
    check_one_patient(viewer, dock)
    assert ACCEPT and dock.host.in_view


def test_a_mask_that_lies_on_the_scan_is_seen_over_it_and_another_is_not(viewer, dock, first, qtbot):
    scan = dock.session.scan
    truth = make_prediction(scan).rendered
    data, attributes, _ = mask_layer_data(Mask(truth.data, scan.grid), make_scan(stem="truth"), "truth")
    here = viewer.add_labels(data, **attributes)
    other = make_scan((9, 8, 7), stem="other")
    empty = Mask(np.ones(other.grid.shape, np.uint8), other.grid)
    data, attributes, _ = mask_layer_data(empty, other, "elsewhere")
    elsewhere = viewer.add_labels(data, **attributes)
    assert here.visible and not elsewhere.visible
    assert "“elsewhere” does not lie on the scan in view" in messages()[-1]
    add_scan(viewer, other)
    assert elsewhere.visible and not here.visible
    choose(qtbot, dock, first)
    assert here.visible and not elsewhere.visible


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_mask_that_was_opened_as_an_image_is_converted_to_one_over_its_scan(viewer, dock, first, kind, qtbot):
    scan = dock.session.scan
    truth = np.asarray(make_prediction(scan).rendered.data).astype(kind)
    opened = add_scan(viewer, replace(scan, data=truth, stem="P1"))
    assert dock.segment.scans.layer is opened
    viewer.layers.selection.active = opened
    opened.projection_mode = "none"
    _convert(viewer.layers, "labels")  # the entry of the menu of a layer; napari keeps an image of fractions
    (converted,) = [x for x in viewer.layers if x.name.startswith("P1") and isinstance(x, Labels)]
    if opened in viewer.layers:
        choose(qtbot, dock, first)
        converted.visible = True
    settled(qtbot, dock)
    assert dock.segment.scans.layer is first and converted.visible
    assert converted in dock.truth._candidates()


def test_an_image_made_from_the_scan_stays_with_it_and_a_colour_picture_is_not_shown_over_it(viewer, dock, first):
    data = np.asarray(first.data)
    filtered = viewer.add_image(
        data + 1, scale=first.scale, translate=first.translate, units=first.units, name="smooth"
    )
    assert dock.segment.scans.layer is first
    photo = viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True, name="photo")
    assert not photo.visible and "“photo” is a colour image" in messages()[-1]
    add_scan(viewer, make_scan(stem="Berta", seed=1))
    assert not filtered.visible


def test_scans_that_are_opened_from_files_take_the_stage_one_after_the_other(viewer, dock, qtbot, tmp_path):
    paths = []
    for seed, name in enumerate(("Anna", "Berta")):
        data = np.random.default_rng(seed).normal(100, 10, (12, 10, 8)).astype(np.float32)
        paths.append(write_nifti(tmp_path / f"{name}.nii.gz", data, affine_of("RAS", angle=0.0)))
    viewer.open([str(path) for path in paths], plugin="napari-morse")
    check_one_patient(viewer, dock)
    assert dock.session.scan.stem == "Berta" and len(seen(viewer)) == 1
    assert dock.session.scan.grid.same_as(open_scan(paths[1]).grid)


def walk(viewer, dock, qtbot, rng, scans):
    """One thing that a person does."""
    act = rng.integers(5)
    images = dock.segment.scans.layers()
    if act == 0 and len(images) < 3:
        add_scan(
            viewer, scans.pop() if scans else make_scan(stem=f"new{rng.integers(1000)}", seed=int(rng.integers(9)))
        )
    elif act == 1 and images:
        choose(qtbot, dock, images[rng.integers(len(images))])
    elif act == 2 and images and not dock.session.running and not dock.segment.presenting:
        press(qtbot, dock.segment.run_bar.run)
        qtbot.waitUntil(lambda: not dock.session.running and not dock.segment.presenting, timeout=20000)
    elif act == 3 and len(viewer.layers) > 2:
        mine = [x for x in viewer.layers if not is_twin(x)]
        viewer.layers.remove(mine[rng.integers(len(mine))])
    else:
        hidden = [x for x in viewer.layers if not x.visible and not is_twin(x)]
        if hidden:
            hidden[rng.integers(len(hidden))].visible = True
    qtbot.wait(20)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whatever_is_done_one_patient_is_in_view(viewer, dock, qtbot, seed):
    rng = np.random.default_rng(seed)
    dock.comparison.mode = "contour"  # half the layers, half the time
    scans = [make_scan(stem=name, seed=n) for n, name in enumerate(("Anna", "Berta", "Clara"))]
    for _ in range(18):
        walk(viewer, dock, qtbot, rng, scans)
        if dock.comparison.shown is not None:
            qtbot.waitUntil(lambda: not dock.comparison.settling, timeout=10000)
        check_one_patient(viewer, dock)
