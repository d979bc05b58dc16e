"""Making a project and adding cases reads every scan: beside the window, with progress and Cancel."""

from __future__ import annotations

import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDialogButtonBox

from napari_morse.session.project import Project, from_folders
from napari_morse.session.project import twins as looked_at
from napari_morse.widgets.project.dialogs import AddCases, NewProject
from tests.fakes import FakeEngine
from tests.widgets.conftest import add_dock
from tests.widgets.project.test_more import messages

OK, CANCEL = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel


def scans(folder: Path, count: int, twin: bool = True) -> Path:
    folder.mkdir()
    for number in range(count):
        image = nib.Nifti1Image(np.random.default_rng(number).integers(0, 900, (9, 8, 7)).astype(np.int16), np.eye(4))
        nib.save(image, folder / f"c{number}.nii.gz")
    if twin:
        image = nib.load(folder / "c0.nii.gz")
        nib.save(nib.Nifti1Image(image.get_fdata(), image.affine), folder / "again.nii")
    return folder


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Reading a scan takes 400 ms; gives which ones were read."""
    read, real = [], looked_at.digest_of

    def digest(scan: Path) -> str:
        if scan not in read:
            time.sleep(0.4)
        read.append(scan)
        return real(scan)

    monkeypatch.setattr(looked_at, "digest_of", digest)
    return read


def press(qtbot, dialog, which) -> None:
    qtbot.mouseClick(dialog.buttons.button(which), Qt.MouseButton.LeftButton)


@pytest.fixture
def dialog(qtbot, tmp_path):
    dialog = NewProject()
    qtbot.addWidget(dialog)
    dialog.cases.setText(str(scans(tmp_path / "scans", 4)))
    dialog.folder.setText(str(tmp_path / "study"))
    dialog.reader.setText("AB")
    dialog.show()
    yield dialog
    if dialog.project is not None:
        dialog.project.close()


def test_scans_are_read_beside_the_window_which_says_how_far_it_is(qtbot, dialog, slowly, tmp_path):
    said, ticks = [], [time.monotonic()]
    timer = QTimer()
    timer.timeout.connect(lambda: (ticks.append(time.monotonic()), said.append(dialog.problem.text())))
    timer.start(10)
    press(qtbot, dialog, OK)  # comes back when the project is there
    timer.stop()
    assert dialog.result() == dialog.DialogCode.Accepted and len(dialog.project.cases()) == 5
    assert "Reading the scans: 2 of 5." in said and len(ticks) > 20
    assert np.diff(ticks).max() < 0.35, "the window waited for a scan"
    sides = {case.stem: case.held_out for case in dialog.project.cases()}
    assert sides["c0"] == sides["again"]
    assert any("“again.nii” and “c0.nii.gz” are the same scan under two names" in text for text in messages())


def test_cancel_ends_the_reading_and_makes_nothing(qtbot, dialog, slowly, tmp_path):
    QTimer.singleShot(500, lambda: press(qtbot, dialog, CANCEL))
    press(qtbot, dialog, OK)
    assert dialog.result() == dialog.DialogCode.Rejected and dialog.project is None and not dialog.isVisible()
    assert len(set(slowly)) < 5 and not (tmp_path / "study").exists() and not dialog.runner.busy


def test_while_scans_are_read_nothing_else_can_be_asked_for(qtbot, dialog, slowly):
    seen = []
    look = lambda: seen.append((dialog.cases.isEnabled(), dialog.buttons.button(OK).isEnabled(), dialog.make()))  # noqa: E731
    QTimer.singleShot(500, look)
    press(qtbot, dialog, OK)
    assert seen == [(False, False, None)] and dialog.cases.isEnabled()


def test_what_cannot_be_made_is_said_before_anything_is_read(qtbot, dialog, slowly, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.txt").write_text("x")
    press(qtbot, dialog, OK)
    assert "not empty" in dialog.problem.text() and not slowly and dialog.isVisible() and dialog.cases.isEnabled()


def test_added_scans_and_those_of_an_older_version_are_read_beside_the_window(viewer, qtbot, tmp_path, slowly):
    with Project.create(tmp_path / "study", from_folders(scans(tmp_path / "in", 4, False)), name="s", reader="AB",
                        holdout_share=0.5) as made:  # fmt: skip
        made._connection.execute("DELETE FROM state WHERE name LIKE 'voxels:%'")
    slowly.clear()
    dock = add_dock(viewer, FakeEngine())
    dock.ahead.set_enabled(False)
    project = Project.open(tmp_path / "study", reader="AB")
    dock.host.take(project)
    qtbot.waitUntil(lambda: dock.host.work is not None, timeout=20000)
    dialog = AddCases(project, dock)
    qtbot.addWidget(dialog)
    dialog.cases.setText(str(scans(tmp_path / "more", 3, False)))
    dialog.show()
    ticks = [time.monotonic()]
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start(10)
    press(qtbot, dialog, OK)
    timer.stop()
    assert len(dialog.added) == 3 and {p.parent.name for p in slowly} == {"in", "more"}
    assert np.diff(ticks).max() < 0.35, "the window waited for a scan"
    sides: dict[str, set[bool]] = {}
    for case in project.cases():
        sides.setdefault(case.stem, set()).add(case.held_out)
    assert all(len(side) == 1 for side in sides.values())
    assert any("3 cases were added" in text and "same scan under two names" in text for text in messages())
