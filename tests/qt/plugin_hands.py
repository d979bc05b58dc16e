"""Hands on what napari itself puts around the plugin: its menus, its Preferences, the buttons of its docks."""

from __future__ import annotations


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
