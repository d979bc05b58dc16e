"""Loss, and what held-out cases say of it, while a model is tuned."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import qtpy
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_morse.widgets.learn.event_log import RoundLog

CURVE_COLOURS = {True: ("#999999", "#56b4e9", "#e69f00"), False: ("#777777", "#0072b2", "#d55e00")}
"""Loss, Dice and HD95 on dark and on light ground: Okabe and Ito's."""
HEIGHTS = (78, 96)
"""Pixels of the two plots."""
SIDE = 54
"""Pixels of an axis at the side."""
SMALLEST_SPAN = 0.05
"""Height of an axis at least, as a share of its values: what differs by less is no news."""
CURVES_TIP = (
    "Above: the loss at every step, thin, and smoothed. Below, of the held-out cases: Dice (circles, left) and HD95 in"
    " mm (squares, right). Dashed: the base model, where there is one."
)


def plotting() -> Any:
    """pyqtgraph, on the Qt binding that is in use; loaded at the first call, in any thread."""
    os.environ.setdefault("PYQTGRAPH_QT_LIB", str(qtpy.API_NAME))
    hooks = sys.excepthook, threading.excepthook
    import pyqtgraph

    sys.excepthook, threading.excepthook = hooks  # it puts its own in the place of the viewer's
    return pyqtgraph


class LearnCurves(QWidget):
    """Two plots over the same steps; hidden while there is nothing to be seen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.setToolTip(CURVES_TIP)
        self.setAccessibleName("Curves of the training")
        self.loss: Any = None
        self.held: Any = None
        self.lines: dict[str, Any] = {}
        self.hide()

    def tell(self, log: RoundLog) -> None:
        """Show a story's curves."""
        seen = bool(log.steps or log.checks)
        if seen and self.loss is None:
            self._build()
        self.setVisible(seen)
        if not seen:
            return
        self.lines["raw"].setData(log.steps, log.losses)
        self.lines["loss"].setData(log.steps, log.smooth)
        for name in ("dice", "hd95"):
            values = [getattr(check, name) for check in log.checks]
            self.lines[name].setData([check.step for check in log.checks], values)
            base = values[0] if log.checks and log.checks[0].step == 0 else None
            self.lines[f"{name} base"].setVisible(base is not None)
            if base is not None:
                self.lines[f"{name} base"].setValue(base)
            view = self.held.getViewBox() if name == "dice" else self._right
            view.setYRange(*_span(values))
        self.held.setVisible(bool(log.checks))
        self.loss.setXRange(0, max(log.total, log.step, 1), padding=0.02)

    def _build(self) -> None:
        pg = plotting()
        self.loss, self.held = (pg.PlotWidget(self, background=None, enableMenu=False) for _ in range(2))
        for plot, height in zip((self.loss, self.held), HEIGHTS, strict=True):
            plot.setFixedHeight(height)
            plot.setFrameShape(plot.Shape.NoFrame)
            plot.setMouseEnabled(x=False, y=False)
            plot.hideButtons()
            plot.getPlotItem().layout.setColumnFixedWidth(2, SIDE)
            plot.getAxis("left").setWidth(SIDE)
            for side in ("left", "right", "bottom"):
                plot.getAxis(side).enableAutoSIPrefix(False)
            self._body.addWidget(plot)
        self.held.showAxis("right")
        self.held.getAxis("right").setWidth(SIDE)
        self.loss.getAxis("bottom").setStyle(showValues=False)
        self.held.setXLink(self.loss)
        self._right = pg.ViewBox(enableMenu=False, enableMouse=False)
        self.held.scene().addItem(self._right)
        self.held.getAxis("right").linkToView(self._right)
        self._right.setXLink(self.held.getViewBox())
        self.held.getViewBox().sigResized.connect(self._fit)
        self._draw(pg)
        self._paint()

    @property
    def _body(self) -> Any:
        return self.layout()

    def _draw(self, pg: Any) -> None:
        """The lines, empty and without colour."""
        dashed = Qt.PenStyle.DashLine
        for name, plot in (("raw", self.loss), ("loss", self.loss), ("dice", self.held), ("hd95", self._right)):
            symbol = {"dice": "o", "hd95": "s"}.get(name)
            self.lines[name] = pg.PlotDataItem(symbol=symbol, symbolSize=6)
            plot.addItem(self.lines[name])
        for name, plot in (("dice base", self.held), ("hd95 base", self._right)):
            self.lines[name] = pg.InfiniteLine(angle=0, pen=pg.mkPen(style=dashed))
            plot.addItem(self.lines[name], ignoreBounds=True)
        for name in ("raw", "loss"):
            self.lines[name].setDownsampling(auto=True, method="mean")

    def _fit(self) -> None:
        view = self.held.getViewBox()
        self._right.setGeometry(view.sceneBoundingRect())
        self._right.linkedViewChanged(view, self._right.XAxis)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Take the colours of another theme."""
        super().changeEvent(event)
        themed = event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange)
        if themed and self.loss is not None:
            self._paint()

    def _paint(self) -> None:
        pg, palette = plotting(), self.palette()
        text = palette.color(QPalette.ColorRole.WindowText)
        loss, dice, hd95 = CURVE_COLOURS[text.lightness() > 127]
        faint = pg.mkColor(loss)
        faint.setAlpha(110)
        self.lines["raw"].setPen(pg.mkPen(faint, width=1))
        self.lines["loss"].setPen(pg.mkPen(text, width=1.5))
        for name, colour in (("dice", dice), ("hd95", hd95)):
            line = self.lines[name]
            line.setPen(pg.mkPen(colour, width=1.5))
            line.setSymbolPen(pg.mkPen(colour))
            line.setSymbolBrush(pg.mkBrush(colour))
            self.lines[f"{name} base"].setPen(pg.mkPen(colour, style=Qt.PenStyle.DashLine))
        named = ((self.loss, "left", "loss", text), (self.held, "left", "Dice", pg.mkColor(dice)),
                 (self.held, "right", "HD95, mm", pg.mkColor(hd95)))  # fmt: skip
        for plot in (self.loss, self.held):
            for side in ("left", "right", "bottom"):
                plot.getAxis(side).setPen(pg.mkPen(text))
                plot.getAxis(side).setTextPen(pg.mkPen(text))
        for plot, side, name, ink in named:
            plot.setLabel(side, name, color=ink.name())
            plot.getAxis(side).setTextPen(pg.mkPen(ink))


def _span(values: list[float]) -> tuple[float, float]:
    """A range that shows the values and is never without height."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    least = max(SMALLEST_SPAN * abs(high), 0.01)
    room = max(0.15 * (high - low), (least - (high - low)) / 2)
    return low - room, high + room
