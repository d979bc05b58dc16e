"""What the tests of the planes are made of: a scan with one bright voxel, mouse and wheel on a pane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_morse.types import Grid, Scan
from tests.layer_cases import ZOOMS, affine_of
from tests.widgets.view.test_plane_image import pixels_of

SHAPE, SPACING, MARKED = (20, 26, 14), (1.0, 0.8, 2.5), (3, 19, 10)
NONE, CTRL = Qt.MouseButton.NoButton, Qt.KeyboardModifier.ControlModifier
MOVE, PRESS, RELEASE = QEvent.Type.MouseMove, QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease


def marked_scan(codes, angle=0.0, made_in_viewer=False):
    """Dark but for one voxel, along any axes; no two axes of one length or spacing."""
    affine = affine_of(codes, (31.0, -52.0, 140.0), angle)
    affine[:3, :3] *= np.array(SPACING) / ZOOMS
    data = np.zeros(SHAPE, np.float32)
    data[MARKED] = 1000.0
    return Scan(data, Grid(SHAPE, affine), codes, None if made_in_viewer else Path(f"{codes}.nii.gz"))


def mm_of(scan, voxel):
    """RAS of a storage voxel."""
    return scan.grid.affine[:3, :3] @ np.asarray(voxel, float) + scan.grid.affine[:3, 3]


def axes_but(across):
    return tuple(axis for axis in range(3) if axis != across)


def grabbed(widget):
    """(down, across) 0xaarrggbb, as it is on the screen."""
    return pixels_of(widget.grab().toImage())


def settled(planes, qtbot, voxel=None):
    """Wait until the panes show the present place."""
    wanted = planes.voxel if voxel is None else voxel

    def there():
        return planes.voxel == wanted and all(
            pane.content is not None and pane.content.voxel == tuple(wanted[a] for a in axes_but(across))
            for across, pane in enumerate(planes.panes)
        )

    qtbot.waitUntil(there)
    QApplication.processEvents()


def go(planes, qtbot, voxel):
    planes.over.go(voxel)
    settled(planes, qtbot, voxel)


def wheel(pane, at, notches, keys=Qt.KeyboardModifier.NoModifier):
    where, turned, phase = QPointF(at[1], at[0]), QPoint(0, 120 * notches), Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(where, pane.mapToGlobal(where), QPoint(), turned, NONE, keys, phase, False)
    QApplication.sendEvent(pane, event)


def mouse(pane, kind, at, button, held):
    where = QPointF(at[1], at[0])
    event = QMouseEvent(kind, where, pane.mapToGlobal(where), button, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(pane, event)
