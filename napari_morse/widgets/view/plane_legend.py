"""The legend below the planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_morse.widgets.view.plane_image import STROKES, Style

SAMPLE = 18
"""Pixels of the legend that are kept free for a sample, before its word."""


@dataclass(frozen=True)
class LineEntry:
    """A word of the legend for a mask, which is drawn as a line of a ``style``."""

    text: str
    style: Style

    @property
    def tip(self) -> str:
        """What the tooltip says."""
        return f"{self.text}: {self.style} line"

    def draw(self, painter: QPainter, x: int, middle: int, ink: QColor) -> None:
        """Draw a sample of the line."""
        width, on, off = STROKES[self.style]
        for start in range(0, SAMPLE - 4, on + off):
            painter.fillRect(x + start, middle - 1, min(on, SAMPLE - 4 - start), width, ink)


@dataclass(frozen=True)
class ColourEntry:
    """A word of the legend for a structure, which has a ``colour`` (``0xaarrggbb``)."""

    text: str
    colour: int

    @property
    def tip(self) -> str:
        """What the tooltip says."""
        return self.text

    def draw(self, painter: QPainter, x: int, middle: int, _ink: QColor) -> None:
        """Draw a square of the colour."""
        painter.fillRect(x + SAMPLE - 14, middle - 5, 10, 10, QColor.fromRgba(self.colour))


class Legend(QWidget):
    """Which line is which mask, and which colour which structure; ends in “…” where there is no room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries: tuple[LineEntry | ColourEntry, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def say(self, entries: Sequence[LineEntry | ColourEntry]) -> None:
        """Show the entries; all of them are in the tooltip too."""
        if self.entries != tuple(entries):
            self.entries = tuple(entries)
            self.setToolTip("\n".join(entry.tip for entry in self.entries))
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
            needed = SAMPLE + words.horizontalAdvance(entry.text) + 12
            if x + needed > self.width() - words.horizontalAdvance("…"):
                painter.setPen(ink)
                painter.drawText(x, base, "…")
                break
            entry.draw(painter, x, middle, ink)
            painter.setPen(ink)
            painter.drawText(x + SAMPLE, base, entry.text)
            x += needed
        painter.end()
