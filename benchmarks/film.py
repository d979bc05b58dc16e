"""An animation of a window while a hand works in it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image
from qtpy.QtCore import QBuffer, QPointF, Qt, QTimer
from qtpy.QtGui import QColor, QCursor, QPainter

FRAME = 300
"""Milliseconds between two pictures of the film."""
WIDTH = 760
"""Pixels of the film."""


class Film:
    """Pictures of a window, with the mouse in them, at even times."""

    def __init__(self, window: Any) -> None:
        self._window = window
        self.frames: list[Image.Image] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._take)
        self._timer.start(FRAME)

    def _take(self) -> None:
        picture = self._window.grab()
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor("black"))
        painter.setBrush(QColor(255, 255, 255, 200))
        painter.drawEllipse(QPointF(self._window.mapFromGlobal(QCursor.pos())), 6, 6)
        painter.end()
        scaled = picture.scaledToWidth(WIDTH, Qt.TransformationMode.SmoothTransformation)
        buffer = QBuffer()
        buffer.open(QBuffer.OpenModeFlag.WriteOnly)
        scaled.save(buffer, "PNG")
        frame = Image.open(io.BytesIO(bytes(buffer.data()))).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
        if not self.frames or frame.tobytes() != self.frames[-1].tobytes():
            self.frames.append(frame)

    def stop(self) -> None:
        self._timer.stop()

    def save(self, path: Path) -> None:
        self.frames[0].save(path, save_all=True, append_images=self.frames[1:], duration=FRAME, loop=0, optimize=True)
