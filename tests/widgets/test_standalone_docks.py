"""Parts of the dock in docks of their own."""

from __future__ import annotations

import pytest

from napari_morse.widgets.docks import DOCK_CLOSED, CorrectAlone, PlanesAlone, ReviewAlone
from tests.fakes import FakeEngine


@pytest.mark.parametrize("kind", [ReviewAlone, CorrectAlone, PlanesAlone])
def test_a_part_alone_shares_the_docks_work_and_survives_its_end(viewer, dock, qtbot, kind):
    widget = kind(viewer)
    around = viewer.window.add_dock_widget(widget, name="alone", area="right")
    qtbot.waitUntil(lambda: widget.part is not None)
    assert widget.part._active_case is dock.active_case
    viewer.window.remove_dock_widget(dock)
    assert widget.part is None and widget.note.text() == DOCK_CLOSED
    viewer.window.remove_dock_widget(around)


def test_a_part_opens_the_dock_where_there_is_none(viewer, qtbot, monkeypatch):
    monkeypatch.setattr("napari_morse.session.run.segment.LocalEngine", FakeEngine)
    widget = ReviewAlone(viewer)
    viewer.window.add_dock_widget(widget, name="alone", area="right")
    qtbot.waitUntil(lambda: widget.part is not None)
    assert widget.note.text() == ""
