"""One plane of a scan, and the legend below the planes: they draw what they are given and tell what was clicked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QRegion, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_morse.types import Array
from napari_morse.widgets.bridge import MARK
from napari_morse.widgets.view.plane_image import STROKES, Outline, PictureFrame, Style, fitted, nearer, painted

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
    frame
        Rows and columns, stop excluded, that are framed; or None.
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
    frame: tuple[slice, slice] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def pictures(self, other: Content | None) -> bool:
        """Whether the scan and the masks of both are drawn alike."""
        if other is None or self.pixels is not other.pixels or len(self.outlines) != len(other.outlines):
            return False
        alike = all(a.same_as(b) for a, b in zip(self.outlines, other.outlines, strict=True))
        return alike and (self.limits, self.table, self.spacing) == (other.limits, other.table, other.spacing)

    @property
    def over(self) -> tuple[object, ...]:
        """What is written and drawn over the picture."""
        return self.voxel, self.letters, self.title, self.main, self.frame


class PlanePane(QWidget):
    """Draws one plane.

    Parameters
    ----------
    parent
        Owner.
    """

    pointed = Signal(int, int)
    """The voxel (row, column) that was pointed at."""
    hovered = Signal(object)
    """The voxel (row, column) under the cursor, or None."""
    stepped = Signal(int)
    """So many slices on."""
    chosen = Signal()
    """The main canvas shall show this plane."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content: Content | None = None
        self.zoom = FARTHEST
        self.follow = True
        """Whether the crosshair is brought back into view when it moves out of it."""
        self._fitted: tuple[tuple[int, int], tuple[float, float]] | None = None
        self._centre = (0.0, 0.0)
        self._picture: tuple[PictureFrame, float, QImage] | None = None
        self._pointing = False
        self._panned: QPointF | None = None
        self._wheel = 0
        self.setMouseTracking(True)
        self.setMinimumSize(60, 50)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Enough to find one's way."""
        return QSize(230, 190)

    def show_content(self, content: Content | None) -> None:
        """Draw ``content``, or nothing; not at all where nothing is another than before."""
        before, self.content = self.content, content
        pictured = content is not None and content.pictures(before)
        if not pictured:
            self._picture = None
        if content is not None and self._fitted != (content.shape, content.spacing):
            self._fitted = content.shape, content.spacing
            self.fit()
        if content is not None and (before is None or before.voxel != content.voxel):
            self._bring_back(content.voxel)
        if not pictured or content is None or before is None or content.over != before.over:
            self.update()

    def _bring_back(self, voxel: tuple[int, int]) -> None:
        frame = self.place
        if self.follow and not self._pointing and frame is not None and not frame.holds(*voxel):
            self._centre = voxel

    # What of the slice is in view

    @property
    def place(self) -> PictureFrame | None:
        """Where the slice lies in the pane, in pixels as Qt counts them."""
        shown, size = self.content, (self.height(), self.width())
        if shown is None or min(size) < 1:
            return None
        return fitted(shown.shape, shown.spacing, size, self.zoom, self._centre)

    def fit(self) -> None:
        """Show the whole slice."""
        self.zoom = FARTHEST
        self.update()

    def zoom_by(self, steps: int, fixed: QPointF | None = None) -> None:
        """So many steps nearer; ``fixed``, or else the crosshair, stays where it is."""
        content, frame = self.content, self.place
        if content is None or frame is None:
            return
        at = frame.pixel(*content.voxel) if fixed is None else (fixed.y(), fixed.x())
        self.zoom = min(NEAREST, max(FARTHEST, self.zoom * NEARER**steps))
        self._move_to(nearer(frame, content.shape, content.spacing, self.zoom, at))

    def _move_to(self, centre: tuple[float, float]) -> None:
        """Bring ``centre`` into the middle, as far as that can be: a way back has no dead stretch."""
        self._centre = centre
        frame = self.place
        if frame is not None:
            self._centre = frame.middle
        self.update()

    # What is drawn

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw it all; the scan and the masks only where they changed."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        content, frame = self.content, self.place
        if content is not None and frame is not None:
            painter.drawImage(QPointF(0, 0), self._pictured(content, frame))
            if content.frame is not None:
                self._draw_frame(painter, content.frame, frame)
            self._draw_cross(painter, frame.pixel(*content.voxel), frame.scale)
            self._draw_words(painter, content)
        if self.hasFocus():
            painter.setPen(QPen(Qt.GlobalColor.white, 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(2, 2, -3, -3))
        painter.end()

    def _pictured(self, content: Content, frame: PictureFrame) -> QImage:
        """The scan and the masks; kept until they, or what of them is in view, change."""
        ratio = self.devicePixelRatioF()
        if self._picture is None or self._picture[:2] != (frame, ratio):
            image = painted(content.pixels, content.limits, content.table, content.outlines, frame, ratio)
            self._picture = frame, ratio, image
        return self._picture[2]

    @staticmethod
    def _draw_frame(painter: QPainter, frame: tuple[slice, slice], picture: PictureFrame) -> None:
        """Around the voxels: no pixel of theirs is hidden."""
        top, left = picture.pixel(frame[0].start - 0.5, frame[1].start - 0.5)
        bottom, right = picture.pixel(frame[0].stop - 0.5, frame[1].stop - 0.5)
        painter.setPen(QPen(QColor(MARK), 2))
        painter.drawRect(QRectF(left, top, right - left, bottom - top).adjusted(-2, -2, 2, 2))

    def _draw_cross(self, painter: QPainter, at: tuple[float, float], scale: tuple[float, float]) -> None:
        """Lines that leave the voxel, and a little around it, free."""
        (y, x), free = at, LETTER_GAP + max(scale) / 2
        hole = QRectF(x - free, y - free, 2 * free, 2 * free).toRect()
        painter.setClipRegion(QRegion(self.rect()) - QRegion(hole))
        for pen in (QPen(QColor(0, 0, 0, 110), 3), QPen(QColor(255, 255, 255, 200), 1)):
            painter.setPen(pen)
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
            painter.drawLine(QPointF(0, y), QPointF(self.width(), y))
        painter.setClipping(False)

    def _draw_words(self, painter: QPainter, content: Content) -> None:
        font = painter.font()
        font.setBold(content.main)
        painter.setFont(font)
        area = QRectF(self.rect()).adjusted(5, 3, -5, -3)
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
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))

    # What the person does

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Point there, or take hold of the slice."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self._pointing = True
            self._point(event.position())
        elif event is not None and event.button() in PANNING:
            self._panned = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Drag the crosshair, or the slice; tell what is under the cursor."""
        frame = self.place
        if event is None or frame is None:
            return
        at = event.position()
        if self._panned is not None:
            down, across = at.y() - self._panned.y(), at.x() - self._panned.x()
            self._panned = at
            row, column = frame.middle
            self._move_to((row - down / frame.scale[0], column - across / frame.scale[1]))
        elif self._pointing:
            self._point(at)
        self._hover(at)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Let go."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self._pointing = False
        elif event is not None and event.button() in PANNING:
            self._panned = None
            self.setCursor(Qt.CursorShape.CrossCursor)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Bring this plane to the main canvas."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit()

    def leaveEvent(self, event: QEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Nothing is under the cursor any more."""
        super().leaveEvent(event)
        self.hovered.emit(None)

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
            self.zoom_by(steps, event.position())
        elif steps:
            self.stepped.emit(-steps)  # as in the canvas: away from the person is back
        event.accept()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Arrows move the crosshair, Page Up and Down the slice, + and − zoom, Home fits, Enter chooses the plane."""
        shown = self.content
        if event is None or shown is None or event.modifiers() & ~PLAIN:
            return super().keyPressEvent(event)
        key = event.key()
        if key in ARROW_STEPS:
            (row, column), (down, across) = shown.voxel, ARROW_STEPS[Qt.Key(key)]
            self._emit(row + down, column + across)
        elif key in PAGE_STEPS:
            self.stepped.emit(PAGE_STEPS[Qt.Key(key)])
        elif key in ZOOMS:
            self.zoom_by(ZOOMS[Qt.Key(key)])
        elif key == Qt.Key.Key_Home:
            self.fit()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit()
        else:
            super().keyPressEvent(event)
        return None

    def _point(self, at: QPointF) -> None:
        frame = self.place
        if frame is not None:
            self._emit(*frame.index(at.y(), at.x()))

    def _emit(self, row: int, column: int) -> None:
        rows, columns = self.content.shape if self.content is not None else (1, 1)
        self.pointed.emit(min(max(row, 0), rows - 1), min(max(column, 0), columns - 1))

    def _hover(self, at: QPointF) -> None:
        frame, shape = self.place, self.content.shape if self.content is not None else (0, 0)
        voxel = frame.index(at.y(), at.x()) if frame is not None else (-1, -1)
        self.hovered.emit(voxel if all(0 <= x < n for x, n in zip(voxel, shape, strict=True)) else None)


def _write(painter: QPainter, area: QRectF, where: Qt.AlignmentFlag, text: str) -> None:
    """White words on a dark ground: readable on any scan, and on the crosshair."""
    painter.fillRect(painter.boundingRect(area, where, text).adjusted(-2, 0, 2, 0), QColor(0, 0, 0, 170))
    painter.setPen(Qt.GlobalColor.white)
    painter.drawText(area, where, text)


@dataclass(frozen=True)
class Entry:
    """A word of the legend: a line of a ``style``, or a square of a ``colour`` (``0xaarrggbb``)."""

    text: str
    style: Style | None = None
    colour: int = 0


class Legend(QWidget):
    """Which line is which mask, and which colour which structure; ends in “…” where there is no room."""

    SAMPLE = 18

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries: tuple[Entry, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def say(self, entries: Sequence[Entry]) -> None:
        """Show the entries; all of them are in the tooltip too."""
        if self.entries != tuple(entries):
            self.entries = tuple(entries)
            self.setToolTip("\n".join(e.text + (f": {e.style} line" if e.style else "") for e in self.entries))
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """One line; its width is given."""
        return QSize(120, self.fontMetrics().height() + 4)

    minimumSizeHint = sizeHint  # noqa: N815 (Qt's name)

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw as many entries as there is room for."""
        painter, words = QPainter(self), self.fontMetrics()
        ink, x, middle = self.palette().windowText().color(), 4, self.height() // 2
        base = middle + words.ascent() // 2 - 1
        for entry in self.entries:
            needed = self.SAMPLE + words.horizontalAdvance(entry.text) + 12
            if x + needed > self.width() - words.horizontalAdvance("…"):
                painter.setPen(ink)
                painter.drawText(x, base, "…")
                break
            if entry.style is not None:
                width, on, off = STROKES[entry.style]
                for start in range(0, self.SAMPLE - 4, on + off):
                    painter.fillRect(x + start, middle - 1, min(on, self.SAMPLE - 4 - start), width, ink)
            else:
                painter.fillRect(x + self.SAMPLE - 14, middle - 5, 10, 10, QColor.fromRgba(entry.colour))
            painter.setPen(ink)
            painter.drawText(x + self.SAMPLE, base, entry.text)
            x += needed
        painter.end()
