"""Cases can be told apart in the worklist, as the window opens it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_morse.session.project import Project, from_folders
from napari_morse.widgets.project.case_table import COLUMNS
from tests.fakes import FakeEngine
from tests.layer_cases import affine_of, write_nifti
from tests.widgets.conftest import add_dock
from tests.widgets.project.test_window import at
from tests.widgets.segment.test_dock_run import press

NAMES = {
    "numbers behind": [f"hippocampus_{n:03d}" for n in range(1, 7)],
    "numbers in the middle": [f"sub-{n:03d}_ses-01_T1w" for n in range(1, 7)],
    "long": [f"radboud_prostate_multicentre_study_2019_patient_{n:04d}_visit_{n % 2}_t2w_axial" for n in range(6)],
}
CASE, PATIENT, COMMENT = (
    next(n for n, x in enumerate(COLUMNS) if x[0] == name) for name in ("case", "patient", "comment")
)


def listed(viewer, qtbot, tmp_path, names):
    """The worklist of a project of these scans, opened from the case bar."""
    folder = tmp_path / "scans"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in names:
        write_nifti(folder / f"{name}.nii.gz", rng.normal(100, 10, (8, 10, 6)).astype(np.float32), affine_of("RAS"))
    found = from_folders(folder)
    project = Project.create(tmp_path / "study", found, name="study", reader="AB", holdout_share=0)
    dock = add_dock(viewer, FakeEngine())
    dock.ahead.set_enabled(False)
    dock.host.take(project)
    at(qtbot, dock, 1)
    press(qtbot, dock.case_bar.list)
    qtbot.wait(50)
    return dock, dock.worklist.table


def shown(table, column):
    """What is read in a column, as Qt writes it."""
    metrics, room = table.fontMetrics(), table.columnWidth(column) - 8
    texts = [COLUMNS[column][2](case) for case in table.model().cases]
    return [metrics.elidedText(text, table.textElideMode(), room) for text in texts], texts


@pytest.mark.parametrize("kind", NAMES)
def test_cases_and_patients_are_told_apart_at_the_width_that_the_dock_has(viewer, qtbot, tmp_path, kind):
    _, table = listed(viewer, qtbot, tmp_path, NAMES[kind])
    for column in (CASE, PATIENT):
        seen, whole = shown(table, column)
        assert len(set(seen)) == len(set(whole)), seen
        index = table.model().index(0, column)
        assert table.model().data(index, Qt.ItemDataRole.ToolTipRole) == whole[0]
    assert table.columnWidth(COMMENT) < 0.2 * table.viewport().width()
    assert table.columnViewportPosition(PATIENT) + table.columnWidth(PATIENT) <= table.viewport().width()


def test_a_comment_takes_what_it_needs_and_a_column_drawn_by_hand_stays(viewer, qtbot, tmp_path):
    dock, table = listed(viewer, qtbot, tmp_path, NAMES["numbers behind"])
    before = table.columnWidth(COMMENT)
    dock.host.try_to(lambda project: project.comment(project.cases()[0].id, "blurred at the tail, " * 4))
    dock.worklist.refresh()
    assert before < table.columnWidth(COMMENT) <= table.viewport().width() // 2
    header, edge = table.header, table.columnViewportPosition(CASE) + table.columnWidth(CASE) - 1
    middle = header.height() // 2
    drag = {"pos": QPoint(edge + 60, middle)}
    qtbot.mousePress(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(edge, middle))
    qtbot.mouseMove(header.viewport(), **drag)
    qtbot.mouseRelease(header.viewport(), Qt.MouseButton.LeftButton, **drag)
    drawn = table.columnWidth(CASE)
    assert drawn > edge + 40
    dock.host.set_status([table.model().cases[1].id], "in_review")
    table.resize(table.width() - 60, table.height())
    assert table.columnWidth(CASE) == drawn
