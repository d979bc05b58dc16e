"""What is painted is what is seen: the corrected mask is the fill, the model's masks are lines in other colours."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from scipy.ndimage import distance_transform_edt

from napari_morse.widgets.bridge import PALETTE, carrier_of
from napari_morse.widgets.bridge.mask_looks import LINE_COLOURS, SHORT, titles, wrapped
from napari_morse.widgets.view.twins import is_twin
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.hands import Mouse
from tests.widgets.segment.test_dock_run import press, run_through


def settled(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.comparison.settling, timeout=20000)


@pytest.fixture
def begun(viewer, dock, qtbot):
    """A result in two cells, and a correction begun with the button."""
    scan = make_scan()
    add_scan(viewer, scan)
    run_through(qtbot, dock)
    dock.tabs.setCurrentIndex(2)
    press(qtbot, dock.correct.begin)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    settled(qtbot, dock)
    dock.sharpener.enabled = False
    return dock.active_case.corrected


def take(qtbot, dock, mode, size=3):
    press(qtbot, dock.correct.modes[mode])
    assert str(dock.active_case.corrected.layer.mode) == mode
    dock.active_case.corrected.layer.brush_size = size


def inside(layer):
    """A display voxel as far inside a structure as there is one: not under the line around it."""
    deep = distance_transform_edt(np.asarray(layer.data) == 1)
    return np.array(np.unravel_index(int(deep.argmax()), deep.shape))


def colours(mask):
    return {tuple(np.round(mask.get_color(int(i))[:3], 2)) for i in np.unique(mask.data) if i}


def pixel(viewer, layer, voxel):
    """What the canvas shows at a display voxel of a layer, in the cell that the layer is drawn in."""
    canvas = viewer.window._qt_viewer.canvas
    node = canvas.layer_to_visual[layer].node
    rows, columns = viewer.dims.displayed
    x, y = node.get_transform("visual", "canvas").map((voxel[columns] + 0.5, voxel[rows] + 0.5))[:2]
    picture = viewer.screenshot(canvas_only=True, flash=False)
    scale = picture.shape[1] / canvas.native.width()
    return picture[round(float(y) * scale), round(float(x) * scale), :3].astype(int)


class Brush(Mouse):
    """A mouse whose events also reach the layer, as the canvas passes them on."""

    def press(self, voxel):
        for target in (self.viewer, self.layer):
            mouse_press_callbacks(target, self.event("mouse_press", voxel))

    def move(self, voxel):
        for target in (self.viewer, self.layer):
            mouse_move_callbacks(target, self.event("mouse_move", voxel, dragging=True))

    def release(self, voxel):
        for target in (self.viewer, self.layer):
            mouse_release_callbacks(target, self.event("mouse_release", voxel))


def check_fill(dock, corrected, shown):
    assert corrected.layer.contour == 0 and shown.coarse.contour == shown.rendered.contour == 1
    white, cyan = (tuple(np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255) for c, _ in LINE_COLOURS.values())
    assert colours(shown.coarse) == {white} and colours(shown.rendered) == {cyan}
    assert not colours(corrected.layer) & {white, cyan}


def test_nothing_changes_before_the_first_stroke(dock, begun, qtbot):
    shown = dock.comparison.shown
    assert (begun.layer.contour, shown.coarse.contour, shown.rendered.contour) == (1, 0, 0)
    own = colours(shown.rendered)
    take(qtbot, dock, "erase")
    assert (begun.layer.contour, colours(shown.rendered)) == (1, own)
    assert len(own) == 2 and dock.comparison.titles.text[0].startswith("coarse\n")


@pytest.mark.parametrize("mode", ["side", "contour"])
def test_the_eraser_is_seen_under_the_cursor_in_every_cell(viewer, dock, begun, mode, qtbot):
    dock.view_bar.modes[mode].click()
    settled(qtbot, dock)
    shown = dock.comparison.shown
    take(qtbot, dock, "erase")
    voxel = inside(begun.layer)
    viewer.dims.set_point(0, float(begun.layer.data_to_world(voxel)[0]))
    shown.points.visible = False
    twins = [x for x in viewer.layers if is_twin(x) and carrier_of(x).role == "corrected"]
    assert len(twins) == (mode == "side")
    before = [pixel(viewer, layer, voxel) for layer in (begun.layer, *twins)]
    mouse = Brush(viewer, begun.layer)
    mouse.press(voxel)
    mouse.release(voxel)
    qtbot.waitUntil(lambda: begun.corrections.undoable == 1)
    assert begun.layer.data[tuple(voxel)] == 0
    check_fill(dock, begun, shown)
    settled(qtbot, dock)
    qtbot.wait(100)
    for layer, was in zip((begun.layer, *twins), before, strict=True):
        now = pixel(viewer, layer, voxel)
        assert np.abs(now - was).max() > 40, (was, now)
        assert np.ptp(now) < 12, "where all is erased the scan's own grey is seen"


def test_the_look_changes_as_the_button_goes_down_not_when_it_is_let_go(viewer, dock, begun, qtbot):
    take(qtbot, dock, "erase")
    voxel = inside(begun.layer)
    viewer.dims.set_point(0, float(begun.layer.data_to_world(voxel)[0]))
    mouse = Brush(viewer, begun.layer)
    mouse.press(voxel)
    check_fill(dock, begun, dock.comparison.shown)
    mouse.move(voxel + np.array([0, 1, 0]))
    mouse.release(voxel)
    check_fill(dock, begun, dock.comparison.shown)
    qtbot.waitUntil(lambda: begun.corrections.undoable == 1)


def test_titles_say_which_line_is_which_and_colours_come_back_with_the_end_of_the_correction(
    viewer, dock, begun, qtbot
):
    shown = dock.comparison.shown
    own = colours(shown.rendered)
    begun.layer.data[tuple(inside(begun.layer))] = 0
    begun.compare()
    settled(qtbot, dock)
    check_fill(dock, begun, shown)
    assert dock.comparison.titles.text == (
        "white: coarse\nfill: corrected\ncase",
        "cyan: rendered\nfill: corrected\ncase",
    )
    dock.view_bar.contour.click()
    settled(qtbot, dock)
    check_fill(dock, begun, shown)
    assert dock.comparison.titles.text == ("fill: corrected\ncase", "white: coarse\ncyan: rendered")
    dock.view_bar.modes["difference"].click()
    qtbot.waitUntil(lambda: dock.comparison.differences.shown.there, timeout=10000)
    assert begun.layer.contour == 1, "the difference is seen, and would be hidden by a fill"
    dock.view_bar.side.click()
    settled(qtbot, dock)
    viewer.layers.remove(begun.layer)
    qtbot.waitUntil(lambda: dock.active_case.corrected is None)
    settled(qtbot, dock)
    assert (shown.coarse.contour, shown.rendered.contour) == (0, 0) and colours(shown.rendered) == own


def test_no_line_has_the_colour_of_a_structure():
    assert not {colour for colour, _ in LINE_COLOURS.values()} & {*PALETTE, "#bbbbbb", "#ff00ff"}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("case", ["case"]),
        ("colin27_left_hippocampus", ["colin27_left_", "hippocampus"]),
        ("sub-CON-01_ses-1_T1w", ["sub-CON-01_ses-", "1_T1w"]),
        ("abcdefghijklmnopqrst", ["abcdefghijklmno", "pqrst"]),
        ("", []),
    ],
)
def test_a_title_names_the_whole_scan_in_lines_that_leave_the_letter_free(name, lines):
    assert wrapped(name, SHORT).split("\n") == (lines or [""])
    left, right = titles("side", ("coarse", "rendered"), name, filled=True, difference=("", ""))
    assert all(len(line) <= SHORT for line in (*left.split("\n"), *right.split("\n")))
    long = wrapped("x" * 300, SHORT)
    assert len(long.replace("\n", "")) <= 3 * SHORT and "…" in long
