"""The dock at 340 × 720 pixels: nothing cut, everything explained."""

from __future__ import annotations

import subprocess
import sys

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QLabel,
    QPushButton,
    QRadioButton,
    QScrollBar,
)

from napari_morse.session import Row
from napari_morse.widgets.base.text import Elided
from tests.fakes import FakeEngine, make_scan
from tests.widgets.conftest import add_dock, add_scan

LONG = tuple(
    Row(i, name, "#0072b2", 12.34, 1234.56, 123456, 98765)
    for i, name in enumerate(("anterior hippocampus", "posterior hippocampus", "left ventricular myocardium"), 1)
)


def controls(dock):
    kinds = (QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider)
    for widget in dock.findChildren(kinds):
        inside = isinstance(widget.parent(), kinds) or isinstance(widget, QScrollBar)
        if widget.isVisible() and not inside and not widget.objectName().startswith("qt_"):
            yield widget


def cut(widget):
    """Why the text of a widget is cut, or empty."""
    text = widget.text() if hasattr(widget, "text") else widget.currentText()
    if not text or isinstance(widget, Elided):
        return ""
    wide = max(widget.fontMetrics().horizontalAdvance(line) for line in text.splitlines())
    if isinstance(widget, QLabel) and widget.wordWrap():
        needed = widget.heightForWidth(widget.width())
        return "" if widget.height() >= needed else f"{text!r}: {widget.height()} px high, needs {needed}"
    extra = 20 if isinstance(widget, (QRadioButton, QCheckBox, QComboBox)) else 0
    return "" if widget.width() >= wide + extra else f"{text!r}: {widget.width()} px wide, needs {wide + extra}"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_cut_at_340_by_720(viewer, qtbot, theme):
    viewer.theme = theme
    warning = "The voxels measure 0.7 × 0.7 × 1.2 mm; the model was trained on 1 × 1 × 1 mm."
    dock = add_dock(viewer, FakeEngine(warnings=(warning,)))
    scan = make_scan(stem="a_case_with_quite_a_long_name_0031_t1")
    add_scan(viewer, scan)
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        qtbot.mouseClick(dock.segment.run_bar.run, Qt.MouseButton.LeftButton)
    dock.segment.results.table.fill(LONG, "ml")
    viewer.window.resize(1000, 860 - dock.height() + 720)
    qtbot.waitUntil(lambda: (dock.width(), dock.height()) == (340, 720))
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    dock.walker.next()
    for tab in (2, 1, 0):
        dock.tabs.setCurrentIndex(tab)
        qtbot.wait(100)
        kinds = (QLabel, QPushButton, QRadioButton, QCheckBox, QComboBox)
        seen = [w for w in dock.findChildren(kinds) if w.isVisible()]
        assert [why for why in map(cut, seen) if why and why.split(":")[0] != repr(scan.stem)] == []
        for widget in seen:
            right = widget.mapTo(dock, widget.rect().topRight()).x()
            assert right <= 340, (widget, right)
    table = dock.segment.results.table
    for column in range(1, 5):
        texts = [table.horizontalHeaderItem(column).text(), *(table.item(r, column).text() for r in range(3))]
        lines = [line for text in texts for line in text.splitlines()]
        assert table.columnWidth(column) >= max(map(table.fontMetrics().horizontalAdvance, lines)) + 6
    name = table.visualItemRect(table.item(0, 0))
    words = max(table.fontMetrics().horizontalAdvance(word) for word in LONG[0].name.split())
    assert name.width() >= words + table.iconSize().width() + 4


def test_every_control_has_a_tooltip_and_disabled_ones_say_why(viewer, dock, qtbot):
    for widget in controls(dock):
        assert widget.toolTip(), widget
    assert "Open a scan" in dock.segment.run_bar.run.toolTip()
    assert "Open a scan" in dock.segment.region.draw.toolTip()
    assert "run a segmentation" in dock.view_bar.side.toolTip()
    assert "Open Sample" in dock.segment.run_bar.line.text()
    add_scan(viewer, make_scan())
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        qtbot.mouseClick(dock.segment.run_bar.run, Qt.MouseButton.LeftButton)
    for widget in controls(dock):
        assert widget.toolTip(), widget
    assert dock.view_bar.side.isEnabled() and "[G]" in dock.view_bar.side.toolTip()


def test_the_card_opens_and_goes_with_the_dock(viewer, dock, qtbot):
    from qtpy.QtWidgets import QTextBrowser

    from napari_morse.widgets.segment.model_card import CardDialog

    qtbot.mouseClick(dock.segment.card, Qt.MouseButton.LeftButton)
    card = dock.findChild(CardDialog)
    text = card.findChild(QTextBrowser).toPlainText()
    assert "fake-3d" in text and "anterior" in text and "not a medical device" in text
    card.close()
    qtbot.waitUntil(lambda: dock.findChild(CardDialog) is None)


def test_the_view_bar_drives_the_comparison(viewer, dock, qtbot):
    add_scan(viewer, make_scan())
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        qtbot.mouseClick(dock.segment.run_bar.run, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        dock.view_bar.contour.click()
    assert dock.comparison.mode == "contour" and not viewer.canvas.grid.enabled
    dock.view_bar.show_points.click()
    assert not dock.comparison.shown.points.visible
    dock.view_bar.point_size.setValue(11)
    assert set(dock.comparison.shown.points.size) == {1.1}


def test_the_window_s_thread_imports_no_torch():
    code = """
import sys, napari
from napari_morse.widgets.dock import MorseDock
viewer = napari.Viewer(show=False)
dock = MorseDock(viewer)
assert "torch" not in sys.modules and "monai" not in sys.modules
viewer.close()
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
