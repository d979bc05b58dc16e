"""One plane of a scan: it draws what it is given and tells what was clicked."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QRegion, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_morse.types import Array
from napari_morse.widgets.bridge import MARK
from napari_morse.widgets.view.plane_image import Outline, PictureFrame, fitted_frame, nearer, painted

NOTCH = 120
"""Eighths of a degree in one step of a wheel, as Qt counts them."""
LETTER_GAP = 7
"""Pixels around the middle of the crosshair that stay free, beyond its voxel."""
NEARER = 1.25
"""How much a step of the zoom enlarges."""
FARTHEST, NEAREST = 1.0, 32.0
"""Zoom at which the whole slice is in view, and the largest."""
MARKED = QColor("#56b4e9")
ARROW_STEPS = {Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0), Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1)}
PAGE_STEPS = {Qt.Key.Key_PageUp: -1, Qt.Key.Key_PageDown: 1}
ZOOMS = {Qt.Key.Key_Plus: 1, Qt.Key.Key_Equal: 1, Qt.Key.Key_Minus: -1}
PANNING = (Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton)
PLAIN = Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier
"""What may be held with the keys of a pane; with anything else they are the viewer's."""


@dataclass(frozen=True, eq=False)
class Content:
    """What a pane shows.

    Parameters
    ----------
    pixels
        (rows, columns), any real dtype.
    limits
        Grey levels shown as the first and the last colour of ``table``.
    table
        256 colours, ``0xffrrggbb``.
    outlines
        Masks, the last on top.
    spacing
        Size of a voxel (down, across), in one unit.
    voxel
        (row, column) of the crosshair.
    letters
        At the top, bottom, left and right; or empty.
    title
        Name of the plane, and where it lies.
    main
        Whether it is the plane of the main canvas.
    frames
        Rows and columns, stop excluded, of each box that is framed.
    """

    pixels: Array
    limits: tuple[float, float]
    table: tuple[int, ...]
    outlines: tuple[Outline, ...]
    spacing: tuple[float, float]
    voxel: tuple[int, int]
    letters: tuple[str, ...]
    title: str
    main: bool
    frames: tuple[tuple[slice, slice], ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def pictures(self, other: Content) -> bool:
        """Whether the scan and the masks of both are drawn alike."""
        if self.pixels is not other.pixels or len(self.outlines) != len(other.outlines):
            return False
        alike = all(a.same_as(b) for a, b in zip(self.outlines, other.outlines, strict=True))
        return alike and (self.limits, self.table, self.spacing) == (other.limits, other.table, other.spacing)

    @property
    def over(self) -> tuple[object, ...]:
        """What is written and drawn over the picture."""
        return self.voxel, self.letters, self.title, self.main, self.frames


class EmptySlice:
    """What a pane does without a slice: it stays black, and no hand finds anything on it."""

    content: Content | None = None

    def __init__(self, pane: PlanePane) -> None:
        self._pane = pane

    def followed_by(self, content: Content) -> ShownSlice:
        """Draw the first content."""
        shown = ShownSlice(self._pane, content)
        shown.come_into_view()
        self._pane.update()
        return shown

    def zoom_by(self, steps: int) -> None:
        """There is nothing to enlarge."""

    def zoom_at(self, steps: int, fixed: QPointF) -> None:
        """There is nothing to enlarge."""

    def drag(self, way: QPointF) -> None:
        """There is nothing to drag."""

    def point(self, at: QPointF) -> None:
        """There is no voxel to point at."""

    def hover(self, at: QPointF) -> None:
        """There is no voxel under the cursor."""

    def press_key(self, _key: int) -> bool:
        """All keys are the viewer's."""
        return False

    def paint(self, painter: QPainter) -> None:
        """The pane is black."""


class ShownSlice:
    """A slice that a pane shows: drawn, pointed at, dragged and enlarged.

    Parameters
    ----------
    pane
        Where it is drawn; remembers how near it is looked at, also while nothing is shown.
    content
        What is drawn first.
    """

    def __init__(self, pane: PlanePane, content: Content) -> None:
        self._pane = pane
        self.content: Content = content
        self._pictures: dict[tuple[PictureFrame, float], QImage] = {}

    def followed_by(self, content: Content) -> ShownSlice:
        """Draw ``content``; not at all where nothing is another than before."""
        before, self.content = self.content, content
        pictured = content.pictures(before)
        if not pictured:
            self._pictures = {}
        if before.voxel == content.voxel:
            self._fit_a_new_shape()
        else:
            self.come_into_view()
        if not pictured or content.over != before.over:
            self._pane.update()
        return self

    def come_into_view(self) -> None:
        """See to it that the crosshair is seen."""
        self._fit_a_new_shape()
        pane = self._pane
        # Not while the mouse drags the crosshair: the slice would move under it.
        if pane.follow and not pane.pointing and not self.frame.holds(*self.content.voxel):
            pane.centre = self.content.voxel

    def _fit_a_new_shape(self) -> None:
        seen = self.content.shape, self.content.spacing
        if self._pane.fitted != seen:
            self._pane.fitted = seen
            self._pane.fit()

    # What of the slice is in view

    @property
    def frame(self) -> PictureFrame:
        """Where the slice lies in the pane, in pixels as Qt counts them."""
        pane, content = self._pane, self.content
        return fitted_frame(content.shape, content.spacing, (pane.height(), pane.width()), pane.zoom, pane.centre)

    def zoom_by(self, steps: int) -> None:
        """So many steps nearer; the crosshair stays where it is."""
        self._zoom(steps, self.frame.pixel(*self.content.voxel))

    def zoom_at(self, steps: int, fixed: QPointF) -> None:
        """So many steps nearer; what lies at ``fixed`` stays there."""
        self._zoom(steps, (fixed.y(), fixed.x()))

    def _zoom(self, steps: int, fixed: tuple[float, float]) -> None:
        pane, before = self._pane, self.frame
        pane.zoom = min(NEAREST, max(FARTHEST, pane.zoom * NEARER**steps))
        self._move_to(nearer(before, self.content.shape, self.content.spacing, pane.zoom, fixed))

    def drag(self, way: QPointF) -> None:
        """Take the slice along with the mouse."""
        frame = self.frame
        row, column = frame.middle
        self._move_to((row - way.y() / frame.scale[0], column - way.x() / frame.scale[1]))

    def _move_to(self, centre: tuple[float, float]) -> None:
        """Bring ``centre`` into the middle, as far as that can be: a way back has no dead stretch."""
        self._pane.centre = centre
        self._pane.centre = self.frame.middle  # where it came to lie: the edge may have stopped it
        self._pane.update()

    # What the person does

    def point(self, at: QPointF) -> None:
        """Tell the voxel that lies there, or the nearest one."""
        self._point_at(*self.frame.index(at.y(), at.x()))

    def _point_at(self, row: int, column: int) -> None:
        rows, columns = self.content.shape
        self._pane.pointed.emit(min(max(row, 0), rows - 1), min(max(column, 0), columns - 1))

    def hover(self, at: QPointF) -> None:
        """Tell what is under the cursor."""
        voxel = self.frame.index(at.y(), at.x())
        if all(0 <= x < n for x, n in zip(voxel, self.content.shape, strict=True)):
            self._pane.hovered.emit(*voxel)
        else:
            self._pane.left.emit()

    def press_key(self, key: int) -> bool:
        """Do what a key of the pane's does; whether it is one."""
        pane = self._pane
        if key in ARROW_STEPS:
            (row, column), (down, across) = self.content.voxel, ARROW_STEPS[Qt.Key(key)]
            self._point_at(row + down, column + across)
        elif key in PAGE_STEPS:
            pane.stepped.emit(PAGE_STEPS[Qt.Key(key)])
        elif key in ZOOMS:
            self.zoom_by(ZOOMS[Qt.Key(key)])
        elif key == Qt.Key.Key_Home:
            pane.fit()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            pane.chosen.emit()
        else:
            return False
        return True

    # What is drawn

    def paint(self, painter: QPainter) -> None:
        """Draw it all; the scan and the masks only where they changed."""
        frame, area = self.frame, self._pane.rect()
        painter.drawImage(QPointF(0, 0), self._picture(frame))
        for box in self.content.frames:
            _draw_frame(painter, box, frame)
        _draw_cross(painter, area, frame.pixel(*self.content.voxel), frame.scale)
        _draw_words(painter, area, self.content)

    def _picture(self, frame: PictureFrame) -> QImage:
        """The scan and the masks; kept until they, or what of them is in view, change."""
        content, seen = self.content, (frame, self._pane.devicePixelRatioF())
        if seen not in self._pictures:
            self._pictures = {seen: painted(content.pixels, content.limits, content.table, content.outlines, *seen)}
        return self._pictures[seen]


class PlanePane(QWidget):
    """Draws one plane.

    Parameters
    ----------
    parent
        Owner.
    """

    pointed = Signal(int, int)
    """The voxel (row, column) that was pointed at."""
    hovered = Signal(int, int)
    """The voxel (row, column) under the cursor."""
    left = Signal()
    """No voxel is under the cursor any more."""
    stepped = Signal(int)
    """So many slices on."""
    chosen = Signal()
    """The main canvas shall show this plane."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shown: EmptySlice | ShownSlice = EmptySlice(self)
        self.zoom = FARTHEST
        self.centre = (0.0, 0.0)
        """Voxel (row, column), with its fraction, in the middle."""
        self.fitted: tuple[object, ...] = ()
        """Shape and spacing of the slices that ``zoom`` is meant for; another one is shown whole first."""
        self.follow = True
        """Whether the crosshair is brought back into view when it moves out of it."""
        self.pointing = False
        """Whether the mouse drags the crosshair."""
        self._panning = False
        self._mouse = QPointF()
        self._wheel = 0
        self.setMouseTracking(True)
        self.setMinimumSize(60, 50)  # never empty: where a slice lies is divided by this size
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Enough to find one's way."""
        return QSize(230, 190)

    @property
    def content(self) -> Content | None:
        """What is shown; None: nothing."""
        return self.shown.content

    def show_content(self, content: Content) -> None:
        """Draw ``content``; not at all where nothing is another than before."""
        self.shown = self.shown.followed_by(content)

    def show_nothing(self) -> None:
        """Stay black, and hold nothing of a scan."""
        self.shown = EmptySlice(self)
        self.update()

    def fit(self) -> None:
        """Show the whole slice."""
        self.zoom = FARTHEST
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw what is shown, and whether the keys go here."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        self.shown.paint(painter)
        if self.hasFocus():
            painter.setPen(QPen(Qt.GlobalColor.white, 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(2, 2, -3, -3))
        painter.end()

    # What the person does

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Point there, or take hold of the slice."""
        if event is None:
            return
        self._mouse = event.position()
        if event.button() == Qt.MouseButton.LeftButton:
            self.pointing = True
            self.shown.point(self._mouse)
        elif event.button() in PANNING:
            self._panning = True
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Drag the crosshair, or the slice; tell what is under the cursor."""
        if event is None:
            return
        before, self._mouse = self._mouse, event.position()
        if self._panning:
            self.shown.drag(self._mouse - before)
        elif self.pointing:
            self.shown.point(self._mouse)
        self.shown.hover(self._mouse)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Let go."""
        if event is None:
            return
        if event.button() == Qt.MouseButton.LeftButton:
            self.pointing = False
        elif event.button() in PANNING:
            self._panning = False
            self.setCursor(Qt.CursorShape.CrossCursor)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Bring this plane to the main canvas."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit()

    def leaveEvent(self, event: QEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Nothing is under the cursor any more."""
        super().leaveEvent(event)
        self.left.emit()

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Slices, or nearer and farther with Ctrl; half notches of fine wheels add up."""
        if event is None:
            return
        turned = event.angleDelta().y()
        self._wheel = 0 if turned * self._wheel < 0 else self._wheel
        self._wheel += turned
        steps = int(self._wheel / NOTCH)
        self._wheel -= steps * NOTCH
        if steps and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.shown.zoom_at(steps, event.position())
        elif steps:
            self.stepped.emit(-steps)  # as in the canvas: away from the person is back
        event.accept()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Arrows move the crosshair, Page Up and Down the slice, + and − zoom, Home fits, Enter chooses the plane."""
        if event is None or event.modifiers() & ~PLAIN or not self.shown.press_key(event.key()):
            super().keyPressEvent(event)


def _draw_frame(painter: QPainter, box: tuple[slice, slice], frame: PictureFrame) -> None:
    """Around the voxels: no pixel of theirs is hidden."""
    top, left = frame.pixel(box[0].start - 0.5, box[1].start - 0.5)
    bottom, right = frame.pixel(box[0].stop - 0.5, box[1].stop - 0.5)
    painter.setPen(QPen(QColor(MARK), 2))
    painter.drawRect(QRectF(left, top, right - left, bottom - top).adjusted(-2, -2, 2, 2))


def _draw_cross(painter: QPainter, area: QRect, at: tuple[float, float], scale: tuple[float, float]) -> None:
    """Lines that leave the voxel, and a little around it, free."""
    (y, x), free = at, LETTER_GAP + max(scale) / 2
    hole = QRectF(x - free, y - free, 2 * free, 2 * free).toRect()
    painter.setClipRegion(QRegion(area) - QRegion(hole))
    for pen in (QPen(QColor(0, 0, 0, 110), 3), QPen(QColor(255, 255, 255, 200), 1)):
        painter.setPen(pen)
        painter.drawLine(QPointF(x, 0), QPointF(x, area.height()))
        painter.drawLine(QPointF(0, y), QPointF(area.width(), y))
    painter.setClipping(False)


def _draw_words(painter: QPainter, pane: QRect, content: Content) -> None:
    font = painter.font()
    font.setBold(content.main)
    painter.setFont(font)
    area = QRectF(pane).adjusted(5, 3, -5, -3)
    across, down = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignVCenter
    top, left = Qt.AlignmentFlag.AlignTop, Qt.AlignmentFlag.AlignLeft
    bottom, right = Qt.AlignmentFlag.AlignBottom, Qt.AlignmentFlag.AlignRight
    under_title = area.adjusted(0, painter.fontMetrics().height(), 0, 0)
    sides = ((under_title, top | across), (area, bottom | across), (area, left | down), (area, right | down))
    for (where, side), letter in zip(sides, content.letters, strict=False):
        _write(painter, where, side, letter)
    title = painter.fontMetrics().elidedText(content.title, Qt.TextElideMode.ElideRight, int(area.width()))
    _write(painter, area, top | left, title)
    if content.main:
        painter.setPen(QPen(MARKED, 2))
        painter.drawRect(pane.adjusted(1, 1, -1, -1))


def _write(painter: QPainter, area: QRectF, where: Qt.AlignmentFlag, text: str) -> None:
    """White words on a dark ground: readable on any scan, and on the crosshair."""
    painter.fillRect(painter.boundingRect(area, where, text).adjusted(-2, 0, 2, 0), QColor(0, 0, 0, 170))
    painter.setPen(Qt.GlobalColor.white)
    painter.drawText(area, where, text)
