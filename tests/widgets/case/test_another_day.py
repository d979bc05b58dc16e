"""What was corrected before is there: on another day, in the next dock, and while another scan is corrected."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_morse.io import open_mask, open_scan
from napari_morse.session.case.standalone import open_standalone
from napari_morse.widgets.case import save_box
from napari_morse.widgets.view.twins import is_twin
from tests.fakes import FakeEngine, make_scan
from tests.layer_cases import affine_of, write_nifti
from tests.widgets.case.test_corrected_looks import check_fill
from tests.widgets.case.test_one_patient import again, begin
from tests.widgets.case.test_saving import save
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.segment.test_dock_run import messages, run_through
from tests.widgets.view.test_stage import check_one_patient, choose, settled

BOX = np.s_[2:4, 3:7, 5:6]


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(save_box, "_LAST", [])


def file(folder, stem="case", seed=0):
    data = np.random.default_rng(seed).normal(100, 10, (20, 24, 16)).astype(np.float32)
    folder.mkdir(exist_ok=True)
    return write_nifti(folder / f"{stem}.nii.gz", data, affine_of("PIR", angle=17.0))


def paint(corrected, box=BOX):
    corrected.layer.data[box] = 2
    corrected.compare()
    return np.array(corrected.corrections.mask)


def day(viewer, qtbot, path):
    """A new program: another dock, and the file opened again."""
    viewer.layers.clear()
    dock = add_dock(viewer, FakeEngine())
    add_scan(viewer, open_scan(path))
    return dock


@pytest.fixture
def yesterday(viewer, dock, qtbot, tmp_path):
    """The file of a scan that was corrected, and the mask."""
    path = file(tmp_path / "scans")
    add_scan(viewer, open_scan(path))
    run_through(qtbot, dock)
    mask = paint(begin(qtbot, dock))
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(20)
    return path, mask


def test_corrections_of_another_day_are_there_when_the_scan_is_opened(viewer, yesterday, qtbot):
    (path, mask), said = yesterday, len(messages())
    dock = day(viewer, qtbot, path)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None, timeout=10000)
    np.testing.assert_array_equal(dock.active_case.corrected.corrections.mask, mask)
    assert any("earlier corrections" in text for text in messages()[said:])


def test_they_are_saved_though_nobody_asked_to_go_on_with_them(viewer, yesterday, qtbot, tmp_path, monkeypatch):
    path, mask = yesterday
    dock = day(viewer, qtbot, path)
    run_through(qtbot, dock)
    qtbot.waitUntil(lambda: not dock.active_case.coming, timeout=10000)
    save(qtbot, dock.segment.results.save, tmp_path / "out", monkeypatch)
    np.testing.assert_array_equal(open_mask(tmp_path / "out" / "case_corrected.nii.gz").data, mask)


def test_where_another_window_has_them_saving_says_that_they_are_left_out(
    viewer, yesterday, qtbot, tmp_path, monkeypatch
):
    (path, mask), said = yesterday, len(messages())
    other = open_standalone(open_scan(path), None)
    dock = day(viewer, qtbot, path)
    qtbot.waitUntil(lambda: any("another window" in text for text in messages()[said:]), timeout=10000)
    run_through(qtbot, dock)
    box = dock.segment.results.save
    save(qtbot, box, tmp_path / "out", monkeypatch)
    assert "not among them" in box.saved.text() and not (tmp_path / "out" / "case_corrected.nii.gz").exists()
    other.close()
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None, timeout=10000)
    save(qtbot, box, tmp_path / "again", monkeypatch)
    assert "not among them" not in box.saved.text()
    np.testing.assert_array_equal(open_mask(tmp_path / "again" / "case_corrected.nii.gz").data, mask)


def test_nothing_is_saved_before_it_is_known_whether_there_are_some(viewer, yesterday, qtbot):
    dock = day(viewer, qtbot, yesterday[0])
    assert dock.active_case.coming, "Save would write the model's masks without a word"


def test_a_scan_that_nobody_corrected_begins_nothing_by_itself(viewer, yesterday, qtbot, tmp_path):
    dock = day(viewer, qtbot, file(tmp_path / "scans", "other", seed=1))
    qtbot.waitUntil(lambda: not dock.active_case.coming, timeout=10000)
    qtbot.wait(100)
    assert dock.active_case.corrected is None and not dock.active_case._standalone.layers


def test_corrections_that_the_person_takes_away_stay_away(viewer, yesterday, qtbot):
    dock = day(viewer, qtbot, yesterday[0])
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None, timeout=10000)
    viewer.layers.remove(dock.active_case.corrected.layer)
    qtbot.waitUntil(lambda: dock.active_case.corrected is None)
    qtbot.wait(100)
    assert dock.active_case.corrected is None and not dock.active_case.coming


def test_the_same_file_opened_twice_has_one_correction(viewer, dock, qtbot, tmp_path):
    path, said = file(tmp_path / "scans"), len(messages())
    add_scan(viewer, open_scan(path))
    mask = paint(begin(qtbot, dock))
    second = add_scan(viewer, open_scan(path))
    assert dock.segment.scans.layer is second
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None, timeout=10000)
    np.testing.assert_array_equal(dock.active_case.corrected.corrections.mask, mask)
    assert len(dock.active_case._standalone.layers) == 1 and not any(
        "another window" in text for text in messages()[said:]
    )


def test_the_eraser_is_seen_in_the_next_dock_too(viewer, dock, qtbot):
    add_scan(viewer, make_scan(stem="Anna"))
    run_through(qtbot, dock)
    paint(begin(qtbot, dock))
    rows, scan = dock.segment.results.table.rowCount(), dock.segment.scans.layer
    dock = again(viewer, dock, qtbot)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None, timeout=10000)
    settled(qtbot, dock)
    shown = dock.comparison.shown
    assert (
        shown.scan is scan and dock.segment.results.table.rowCount() == rows and dock.active_case.prediction is not None
    )
    inside = tuple(np.argwhere(np.asarray(dock.active_case.corrected.layer.data) == 1)[0])
    dock.active_case.corrected.layer.data[inside] = 0
    dock.active_case.corrected.compare()
    check_fill(dock, dock.active_case.corrected, shown)
    masks = [x for x in viewer.layers if isinstance(x, Labels) and x.visible and not is_twin(x)]
    assert sum(x.contour == 0 for x in masks) == 1, "another mask's fill lies over what is erased"
    assert dock.segment.to_save() is not None


def test_what_was_found_in_a_viewer_that_is_gone_is_given_to_nobody(viewer, dock, qtbot, make_napari_viewer):
    from napari_morse.widgets.segment import shown_result

    add_scan(viewer, make_scan(stem="Anna"))
    run_through(qtbot, dock)
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(20)
    assert len(shown_result._left) == 1
    viewer.layers.clear()
    dock = add_dock(viewer, FakeEngine())
    assert not shown_result._left and not dock.segment._shown._results and dock.active_case.prediction is None


def test_the_corrected_mask_of_each_scan_stays_in_the_layer_list(viewer, dock, qtbot):
    first = add_scan(viewer, make_scan(stem="Anna"))
    run_through(qtbot, dock)
    anna = begin(qtbot, dock)
    mask = paint(anna)
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    berta = begin(qtbot, dock)
    paint(berta, np.s_[8:10, 3:7, 5:6])
    check_one_patient(viewer, dock)
    names = [layer.name for layer in viewer.layers]
    assert "Anna_corrected" in names and "Berta_corrected" in names, "Save All Layers would leave one out"
    assert not anna.layer.visible and berta.layer.visible
    np.testing.assert_array_equal(anna.corrections.mask, mask)
    choose(qtbot, dock, first)
    check_one_patient(viewer, dock)
    assert dock.active_case.corrected is anna and anna.layer.visible and not berta.layer.visible
    keymap = {str(key): call for key, call in viewer.keymap.items()}
    keymap["Ctrl+Z"](viewer)
    assert anna.corrections.redoable == 1 and not np.array_equal(anna.corrections.mask, mask)
    assert berta.corrections.undoable == 1, "Ctrl+Z takes the other patient's stroke back"
    viewer.layers.remove(second)
    qtbot.waitUntil(lambda: berta.layer not in viewer.layers)
    assert dock.active_case.corrected is anna


def test_what_is_said_of_saving_is_not_said_of_the_next_scan(viewer, dock, qtbot, tmp_path, monkeypatch):
    add_scan(viewer, make_scan(stem="Anna"))
    dock.correct.save.button.click()
    assert "no mask of this scan yet" in dock.correct.save.saved.text()
    begin(qtbot, dock)
    assert dock.correct.save.saved.text() == ""
    save(qtbot, dock.correct.save, tmp_path / "out", monkeypatch)
    assert dock.correct.save.saved.text().startswith("Saved Anna_corrected")
    add_scan(viewer, make_scan(stem="Berta", seed=1))
    assert dock.correct.save.saved.text() == ""
