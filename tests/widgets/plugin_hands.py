"""Hands on what napari itself puts around the plugin: its menus, and the buttons of its docks."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication, QDockWidget, QPushButton

CLOSE, HIDE, FLOAT = "QTitleBarCloseButton", "QTitleBarHideButton", "QTitleBarFloatButton"


def menu_act(viewer, *titles):
    """What stands in the menu bar under these titles, one inside of the other."""
    acts = viewer.window._qt_window.menuBar().actions()
    for title in titles:
        act = next(act for act in acts if act.text().replace("&", "") == title)
        menu = act.menu()
        if menu is not None:
            menu.aboutToShow.emit()
            acts = menu.actions()
    return act


def around(widget):
    """napari's dock around a widget; None where there is none."""
    while widget is not None and not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget


def docks(viewer):
    """napari's docks that hold something of ours, by name."""
    found = viewer.window._qt_window.findChildren(QDockWidget)
    return {
        each.name: each for each in found if each.widget() is not None and "morse" in type(each.widget()).__module__
    }


def title_bar(dock, button, qtbot):
    """Press a button of a dock's title bar: closing it lasts until Qt has deleted it."""
    found = dock.titleBarWidget().findChild(QPushButton, button)
    qtbot.mouseClick(found, Qt.MouseButton.LeftButton)
    settle()


def settle():
    """Let everything happen that is due, and Qt delete what is to go."""
    for _ in range(2):
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
