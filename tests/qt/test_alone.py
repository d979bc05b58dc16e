"""Parts of the dock in docks of their own, and keys as the person set them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_morse.widgets import shortcuts
from napari_morse.widgets.alone import CLOSED, CorrectAlone, PlanesAlone, ReviewAlone
from tests.fakes import FakeEngine, make_scan
from tests.qt.conftest import add_dock, add_scan
from tests.qt.test_result_box import run_through


@pytest.mark.parametrize("kind", [ReviewAlone, CorrectAlone, PlanesAlone])
def test_a_part_alone_shares_the_docks_work_and_survives_its_end(viewer, dock, qtbot, kind):
    widget = kind(viewer)
    around = viewer.window.add_dock_widget(widget, name="alone", area="right")
    qtbot.waitUntil(lambda: widget.part is not None)
    assert widget.part._desk is dock.desk
    viewer.window.remove_dock_widget(dock)
    assert widget.part is None and widget.note.text() == CLOSED
    viewer.window.remove_dock_widget(around)


def test_a_part_opens_the_dock_where_there_is_none(viewer, qtbot, monkeypatch):
    engine = FakeEngine()
    monkeypatch.setattr(
        viewer.window, "add_plugin_dock_widget", lambda plugin, name: (None, add_dock(viewer, engine)), raising=False
    )
    widget = ReviewAlone(viewer)
    viewer.window.add_dock_widget(widget, name="alone", area="right")
    qtbot.waitUntil(lambda: widget.part is not None)
    assert widget.note.text() == ""


def test_the_walk_goes_by_the_keys_that_were_set(viewer, qtbot, monkeypatch):
    keys = dict(shortcuts.DEFAULTS) | {"next": "Shift-U"}
    settings = {"napari-morse": SimpleNamespace(shortcuts=SimpleNamespace(**keys))}
    monkeypatch.setattr("napari.settings.get_plugin_settings", lambda: settings)
    dock = add_dock(viewer, FakeEngine())
    qtbot.waitUntil(lambda: dock.segment.device.count() == 3)
    dock.comparison.mode = "contour"
    add_scan(viewer, make_scan())
    run_through(qtbot, dock)
    assert dock.review.next.text() == "Next [Shift-U]"
    bound = {str(key): act for key, act in viewer.keymap.items()}
    assert "N" not in bound
    bound["Shift+U"](viewer)
    assert dock.walker.rank == 0


@pytest.mark.parametrize("wrong", [{"next": "J"}, {"next": "nonsense-key"}, {"accept": ""}])
def test_settings_that_are_no_keys_or_one_twice_give_the_usual_ones(monkeypatch, wrong):
    group = SimpleNamespace(**(dict(shortcuts.DEFAULTS) | wrong))
    monkeypatch.setattr(
        "napari.settings.get_plugin_settings", lambda: {"napari-morse": SimpleNamespace(shortcuts=group)}
    )
    assert shortcuts.chosen() == shortcuts.DEFAULTS
