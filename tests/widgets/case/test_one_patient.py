"""One patient in view, whatever way a scan, a mask or a late result comes by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels
from napari.layers._layer_actions import _duplicate_layer

from napari_morse.io import open_scan
from napari_morse.session import SegmentSession
from napari_morse.types import Mask
from napari_morse.widgets.bridge import carrier_of, mask_layer_data
from napari_morse.widgets.bridge.presentation import prepare_presentation
from napari_morse.widgets.segment.tab import SegmentTab
from tests.fakes import FakeEngine, make_prediction, make_scan
from tests.layer_cases import affine_of, write_nifti
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.correct.test_sharpen import stroke
from tests.widgets.project.test_window import at, project  # noqa: F401 (a fixture)
from tests.widgets.segment.test_channels import Listening
from tests.widgets.segment.test_channels import choose as choose_channel
from tests.widgets.segment.test_dock_run import messages, press, run_through
from tests.widgets.view.test_stage import check_one_patient, choose, first, seen, settled  # noqa: F401 (a fixture)


@pytest.fixture
def both(viewer, dock, first, qtbot, project):  # noqa: F811
    """A case of a project is open, and the scan in view is another one."""
    dock.ahead.set_enabled(False)
    dock.host.take(project)
    at(qtbot, dock, 1)
    choose(qtbot, dock, first)
    assert not dock.host.in_view
    return dock


def test_measures_of_a_scan_beside_the_case_are_not_kept_with_the_case(both, qtbot):
    box, work = both.measures, both.host.work
    assert box._folder != work.folder, "the case's measures are listed and drawn over another patient"
    begin(qtbot, both)
    both.active_case.label = 1
    rendered = both.comparison.shown.rendered
    both.active_case.viewer.dims.set_point(
        0, float(rendered.data_to_world(np.argwhere(np.asarray(rendered.data) == 1)[0])[0])
    )
    box.area.click()
    assert len(box.measures.items) == 1, box.note.text()
    choose(qtbot, both, both.host.layers.scan)
    assert not box.measures.items, "a measure of another patient stands in the case"


def test_planes_draw_no_mask_of_the_case_over_the_scan_in_view(both, qtbot):
    both.host.corrected.layer.data[4:9, 4:9, 4:9] = 1
    both.host.corrected.compare()
    both.show_planes()
    drawn = [layer for mask in both.planes.over.masks() for layer in mask.layers]
    assert both.host.layers.mask not in drawn
    assert drawn and all(carrier_of(x).scan is both.active_case.scan for x in drawn)


def ctrl_z(viewer):
    viewer.keymap[next(key for key in viewer.keymap if str(key) == "Ctrl+Z")](viewer)


def test_undo_from_any_layer_is_of_the_mask_in_view_also_after_another_was_corrected(viewer, both, qtbot):
    dock = both
    loose = begin(qtbot, dock)
    loose.layer.data[2:4, 3:5, 4:6] = 1
    loose.compare()
    case = dock.host.corrected
    choose(qtbot, dock, dock.host.layers.scan)
    assert dock.active_case.corrected is case
    case.layer.data[4:9, 4:9, 4:9] = 1
    case.compare()
    ctrl_z(viewer)
    assert (case.corrections.undoable, loose.corrections.undoable) == (0, 1)
    choose(qtbot, dock, dock.segment.scans.layers()[0])
    assert dock.active_case.corrected is loose
    ctrl_z(viewer)
    assert loose.corrections.undoable == 0
    loose.layer.data[2:4, 3:5, 4:6] = 1
    loose.compare()
    dock.host.close_project()
    ctrl_z(viewer)
    assert loose.corrections.undoable == 0


def begin(qtbot, dock):
    dock.tabs.setCurrentIndex(2)
    press(qtbot, dock.correct.begin)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    return dock.active_case.corrected


def test_the_truth_of_another_scan_gives_no_figures(viewer, dock, first, qtbot):  # noqa: F811
    scan = dock.session.scan
    truth = Mask(make_prediction(scan).rendered.data, scan.grid)
    data, attributes, _ = mask_layer_data(truth, make_scan(stem="truth"), "truth")
    layer = viewer.add_labels(data, **attributes)
    box = dock.truth
    box.combo.setCurrentIndex(box.combo.findData(layer))
    assert box.combo.currentData() is layer
    add_scan(viewer, make_scan(stem="Berta", seed=1))
    run_through(qtbot, dock)
    assert not layer.visible
    assert box.combo.currentData() is not layer, "Berta's mask is measured against Anna's truth"
    choose(qtbot, dock, first)
    assert layer.visible and box.combo.findData(layer) >= 0


def again(viewer, dock, qtbot):
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(20)
    return add_dock(viewer, FakeEngine())


def test_labels_painted_on_one_scan_are_not_over_another_in_the_next_dock(viewer, dock, first, qtbot):  # noqa: F811
    viewer.layers.selection.active = first
    viewer._new_labels()
    painted = viewer.layers.selection.active
    assert isinstance(painted, Labels) and carrier_of(painted) is None
    add_scan(viewer, make_scan(stem="Berta", seed=1))
    assert not painted.visible
    dock = again(viewer, dock, qtbot)
    check_one_patient(viewer, dock)
    assert dock.segment.scans.layer.name == "Berta"
    assert not painted.visible
    choose(qtbot, dock, first)
    assert painted.visible


def test_results_on_a_scan_that_is_not_ours_are_seen_in_the_next_dock(viewer, dock, qtbot):
    rng = np.random.default_rng(0)
    image = viewer.add_image(rng.normal(100, 10, (16, 20, 24)).astype(np.float32), name="script")
    run_through(qtbot, dock)
    rendered = dock.comparison.shown.rendered
    dock = again(viewer, dock, qtbot)
    assert dock.segment.scans.layer is image
    assert rendered.visible
    rendered.visible = False
    rendered.visible = True
    qtbot.wait(50)
    assert rendered.visible, messages()


def test_another_array_of_a_script_is_another_scan(viewer, dock, qtbot):
    rng = np.random.default_rng(0)
    viewer.add_image(rng.normal(100, 10, (16, 20, 24)).astype(np.float32), name="Anna")
    run_through(qtbot, dock)
    second = viewer.add_image(rng.normal(100, 10, (16, 20, 24)).astype(np.float32), name="Berta")
    qtbot.wait(50)
    assert seen(viewer) == [second], [x.name for x in seen(viewer)]
    assert dock.segment.scans.layer is second


def test_the_result_in_view_stays_when_the_run_on_another_scan_ends(viewer, qtbot):
    engine = FakeEngine(steps=200, seconds=0.05)
    dock = add_dock(viewer, engine)
    first = add_scan(viewer, make_scan(stem="Anna"))  # noqa: F811
    engine.pace.set()
    run_through(qtbot, dock)
    engine.pace.clear()
    add_scan(viewer, make_scan(stem="Berta", seed=1))
    press(qtbot, dock.segment.run_bar.run)
    first.visible = True
    qtbot.waitUntil(lambda: dock.segment.scans.layer is first)
    settled(qtbot, dock)
    engine.pace.set()
    qtbot.waitUntil(lambda: not dock.session.running and not dock.segment.presenting, timeout=20000)
    qtbot.wait(50)
    check_one_patient(viewer, dock)
    assert dock.active_case.prediction is not None, "Anna's numbers, walk and sharpening are gone"
    assert dock.segment.results.isVisible() and dock.segment.results.caption.whole.startswith("Anna")
    assert dock.segment.to_save() is not None, "Save says that there is no mask"


def test_channels_of_a_result_come_back_with_it(viewer, qtbot):
    dock = add_dock(viewer, Listening())
    t1, flair, t2 = (add_scan(viewer, make_scan(stem=n, seed=k)) for k, n in enumerate(("t1", "flair", "t2")))
    choose(qtbot, dock, t1)
    dock.segment.model.setCurrentText("z-three")
    choose_channel(dock, "FLAIR", flair)
    choose_channel(dock, "T2", t2)
    run_through(qtbot, dock)
    others = dock.session.others_of(dock.session.scan)
    assert len(others) == 2
    choose(qtbot, dock, flair)
    dock.segment.model.setCurrentText("a-one")
    run_through(qtbot, dock)
    choose(qtbot, dock, t1)
    settled(qtbot, dock)
    assert dock.session.others_of(dock.session.scan) == others


def offered(dock):
    return {name: combo.currentData() for name, combo in dock.segment.channels.combos.items()}


def test_a_channel_chosen_for_one_patient_is_not_the_other_patient_s(viewer, qtbot):
    dock = add_dock(viewer, Listening())
    anna, water, plain = (add_scan(viewer, make_scan(stem=n, seed=k)) for k, n in enumerate(("Anna", "water", "plain")))
    choose(qtbot, dock, anna)
    dock.segment.model.setCurrentText("z-three")
    choose_channel(dock, "FLAIR", water)
    choose_channel(dock, "T2", plain)
    assert dock.session.blocked == ""
    berta = add_scan(viewer, make_scan(stem="Berta", seed=3))
    assert dock.segment.scans.layer is berta and offered(dock) == {"FLAIR": None, "T2": None}
    assert "“FLAIR”" in dock.session.blocked, "Berta would be segmented with Anna's channels"
    choose(qtbot, dock, anna)
    assert offered(dock) == {"FLAIR": water, "T2": plain} and dock.session.blocked == ""


def test_only_a_layer_that_is_called_as_the_scan_is_offered_as_its_channel(viewer, qtbot):
    dock = add_dock(viewer, Listening())
    names = ("A_FLAIR", "sub-01_flair", "sub-01_T2w", "B_T1", "sub-01_T1w", "A_T1")
    layers = {n: add_scan(viewer, make_scan(stem=n, seed=k)) for k, n in enumerate(names)}
    dock.segment.model.setCurrentText("z-three")
    for name, wanted in (("B_T1", (None, None)), ("A_T1", ("A_FLAIR", None)), ("sub-01_T1w", names[1:3])):
        choose(qtbot, dock, layers[name])
        flair, t2 = offered(dock).values()
        assert (flair, t2) == tuple(layers.get(n) for n in wanted), name


def test_channels_of_one_name_in_two_patients_folders_are_not_mixed(viewer, qtbot, tmp_path):
    dock = add_dock(viewer, Listening())
    data, layers = np.zeros((20, 24, 16), np.float32), {}
    for case, name in (("A", "FLAIR"), ("A", "T1"), ("B", "T1")):
        (tmp_path / case).mkdir(exist_ok=True)
        found = open_scan(write_nifti(tmp_path / case / f"{name}.nii.gz", data, affine_of("RAS")))
        layers[case, name] = add_scan(viewer, found)
    dock.segment.model.setCurrentText("z-three")
    choose(qtbot, dock, layers["B", "T1"])
    assert offered(dock)["FLAIR"] is None
    choose(qtbot, dock, layers["A", "T1"])
    assert offered(dock)["FLAIR"] is layers["A", "FLAIR"]


def test_a_result_that_arrives_while_another_s_layers_come_is_shown_after_it(viewer, dock, first, qtbot):  # noqa: F811
    berta = add_scan(viewer, make_scan(stem="Berta", seed=1))
    found = prepare_presentation(make_prediction(dock.session.scan), dock.session.scan)
    choose(qtbot, dock, first)
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: dock.segment.presenting, timeout=20000)
    choose_behind(dock, berta)
    dock.segment.show_kept(found, berta)
    qtbot.waitUntil(lambda: not dock.session.running and not dock.segment.presenting, timeout=20000)
    settled(qtbot, dock)
    check_one_patient(viewer, dock)
    assert dock.comparison.shown.scan is berta and dock.session.result is found.prediction
    choose(qtbot, dock, first)
    settled(qtbot, dock)
    check_one_patient(viewer, dock)
    assert dock.comparison.shown.scan is first, "the run that took minutes is gone"


def choose_behind(dock, layer):
    """As a case of a project does, while the person may not."""
    dock.segment.scans.choose(layer)


def test_an_edge_that_was_ready_as_the_scan_was_switched_lands_on_no_other_mask(viewer, both, engine, qtbot):
    dock = both
    begin(qtbot, dock)
    case = dock.host.corrected
    case.layer.data[0:2, 0:2, 0:2] = 1
    case.compare()
    before = np.array(case.corrections.mask)
    qtbot.waitUntil(lambda: not dock.sharpener.busy)
    engine.sharpening.clear()
    stroke(dock)
    qtbot.wait(50)
    thread = dock.sharpener.runner._thread
    engine.sharpening.set()
    thread.join(5)  # done; the window has not heard of it yet
    dock.segment.scans.choose(dock.host.layers.scan)
    assert dock.active_case.corrected is case
    qtbot.wait(100)
    np.testing.assert_array_equal(case.corrections.mask, before)


def test_a_copy_of_the_corrected_layer_is_not_saved_as_the_corrected_mask(viewer, dock, first, qtbot):  # noqa: F811
    corrected = begin(qtbot, dock)
    settled(qtbot, dock)
    viewer.layers.selection = {corrected.layer}
    _duplicate_layer(viewer.layers)
    copy = next(x for x in viewer.layers if x.name.startswith(corrected.layer.name) and x.source.parent is not None)
    viewer.layers.move(viewer.layers.index(copy), 0)
    corrected.layer.data[2:4, 3:5, 4:6] = 2
    corrected.compare()
    saved = dock.segment.to_save().corrected()
    np.testing.assert_array_equal(saved.data, corrected.corrections.mask)


def test_saving_says_nothing_false_where_the_corrected_layer_was_moved(viewer, dock, first, qtbot):  # noqa: F811
    begin(qtbot, dock).layer.translate = (1, 2, 3)
    press(qtbot, dock.correct.save.button)
    assert "no mask of this scan" not in dock.correct.save.saved.text()
    assert any("does not lie on its scan" in text for text in messages())


def test_a_picture_beside_a_volume_is_looked_at_where_it_lies(viewer, dock, qtbot):
    add_scan(viewer, make_scan(stem="Anna"))
    viewer.dims.set_point(0, 15.0)
    viewer.add_image(np.random.default_rng(0).normal(100, 10, (20, 24)).astype(np.float32), name="picture")
    assert dock.session.scan.is_picture
    run_through(qtbot, dock)
    rendered = dock.comparison.shown.rendered
    at = rendered.world_to_data(viewer.dims.point)
    assert -0.5 <= at[0] <= rendered.data.shape[0] - 0.5, "its masks lie on a slice that is not in view"


def test_closing_the_segment_tab_alone_leaves_the_title_of_the_dock(viewer, dock, first, qtbot):  # noqa: F811
    tab = SegmentTab(viewer, SegmentSession(FakeEngine()))
    viewer.window.add_dock_widget(tab, name="MORSE Segment")
    qtbot.wait(50)
    add_scan(viewer, make_scan(stem="Berta", seed=1))
    qtbot.wait(50)
    check_one_patient(viewer, dock)
    viewer.window.remove_dock_widget(tab)
    qtbot.wait(50)
    check_one_patient(viewer, dock)


def test_masks_of_a_closed_scan_are_seen_again_over_the_same_file_as_they_are_told_to(viewer, dock, first, qtbot):  # noqa: F811
    rendered = dock.comparison.shown.rendered
    add_scan(viewer, make_scan(stem="Berta", seed=1))
    viewer.layers.remove(first)
    anna = add_scan(viewer, make_scan(stem="Anna"))
    assert dock.segment.scans.layer is anna and not rendered.visible
    rendered.visible = True
    qtbot.wait(50)
    assert rendered.visible, messages()
    assert not first.visible or first not in viewer.layers


def test_correcting_begins_also_while_another_scan_s_is_being_read(viewer, dock, first, qtbot):  # noqa: F811
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    dock.tabs.setCurrentIndex(2)
    choose(qtbot, dock, first)
    press(qtbot, dock.correct.begin)
    dock.segment.scans.choose(second)
    press(qtbot, dock.correct.begin)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None, timeout=10000)
    assert dock.active_case.corrected.scan.stem == "Berta"
    check_one_patient(viewer, dock)


def test_nothing_is_saved_without_the_corrected_mask_that_is_being_read(viewer, dock, first, qtbot):  # noqa: F811
    dock.tabs.setCurrentIndex(2)
    press(qtbot, dock.correct.begin)
    assert dock.active_case.corrected is None
    press(qtbot, dock.correct.save.button)
    assert "is being read" in messages()[-1]
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    assert dock.segment.to_save().corrected is not None


def test_labels_of_four_axes_are_let_be(viewer, dock, first, qtbot):  # noqa: F811
    viewer.add_labels(np.zeros((2, 3, 4, 5), int), name="four")
    viewer.add_image(np.zeros((2, 3, 4, 5), np.float32), name="fourimage")
    qtbot.wait(50)
    check_one_patient(viewer, dock)


def test_a_mask_that_fits_several_scans_is_of_the_one_whose_name_it_has(viewer, dock, qtbot):
    anna, berta = make_scan(stem="Anna"), make_scan(stem="Berta", seed=1)
    a, b = add_scan(viewer, anna), add_scan(viewer, berta)
    truth = Mask(make_prediction(anna).rendered.data, anna.grid)
    data, attributes, _ = mask_layer_data(truth, replace(anna, stem="Anna_rendered"), "Anna_rendered")
    layer = viewer.add_labels(data, **attributes)
    assert dock.segment.scans.layer is b
    assert not layer.visible and "lies on several of the open scans" in messages()[-1]
    choose(qtbot, dock, a)
    assert layer.visible
