"""One plane of a scan, and the legend below the planes: they draw what they are given and tell what was clicked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QFocusEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_morse.types import Array
from napari_morse.widgets.parts.plane_image import STROKES, Outline, Place, Style, fitted, levels, outlined, picture

NOTCH = 120
"""Eighths of a degree in one step of a wheel, as Qt counts them."""
GAP = 7
"""Pixels around the middle of the crosshair that stay free, beyond its voxel."""
MARKED = QColor("#56b4e9")
KEYS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}
STEPS = {Qt.Key.Key_PageUp: -1, Qt.Key.Key_PageDown: 1}
ZOOMS = {Qt.Key.Key_Plus: 1, Qt.Key.Key_Equal: 1, Qt.Key.Key_Minus: -1}


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
        Borders of masks, the last on top.
    spacing
        Size of a voxel (down, across), in one unit.
    voxel
        (row, column) that zooming keeps in view.
    cross
        Whether the crosshair is drawn there.
    letters
        At the top, bottom, left and right; or empty.
    title
        Name of the plane, and where it lies.
    main
        Whether it is the plane of the main canvas.
    zoom
        ≥ 1.
    """

    pixels: Array
    limits: tuple[float, float]
    table: tuple[int, ...]
    outlines: tuple[Outline, ...]
    spacing: tuple[float, float]
    voxel: tuple[int, int]
    cross: bool
    letters: tuple[str, ...]
    title: str
    main: bool
    zoom: float


class PlanePane(QWidget):
    """Draws one plane.

    Parameters
    ----------
    parent
        Owner.
    """

    pointed = Signal(int, int)
    """The voxel (row, column) that was pointed at."""
    stepped = Signal(int)
    """So many slices on."""
    zoomed = Signal(int)
    """So many steps nearer."""
    chosen = Signal()
    """The main canvas shall show this plane."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content: Content | None = None
        self._own: tuple[int, int] | None = None
        self._centre = (0, 0)
        self._wheel = 0
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Enough to find one's way."""
        return QSize(230, 190)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Small: the canvas comes first."""
        return QSize(60, 50)

    def show_content(self, content: Content | None) -> None:
        """Draw ``content``, or nothing; what is in the middle stays there while this pane's own mouse moves."""
        before, self.content = self.content, content
        if content is not None:
            nearer = before is None or before.zoom != content.zoom or before.pixels.shape != content.pixels.shape
            if nearer or content.voxel != self._own:
                self._own, self._centre = None, content.voxel
        self.update()

    @property
    def place(self) -> Place | None:
        """Where the slice lies in the pane, in pixels as Qt counts them."""
        shown, size = self.content, (self.height(), self.width())
        if shown is None or min(size) < 1:
            return None
        rows, columns = shown.pixels.shape
        return fitted((rows, columns), shown.spacing, size, shown.zoom, self._centre)

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw it all: a slice is read, mapped and outlined in a few milliseconds."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        content, place = self.content, self.place
        if content is not None and place is not None:
            self._draw_slice(painter, content, place)
            self._draw_outlines(painter, content, place)
            if content.cross:
                self._draw_cross(painter, place.pixel(*content.voxel), place.scale)
            self._draw_words(painter, content)
        if self.hasFocus():
            painter.setPen(QPen(Qt.GlobalColor.white, 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(2, 2, -3, -3))
        painter.end()

    def _draw_slice(self, painter: QPainter, content: Content, place: Place) -> None:
        rows, columns = place.seen((content.pixels.shape[0], content.pixels.shape[1]))
        image = picture(levels(content.pixels[rows, columns], content.limits), content.table)
        top, left = place.pixel(rows.start - 0.5, columns.start - 0.5)
        bottom, right = place.pixel(rows.stop - 0.5, columns.stop - 0.5)
        # Enlarged, voxels are seen as voxels; made smaller, none is left out.
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, min(place.scale) < 1)
        painter.drawImage(QRectF(left, top, right - left, bottom - top), image, QRectF(image.rect()))

    def _draw_outlines(self, painter: QPainter, content: Content, place: Place) -> None:
        ratio = self.devicePixelRatioF()
        drawn = outlined(content.outlines, place.finer(ratio), ratio)
        height, width = drawn.shape
        image = QImage(drawn.data, width, height, 4 * width, QImage.Format.Format_ARGB32)  # type: ignore[call-overload]
        image.setDevicePixelRatio(ratio)
        painter.drawImage(QPointF(0, 0), image)

    def _draw_cross(self, painter: QPainter, at: tuple[float, float], scale: tuple[float, float]) -> None:
        """Four lines that leave the voxel, and a little around it, free."""
        y, x = at
        free = GAP + max(scale) / 2
        lines = (
            (QPointF(x, 0), QPointF(x, y - free)),
            (QPointF(x, y + free), QPointF(x, self.height())),
            (QPointF(0, y), QPointF(x - free, y)),
            (QPointF(x + free, y), QPointF(self.width(), y)),
        )
        for pen in (QPen(QColor(0, 0, 0, 110), 3), QPen(QColor(255, 255, 255, 200), 1)):
            painter.setPen(pen)
            for start, end in lines:
                if end.x() >= start.x() and end.y() >= start.y():
                    painter.drawLine(start, end)

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
        """Point there."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self._point(event.position())

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Drag the crosshair."""
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self._point(event.position())

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Bring this plane to the main canvas."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit()

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Slices, or nearer and farther with Ctrl; half notches of fine wheels add up."""
        if event is None:
            return
        turned = event.angleDelta().y()
        if turned * self._wheel < 0:
            self._wheel = 0
        self._wheel += turned
        steps = int(self._wheel / NOTCH)
        self._wheel -= steps * NOTCH
        if steps and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoomed.emit(steps)
        elif steps:
            self.stepped.emit(-steps)  # as in the canvas: away from the person is back
        event.accept()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Arrows move the crosshair, Page Up and Down the slice, + and − the zoom, Enter chooses the plane."""
        shown = self.content
        if event is None or shown is None:
            return super().keyPressEvent(event)
        key = event.key()
        if key in KEYS:
            (row, column), (down, across) = shown.voxel, KEYS[Qt.Key(key)]
            self._emit(row + down, column + across)
        elif key in STEPS:
            self.stepped.emit(STEPS[Qt.Key(key)])
        elif key in ZOOMS:
            self.zoomed.emit(ZOOMS[Qt.Key(key)])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit()
        else:
            super().keyPressEvent(event)
        return None

    def focusInEvent(self, event: QFocusEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Show where the keys go."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Show where the keys go."""
        super().focusOutEvent(event)
        self.update()

    def _point(self, at: QPointF) -> None:
        place = self.place
        if place is not None:
            self._own = self._emit(*place.index(at.y(), at.x()))

    def _emit(self, row: int, column: int) -> tuple[int, int]:
        rows, columns = self.content.pixels.shape if self.content is not None else (1, 1)
        row, column = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
        self.pointed.emit(row, column)
        return row, column


def _write(painter: QPainter, area: QRectF, where: Qt.AlignmentFlag, text: str) -> None:
    """White words with a dark edge: readable on any scan."""
    painter.setPen(Qt.GlobalColor.black)
    for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        painter.drawText(area.translated(x, y), where, text)
    painter.setPen(Qt.GlobalColor.white)
    painter.drawText(area, where, text)


@dataclass(frozen=True)
class Entry:
    """A word of the legend: a line of a ``style``, or a square of a ``colour``."""

    text: str
    style: Style | None = None
    colour: str = ""


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
            lines = [f"{e.text}: {e.style} line" for e in self.entries if e.style]
            shown = ", ".join(e.text for e in self.entries if not e.style)
            self.setToolTip("\n".join([*lines, *([f"structures: {shown}"] if shown else [])]))
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
            if entry.style:
                width, on, off = STROKES[entry.style]
                for start in range(0, self.SAMPLE - 4, on + off):
                    painter.fillRect(x + start, middle - 1, min(on, self.SAMPLE - 4 - start), width, ink)
            else:
                painter.fillRect(x + self.SAMPLE - 14, middle - 5, 10, 10, QColor(entry.colour))
            painter.setPen(ink)
            painter.drawText(x + self.SAMPLE, base, entry.text)
            x += needed
        painter.end()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Another theme has another ink."""
        super().changeEvent(event)
        self.update()
