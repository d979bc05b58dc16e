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
    # Before the import, which chooses a binding: it must be the one that the viewer runs on.
    os.environ.setdefault("PYQTGRAPH_QT_LIB", str(qtpy.API_NAME))
    hooks = sys.excepthook, threading.excepthook
    import pyqtgraph

    sys.excepthook, threading.excepthook = hooks  # it puts its own in the place of the viewer's
    return pyqtgraph


class LearnCurves(QWidget):
    """Two plots over the same steps, made when there is something to be seen; hidden before."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._body = QVBoxLayout(self)
        self._body.setContentsMargins(0, 0, 0, 0)
        self._body.setSpacing(0)
        self.setToolTip(CURVES_TIP)
        self.setAccessibleName("Curves of the training")
        self.plots: Plots | None = None
        self.hide()

    def tell(self, log: RoundLog) -> None:
        """Show a story's curves."""
        seen = bool(log.steps or log.checks)
        if seen:
            if self.plots is None:
                self.plots = Plots(self)
                self._body.addWidget(self.plots.loss)
                self._body.addWidget(self.plots.held)
            self.plots.tell(log)
        self.setVisible(seen)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Take the colours of another theme."""
        super().changeEvent(event)
        themed = event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange)
        if themed and self.plots is not None:
            self.plots.paint(self.palette())


class Plots:
    """The loss above, and what held-out cases say below: Dice at the left, HD95 at the right.

    Parameters
    ----------
    parent
        Owns the plots, and gives their colours.
    """

    def __init__(self, parent: QWidget) -> None:
        pg = plotting()
        self.lines: dict[str, Any] = {}
        self.loss, self.held = (pg.PlotWidget(parent, background=None, enableMenu=False) for _ in range(2))
        for plot, height in zip((self.loss, self.held), HEIGHTS, strict=True):
            plot.setFixedHeight(height)
            plot.setFrameShape(plot.Shape.NoFrame)
            plot.setMouseEnabled(x=False, y=False)
            plot.hideButtons()
            plot.getPlotItem().layout.setColumnFixedWidth(2, SIDE)
            plot.getAxis("left").setWidth(SIDE)
            for side in ("left", "right", "bottom"):
                # Else pyqtgraph scales small losses and writes the factor beside the name.
                plot.getAxis(side).enableAutoSIPrefix(False)
        self.held.showAxis("right")
        self.held.getAxis("right").setWidth(SIDE)
        self.loss.getAxis("bottom").setStyle(showValues=False)
        self.held.setXLink(self.loss)
        self._right = pg.ViewBox(enableMenu=False, enableMouse=False)
        self._link_right()
        self._draw(pg)
        self.paint(parent.palette())

    def _link_right(self) -> None:
        """The right axis of pyqtgraph is an axis alone: what is drawn there needs a view of its own over the plot."""
        self.held.scene().addItem(self._right)
        self.held.getAxis("right").linkToView(self._right)
        self._right.setXLink(self.held.getViewBox())
        self.held.getViewBox().sigResized.connect(self._fit)

    def tell(self, log: RoundLog) -> None:
        """Show a story that has steps or checks."""
        self.lines["raw"].setData(log.steps, log.losses)
        self.lines["loss"].setData(log.steps, log.smooth)
        with_base = bool(log.checks) and log.checks[0].step == 0
        for name in ("dice", "hd95"):
            values = [getattr(check, name) for check in log.checks]
            self.lines[name].setData([check.step for check in log.checks], values)
            self.lines[f"{name} base"].setVisible(with_base)
            if with_base:
                self.lines[f"{name} base"].setValue(values[0])
            view = self.held.getViewBox() if name == "dice" else self._right
            view.setYRange(*_span(values))
        self.held.setVisible(bool(log.checks))
        self.loss.setXRange(0, max(log.total, log.step, 1), padding=0.02)

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
        # Again: what the link has worked out before was for views of other shapes.
        self._right.linkedViewChanged(view, self._right.XAxis)

    def paint(self, palette: QPalette) -> None:
        """Take the colours of a theme."""
        pg = plotting()
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
