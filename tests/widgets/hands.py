"""A scan under work without a model, and a mouse that presses where it is told."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_double_click_callbacks,
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_morse.types import Grid, Scan
from napari_morse.widgets.bridge import display_axes
from tests.widgets.conftest import add_scan

LEFT, RIGHT, NO_BUTTON = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.NoButton


def oblique_scan(shape=(30, 26, 22), seed=0):
    """Axes in another order than the viewer's, two of them backwards, no voxel side like another; a bright ball."""
    affine = np.zeros((4, 4))
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = -1.0, 1.5, 2.0, 1.0  # I to P, J to S, K to R
    affine[:3, 3] = (-7.0, 11.0, 3.0)
    mm = affine[:3, :3] @ np.indices(shape).reshape(3, -1) + affine[:3, 3:]
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    far = np.linalg.norm(mm - middle[:, None], axis=0).reshape(shape)
    data = 100.0 * (far < 9) + np.random.default_rng(seed).normal(0, 4, shape)
    return Scan(data.astype(np.float32), Grid(shape, affine), "oblique"), far


def begin(viewer, dock, scan, qtbot):
    """Open a scan and begin to correct it, from nothing."""
    add_scan(viewer, scan)
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    dock.active_case.label = 1
    return dock.active_case.corrected


class Mouse:
    """Presses at display voxels of a layer; the events are napari's own, without the canvas."""

    def __init__(self, viewer, layer):
        self.viewer, self.layer = viewer, layer

    def event(self, kind, voxel, dragging=False):
        position = tuple(float(x) for x in self.layer.data_to_world(voxel))
        return ReadOnlyWrapper(
            SimpleNamespace(
                type=kind, position=position, button=1, camera_zoom=4.0, handled=False, modifiers=(),
                is_dragging=dragging,
            ),
            exceptions=("handled",),
        )  # fmt: skip

    def move(self, voxel):
        mouse_move_callbacks(self.viewer, self.event("mouse_move", voxel))

    def click(self, voxel):
        mouse_press_callbacks(self.viewer, self.event("mouse_press", voxel))
        mouse_release_callbacks(self.viewer, self.event("mouse_release", voxel))

    def double(self, voxel):
        self.click(voxel)
        mouse_double_click_callbacks(self.viewer, self.event("mouse_double_click", voxel))

    def drag(self, first, last):
        mouse_press_callbacks(self.viewer, self.event("mouse_press", first))
        mouse_move_callbacks(self.viewer, self.event("mouse_move", last, dragging=True))
        mouse_release_callbacks(self.viewer, self.event("mouse_release", last))


class CanvasMouse:
    """Qt's mouse on the canvas, at world places in the plane in view."""

    def __init__(self, viewer):
        self.viewer, self.canvas = viewer, viewer.window._qt_viewer.canvas

    def pixel(self, world):
        """Of the canvas, by napari's own way from pixels to world."""
        corners = [self.canvas._map_canvas2world(xy, self.canvas.view) for xy in ((0, 0), (100, 0), (0, 100))]
        shown = list(self.viewer.dims.displayed)
        origin, across, down = (np.array(corner)[shown] for corner in corners)
        steps = np.stack([across - origin, down - origin], axis=1) / 100
        x, y = np.linalg.solve(steps, np.asarray(world, float)[shown] - origin)
        return QPointF(float(x), float(y))

    def send(self, kind, world, button=NO_BUTTON, held=NO_BUTTON):
        where, native = self.pixel(world), self.canvas.native
        at = native.mapToGlobal(where)
        QApplication.sendEvent(native, QMouseEvent(kind, where, at, button, held, Qt.KeyboardModifier.NoModifier))

    def move(self, world, held=NO_BUTTON):
        self.send(QEvent.Type.MouseMove, world, NO_BUTTON, held)
        QTest.qWait(12)  # vispy leaves out moves that follow each other within 10 ms, napari takes them up later

    def press(self, world, button=LEFT):
        self.send(QEvent.Type.MouseButtonPress, world, button, button)

    def release(self, world, button=LEFT):
        self.send(QEvent.Type.MouseButtonRelease, world, button)

    def click(self, world, button=LEFT):
        self.move(world)
        self.press(world, button)
        self.release(world, button)

    def double(self, world):
        self.click(world)
        self.send(QEvent.Type.MouseButtonDblClick, world, LEFT, LEFT)
        self.release(world)

    def drag(self, *worlds):
        self.move(worlds[0])
        self.press(worlds[0])
        for world in worlds[1:]:
            self.move(world, LEFT)
        self.release(worlds[-1])


def stored(scan, voxel):
    """Display voxel → storage voxel."""
    return display_axes(scan).index_to_storage(np.atleast_2d(voxel))[0]
