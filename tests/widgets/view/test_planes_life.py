"""The three planes from their first scan to the end of their dock."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Qt

from napari_morse.types import Roi
from napari_morse.widgets.view.planes import Planes
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.hands import begin, oblique_scan
from tests.widgets.plane_hands import settled


def test_a_picture_has_one_plane_and_the_next_scan_three(viewer, dock, qtbot):
    add_scan(viewer, make_scan((20, 24, 1)))
    dock.show_planes()
    planes = dock.planes
    qtbot.waitUntil(lambda: "single slice" in planes.note.text())
    assert [not pane.isHidden() for pane in planes.panes] == [True, False, False]
    pane = planes.panes[0]
    down, right = pane.shown.frame.pixel(4, 8)
    qtbot.mouseClick(pane, Qt.MouseButton.LeftButton, pos=QPoint(round(right), round(down)))
    assert planes.voxel == (0, 4, 8)
    add_scan(viewer, make_scan(stem="next"))
    dock.segment.scans.combo.setCurrentIndex(1)
    qtbot.waitUntil(lambda: not planes.note.text())
    assert not any(pane.isHidden() for pane in planes.panes)


def test_without_a_scan_it_says_so(viewer, dock, qtbot):
    dock.show_planes()
    assert "Open a scan" in dock.planes.note.text()
    scan, _ = oblique_scan()
    begin(viewer, dock, scan, qtbot)
    qtbot.waitUntil(lambda: dock.planes.panes[0].content is not None)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: "Open a scan" in dock.planes.note.text())
    assert all(pane.content is None for pane in dock.planes.panes) and not dock.planes.legend.entries


def test_closed_it_leaves_nothing_behind(viewer, dock, qtbot):
    scan, _ = oblique_scan()
    corrected = begin(viewer, dock, scan, qtbot)
    dims, layers, layer = viewer.dims.events, viewer.layers.events, viewer.layers[0].events
    events = (
        dims.point, dims.order, dims.ndisplay, layers.inserted, layers.removed, layer.contrast_limits,
        layer.gamma, layer.colormap, corrected.layer.events.colormap, corrected.layer.events.show_selected_label,
    )  # fmt: skip

    def ties():
        active_case = dock.active_case
        signals = [
            active_case.receivers(signal) for signal in (active_case.changed, active_case.acted, active_case.redrawn)
        ]
        return [len(event.callbacks) for event in events], signals

    before = ties()
    dock.show_planes()
    planes = dock.planes
    settled(planes, qtbot)
    assert all(n > m for n, m in zip(ties()[0], before[0], strict=True))
    viewer.window.remove_dock_widget(planes)
    planes.frame(Roi((0, 0, 0), (4, 4, 4)))
    planes.refresh()
    assert ties() == before
    alone = Planes(dock.active_case)
    qtbot.addWidget(alone)
    alone.show()
    settled(alone, qtbot)
    alone.close_down()  # while it is in view
    alone.frame(None)
    qtbot.wait(20)
    assert ties() == before and alone.panes[0].content is None
