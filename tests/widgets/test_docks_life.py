"""Every dock of ours: opened, closed, hidden, floated, in any order, by napari's own controls; then the end."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from functools import partial

import numpy as np
import pytest
from napari.utils.events import EmitterGroup
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, QPoint, Qt, Signal
from qtpy.QtGui import QOpenGLContext
from qtpy.QtWidgets import QApplication

from napari_morse.session.case.standalone import open_standalone
from napari_morse.session.project import Project, from_folders
from napari_morse.widgets.dock import NAME, MorseDock
from napari_morse.widgets.docks import DOCK_CLOSED, ReviewAlone
from tests.fakes import FakeEngine, make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.plugin_hands import CLOSE, FLOAT, HIDE, around, docks, menu_act, settle, title_bar
from tests.widgets.project.test_window import scans

PARTS = ("MORSE Segment", "MORSE Review", "MORSE Correct", "MORSE Learn", "MORSE Planes")
TIMES = 10
PLACES = [(x, y) for y in range(-100, 101, 50) for x in range(-120, 121, 60)]
"""Pixels from the middle of the canvas where strokes begin, none within reach of another."""


@pytest.fixture
def window(viewer, plugin, monkeypatch, qtbot):
    """A window with a scan; what goes wrong in it is an error of the test."""
    monkeypatch.setattr("napari_morse.session.run.segment.LocalEngine", FakeEngine)
    before = len(notification_manager.records)
    add_scan(viewer, make_scan())
    viewer.window.resize(980, 780)  # what is small is drawn quickly
    yield viewer
    told = [each.message for each in notification_manager.records[before:] if each.severity >= "warning"]
    assert not told


def choose(viewer, name):
    """Choose a dock in the Plugins menu: opens it, or hides or shows the open one."""
    menu_act(viewer, "Plugins", "MORSE", name).trigger()
    settle()


def opened(viewer, name):
    choose(viewer, name)
    return docks(viewer)[f"{name} (MORSE)"]


def morse(viewer, qtbot):
    """The MORSE dock, opened by the menu where it is not."""
    dock = MorseDock.of(viewer)
    if dock is None:
        opened(viewer, "MORSE")
        dock = MorseDock.of(viewer)
    qtbot.waitUntil(lambda: dock.segment.device.count() == 3)
    return dock


def press(button, qtbot):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle()


def turn_to(dock, name, qtbot):
    bar = dock.tabs.tabBar()
    (tab,) = (n for n in range(dock.tabs.count()) if dock.tabs.tabText(n) == name)
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(tab).center())


def begin(dock, qtbot):
    """Press “Start correcting”, and take the brush."""
    turn_to(dock, "Correct", qtbot)
    press(dock.correct.begin, qtbot)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    press(dock.correct.modes["paint"], qtbot)
    dock.correct.brush_size.setValue(1)
    return dock.active_case.corrected


def stroke(viewer, corrected, qtbot, place):
    """A press and a drag on the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    first = canvas.rect().center() + QPoint(*place)
    before = corrected.corrections.undoable
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=first)
    qtbot.mouseMove(canvas, first + QPoint(14, 6))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=first + QPoint(14, 6))
    qtbot.waitUntil(lambda: corrected.corrections.undoable > before)
    return corrected.corrections.undoable - before


def locks(folder):
    return list(folder.rglob("lock.json"))


def ties(viewer):
    """How much hangs on the viewer and its layers: callbacks by event, keys, what the mouse does, words."""
    layers = list(viewer.layers)
    things = (
        viewer, viewer.layers, viewer.layers.selection, viewer.dims, viewer.scene.camera, viewer.canvas,
        viewer.canvas.grid, viewer.canvas.overlays.scale_bar, *layers,
    )  # fmt: skip
    groups = [each.events for each in things if isinstance(each.events, EmitterGroup)]
    found = {(n, name): len(x.callbacks) for n, g in enumerate(groups) for name, x in g.emitters.items()}
    found |= {(n, "all"): len(group.callbacks) for n, group in enumerate(groups)}
    for n, each in enumerate((viewer, *layers)):
        mouse = each.mouse_drag_callbacks, each.mouse_move_callbacks, each.mouse_double_click_callbacks
        found[n, "mouse"] = tuple(map(len, mouse))
        found[n, "keys"] = sorted(map(str, each.keymap))
    app = QApplication.instance()
    found |= {"names": [x.name for x in layers], "words": sorted(viewer.canvas.overlays)}
    found["at the end"] = app.receivers(app.aboutToQuit)
    dock = MorseDock.of(viewer)
    for part in (dock, *dock.findChildren(QObject)) if dock is not None else ():
        signals = [name for name, kind in vars(type(part)).items() if isinstance(kind, Signal)]
        if type(part).__module__.startswith("napari_morse"):
            for name in signals:
                key = type(part).__name__, name
                found[key] = found.get(key, 0) + part.receivers(getattr(part, name))
    return found


def closed(around, qtbot):
    """Close it by its title bar; a weak reference to what was in it."""
    inside = weakref.ref(around.widget())
    title_bar(around, CLOSE, qtbot)
    return inside


def test_the_dock_ten_times_each_stroke_is_one_act_and_all_come_back(window, qtbot, tmp_path):
    gone, before, painted = [], None, None

    def correct(dock, strokes):
        corrected = begin(dock, qtbot)
        assert corrected.corrections.undoable == strokes and len(locks(tmp_path)) == 1
        assert painted is None or np.array_equal(corrected.layer.data, painted)
        press(dock.view_bar.planes, qtbot)
        gone.append(closed(around(dock.planes), qtbot))
        press(dock.view_bar.planes, qtbot)
        assert stroke(window, corrected, qtbot, PLACES[strokes]) == 1
        qtbot.waitUntil(lambda: dock.planes.panes[0].content is not None)
        gone.append(weakref.ref(dock.planes))
        return np.array(corrected.layer.data)

    for n in range(TIMES):
        if n % 2:
            opened(window, "MORSE")
        else:
            painted = correct(morse(window, qtbot), n // 2)
        gone.append(closed(docks(window)[NAME], qtbot))
        assert not docks(window) and not locks(tmp_path) and [layer.name for layer in window.layers] == ["case"]
        before = before or ties(window)  # napari keeps some of its own from the first time on
    assert ties(window) == before
    gc.collect()
    assert len(gone) == 2 * TIMES and not any(ref() for ref in gone)
    corrected = begin(morse(window, qtbot), qtbot)
    canvas = window.window._qt_viewer.canvas.native
    for n in range(TIMES // 2):
        assert corrected.corrections.undoable == TIMES // 2 - n
        qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not corrected.corrections.undoable and not corrected.layer.data.any()


def test_every_other_dock_leaves_nothing_behind(window, qtbot):
    dock = morse(window, qtbot)
    shows = {f"{name} (MORSE)": partial(choose, window, name) for name in PARTS}
    shows["MORSE Worklist"] = dock.show_worklist  # its button is there with a project
    gone = []
    for name, show in shows.items():
        before = None
        for _ in range(TIMES // 2):
            show()
            settle()
            gone.append(closed(docks(window)[name], qtbot))
            before = before or ties(window)
        assert ties(window) == before, name
    dock.worklist = None
    gc.collect()
    assert len(gone) == (1 + len(PARTS)) * (TIMES // 2) and not any(ref() for ref in gone)


def test_a_part_opens_the_dock_that_the_menu_knows_and_finds_the_next_one(window, qtbot):
    review = opened(window, "MORSE Review").widget()
    qtbot.waitUntil(lambda: review.part is not None)
    first = MorseDock.of(window)
    choose(window, "MORSE")
    assert MorseDock.of(window) is first and not around(first).isVisible(), "the menu hides the open one"
    choose(window, "MORSE")
    assert MorseDock.of(window) is first and around(first).isVisible()
    title_bar(around(first), CLOSE, qtbot)
    assert review.part is None and review.note.text() == DOCK_CLOSED
    second = morse(window, qtbot)
    qtbot.waitUntil(lambda: review.part is not None)
    assert review.part.walker is second.walker and not review.note.text()


def test_a_second_dock_under_another_name_takes_the_place_of_the_first(window, qtbot, tmp_path):
    _, first = window.window.add_plugin_dock_widget("napari-morse", "MORSE")
    begin(first, qtbot)
    second = opened(window, "MORSE").widget()
    assert MorseDock.of(window) is second and list(docks(window)) == [NAME]
    assert not locks(tmp_path)
    begin(second, qtbot)


def test_each_of_two_viewers_has_a_dock_of_its_own(window, qtbot, make_napari_viewer):
    other = make_napari_viewer(show=False)
    first, second = MorseDock.open(window), MorseDock.open(other)
    assert first is not second and MorseDock.open(window) is first and MorseDock.open(other) is second
    review = ReviewAlone(other)
    other.window.add_dock_widget(review)
    qtbot.waitUntil(lambda: review.part is not None)
    assert review.part.walker is second.walker
    other.window.remove_dock_widget(second)
    window.window.remove_dock_widget(first)
    assert review.part is None
    MorseDock.open(window)
    qtbot.wait(50)
    assert review.part is None and MorseDock.of(other) is None


def test_to_hide_a_dock_that_floats_is_not_its_end(window, qtbot, tmp_path):
    dock = morse(window, qtbot)
    begin(dock, qtbot)
    title_bar(around(dock), FLOAT, qtbot)
    assert around(dock).isFloating()
    title_bar(around(dock), HIDE, qtbot)
    qtbot.wait(50)
    assert not dock.isVisible() and dock.active_case.corrected is not None and len(locks(tmp_path)) == 1
    choose(window, "MORSE")
    assert dock.isVisible() and stroke(window, dock.active_case.corrected, qtbot, (0, 0)) == 1
    window.close()
    qtbot.waitUntil(lambda: not locks(tmp_path))


def test_a_part_that_cannot_be_closed_keeps_no_other_open(viewer, plugin, qtbot, monkeypatch, tmp_path):
    monkeypatch.setattr("napari_morse.session.run.segment.LocalEngine", FakeEngine)
    add_scan(viewer, make_scan())
    begin(morse(viewer, qtbot), qtbot)
    title_bar(docks(viewer)[NAME], CLOSE, qtbot)
    before = ties(viewer)
    dock = morse(viewer, qtbot)
    begin(dock, qtbot)
    press(dock.view_bar.planes, qtbot)
    asked = []

    def fails(name, close):
        def close_down():
            asked.append(name)
            close()
            raise RuntimeError(f"{name} does not close")

        return close_down

    names = ("surfaces", "truth", "measures", "tools", "wire", "learner", "walker", "active_case", "host", "segment")
    for name in names:
        part = getattr(dock, name)
        monkeypatch.setattr(part, "close_down", fails(name, part.close_down))
    monkeypatch.setattr(dock.active_case.corrected, "close_down", fails("layer", dock.active_case.corrected.close_down))
    with qtbot.captureExceptions() as caught:
        title_bar(around(dock), CLOSE, qtbot)
    assert [str(error) for _, error, _ in caught] == ["surfaces does not close"], "the first is told, once"
    assert sorted(asked) == sorted((*names, "layer"))
    assert not docks(viewer) and not locks(tmp_path) and ties(viewer) == before


def test_what_is_read_when_the_dock_is_closed_is_let_go(window, qtbot, tmp_path, monkeypatch):
    held, read = threading.Event(), threading.Event()

    def slow(*what):
        case = open_standalone(*what)
        read.set()
        held.wait(10)
        return case

    monkeypatch.setattr("napari_morse.widgets.case.standalone.open_standalone", slow)
    dock = morse(window, qtbot)
    dock.active_case.begin()
    assert read.wait(10) and len(locks(tmp_path)) == 1
    threading.Timer(0.2, held.set).start()
    title_bar(around(dock), CLOSE, qtbot)
    qtbot.waitUntil(lambda: not locks(tmp_path))
    monkeypatch.undo()
    monkeypatch.setattr("napari_morse.session.run.segment.LocalEngine", FakeEngine)


def test_what_has_been_read_when_the_program_ends_is_let_go(window, qtbot, tmp_path):
    dock = morse(window, qtbot)
    dock.active_case.begin()
    assert dock.active_case._standalone._loader.join(10) and len(locks(tmp_path)) == 1
    dock.stop_work()  # what the end of the program calls: nothing arrives any more
    assert not locks(tmp_path)
    qtbot.wait(50)
    assert dock.active_case.corrected is None


def test_a_project_is_given_back_with_the_dock_and_its_worklist_comes_again(window, qtbot, tmp_path):
    window.layers.clear()
    made = from_folders(scans(tmp_path / "scans"))
    Project.create(tmp_path / "study", made, name="study", reader="AB", holdout_share=0).close()
    for n in range(2):
        dock = morse(window, qtbot)
        dock.ahead.set_enabled(False)
        dock.host.take(Project.open(tmp_path / "study", reader="AB"))
        qtbot.waitUntil(lambda dock=dock: dock.host.corrected is not None, timeout=20000)
        for _ in range(2):
            press(dock.case_bar.list, qtbot)
            assert dock.worklist.isVisible() and dock.worklist.model.rowCount() == 3
            title_bar(around(dock.worklist), CLOSE, qtbot)
        press(dock.case_bar.list, qtbot)
        corrected = dock.host.corrected
        assert corrected.corrections.undoable == n
        window.layers.selection.active, corrected.layer.mode = corrected.layer, "paint"
        corrected.layer.brush_size = 1
        assert stroke(window, corrected, qtbot, (60 * n, 0)) == 1
        assert len(locks(tmp_path)) == 1
        title_bar(around(dock), CLOSE, qtbot)
        assert not docks(window) and not locks(tmp_path)


def test_planes_that_float_go_with_the_dock_and_the_scan_is_drawn_again(window, qtbot):
    learn = opened(window, "MORSE Learn").widget()
    qtbot.waitUntil(lambda: learn.part is not None)
    dock = MorseDock.of(window)
    begin(dock, qtbot)
    press(dock.view_bar.planes, qtbot)
    title_bar(around(dock.planes), FLOAT, qtbot)
    native, current = window.window._qt_viewer.canvas.native, []
    window.layers.events.removing.connect(
        lambda: current.append(QOpenGLContext.currentContext() is native.context()), position="last"
    )
    title_bar(around(dock), CLOSE, qtbot)
    assert current == [True], "else Mesa ends the program when the scan is drawn again"
    morse(window, qtbot)
    window.window.screenshot(flash=False)


class Walk:
    """Somebody who opens and closes docks as chance has it, and draws in between."""

    def __init__(self, viewer, qtbot, seed):
        self.viewer, self.qtbot, self.chance = viewer, qtbot, random.Random(seed)
        self.places = self.chance.sample(PLACES, len(PLACES))
        self.strokes = 0

    def go(self, steps):
        for _ in range(steps):
            act = self.chance.choice((self.menu,) * 3 + (self.close,) * 3 + (self.button, self.draw))
            act()

    def menu(self):
        name = self.chance.choice(("MORSE", *PARTS))
        choose(self.viewer, name)

    def close(self):
        seen = [each for each in docks(self.viewer).values() if each.isVisible()]
        if seen:
            dock, button = self.chance.choice(seen), self.chance.choice((CLOSE, CLOSE, CLOSE, HIDE, FLOAT))
            title_bar(dock, button, self.qtbot)

    def button(self):
        dock = MorseDock.of(self.viewer)
        if dock is not None and dock.isVisible():
            press(dock.view_bar.planes, self.qtbot)

    def draw(self):
        dock = MorseDock.of(self.viewer)
        if dock is None or not dock.isVisible() or not self.places:
            return
        corrected = dock.active_case.corrected or begin(dock, self.qtbot)
        corrected.layer.mode = "paint"
        self.viewer.layers.selection.active = corrected.layer
        place = self.places.pop()
        self.strokes += stroke(self.viewer, corrected, self.qtbot, place)


@pytest.mark.parametrize("seed", range(2))
def test_any_order(window, qtbot, tmp_path, seed):
    walk = Walk(window, qtbot, seed)
    walk.go(25)
    for each in docks(window).values():
        each.show()
    morse(window, qtbot)
    walk.draw()
    assert MorseDock.of(window).active_case.corrected.corrections.undoable == walk.strokes > 0
    window.close()
    qtbot.waitUntil(lambda: not locks(tmp_path))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("morse")]
