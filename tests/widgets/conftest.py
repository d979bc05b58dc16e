"""A real napari window for each test, and nothing of it left afterwards."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest
from napari.utils._proxies import PublicOnlyProxy
from npe2 import PluginManifest
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_morse.session import SegmentSession
from napari_morse.widgets.bridge import scan_layer_data
from napari_morse.widgets.dock import MorseDock
from tests.fakes import FakeEngine, make_scan


@pytest.fixture(autouse=True)
def nothing_left(request):
    """Fail when a thread or a top-level widget outlives its test."""
    QApplication.instance() or request.getfixturevalue("qapp")
    threads = set(threading.enumerate())
    widgets = set(map(id, QApplication.topLevelWidgets()))
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    gc.collect()
    left = [t.name for t in threading.enumerate() if t not in threads]
    assert not left, f"threads left: {left}"
    stay = [w for w in QApplication.topLevelWidgets() if id(w) not in widgets and "morse" in type(w).__module__]
    assert not stay, f"widgets left: {stay}"


@pytest.fixture(autouse=True)
def loose_corrections(tmp_path, monkeypatch):
    """Corrections of scans outside of a project go into the test's own folder."""
    monkeypatch.setenv("NAPARI_MORSE_CORRECTIONS", str(tmp_path / "loose"))


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def viewer(nothing_left, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1240, 860)
    return viewer


@pytest.fixture
def dock(viewer, engine, qtbot):
    dock = add_dock(viewer, engine)
    qtbot.waitUntil(lambda: dock.segment.device.count() == 3)
    return dock


@pytest.fixture
def scan():
    return make_scan()


def add_dock(viewer, engine):
    """The dock as napari adds it: with a proxy of the viewer."""
    widget = MorseDock(PublicOnlyProxy(viewer), SegmentSession(engine))
    viewer.window.add_dock_widget(widget, name="MORSE", area="right")
    return widget


def add_scan(viewer, scan):
    data, attributes, _ = scan_layer_data(scan)
    return viewer.add_image(data, **attributes)


@pytest.fixture
def plugin(npe2pm):
    """The plugin as its manifest says."""
    npe2pm.register(PluginManifest.from_file(Path(__file__).parents[2] / "napari.yaml"))
