"""napari's Preferences with the plugin in them: they open, and a key that is set there works in the dock."""

from __future__ import annotations

import pytest
import yaml
from napari import settings as napari_settings
from napari._qt.dialogs.preferences_dialog import PreferencesDialog
from napari.settings import NapariSettings, PluginSettings, get_plugin_settings
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QGroupBox, QLineEdit, QPushButton

from napari_morse.widgets.base import settings as own_settings_module
from napari_morse.widgets.base import shortcuts
from napari_morse.widgets.base.settings import KEYS_BEFORE, PLUGIN
from tests.fakes import FakeEngine, make_scan
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.plugin_hands import menu_act
from tests.widgets.segment.test_dock_run import run_through

PAGES = ["Keys of reviewing and correcting", "Opening files"]


@pytest.fixture
def file(plugin, plugin_settings, tmp_path, monkeypatch):
    """Where napari keeps what is set for the plugin; nothing of the person's own is read or written."""
    monkeypatch.setattr(napari_settings, "_SETTINGS", NapariSettings(config_path=tmp_path / "settings.yaml"))
    return tmp_path / f"{PLUGIN}.yaml"


def preferences(viewer, qtbot):
    """Open them by the menu, and turn to our page."""
    menu_act(viewer, "File", "Preferences").trigger()
    dialog = viewer.window._pref_dialog
    assert isinstance(dialog, PreferencesDialog) and dialog.isVisible()
    (row,) = (n for n in range(dialog._list.count()) if dialog._list.item(n).text() == "MORSE")
    place = dialog._list.visualItemRect(dialog._list.item(row)).center()
    qtbot.mouseClick(dialog._list.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert dialog._stack.currentIndex() == row
    return dialog


def group(dialog, title):
    return next(each for each in dialog._stack.currentWidget().findChildren(QGroupBox) if each.title() == title)


def line(dialog, act):
    return group(dialog, PAGES[0]).widgets[act]


def set_key(dialog, qtbot, act, key):
    edit = line(dialog, act)
    assert isinstance(edit, QLineEdit) and edit.isVisible()
    qtbot.mouseClick(edit, Qt.MouseButton.LeftButton)
    edit.selectAll()
    qtbot.keyClick(edit, Qt.Key.Key_Backspace)
    qtbot.keyClicks(edit, key)
    assert edit.text() == key


def press(dialog, qtbot, text):
    button = next(each for each in dialog.findChildren(QPushButton) if each.text() == text)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert not dialog.isVisible()


def messages():
    return [record.message for record in notification_manager.records]


def test_they_open_with_our_page(viewer, file, qtbot):
    dialog = preferences(viewer, qtbot)
    titles = [each.title() for each in dialog._stack.currentWidget().findChildren(QGroupBox)]
    assert sorted(titles) == PAGES
    for act, key in shortcuts.DEFAULTS.items():
        assert line(dialog, act).text() == key and line(dialog, act).toolTip()
    check = group(dialog, PAGES[1]).widgets["masks_as_labels"]
    assert isinstance(check, QCheckBox) and check.isChecked()
    press(dialog, qtbot, "Cancel")


def test_a_key_that_is_set_there_is_kept_and_works(viewer, file, qtbot):
    dialog = preferences(viewer, qtbot)
    set_key(dialog, qtbot, "next", "Shift-U")
    press(dialog, qtbot, "OK")
    assert yaml.safe_load(file.read_text()) == {"review_keys": {"next": "Shift-U"}}
    napari_settings._clear_plugin_settings_cache()  # as after a new start
    dock = add_dock(viewer, FakeEngine())
    qtbot.waitUntil(lambda: dock.segment.device.count() == 3)
    add_scan(viewer, make_scan())
    run_through(qtbot, dock)
    assert dock.review.next.text() == "Next [Shift-U]"
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_N)
    assert dock.walker.rank == -1
    qtbot.keyClick(canvas, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    assert dock.walker.rank == 0


def test_cancel_leaves_the_keys_as_they_were(viewer, file, qtbot):
    dialog = preferences(viewer, qtbot)
    set_key(dialog, qtbot, "next", "Shift-U")
    press(dialog, qtbot, "Cancel")
    assert shortcuts.chosen() == shortcuts.DEFAULTS
    dialog = preferences(viewer, qtbot)
    assert line(dialog, "next").text() == "N"
    press(dialog, qtbot, "OK")
    assert not yaml.safe_load(file.read_text())


def test_keys_set_under_the_name_of_before_are_carried_over_once(viewer, file, qtbot):
    file.write_text(yaml.safe_dump({KEYS_BEFORE: {"next": "Shift-U", "wire": "Shift-W", "edit": 5, "gone": "X"}}))
    before = yaml.safe_load(file.read_text())
    dialog = preferences(viewer, qtbot)  # opened before anything of ours
    press(dialog, qtbot, "OK")
    kept = {"next": "Shift-U", "wire": "Shift-W"}
    assert shortcuts.chosen() == {**shortcuts.DEFAULTS, **kept}
    assert before != yaml.safe_load(file.read_text()) == {"review_keys": kept}
    dialog = preferences(viewer, qtbot)
    assert line(dialog, "wire").text() == "Shift-W"
    set_key(dialog, qtbot, "wire", "W")
    press(dialog, qtbot, "OK")
    assert shortcuts.chosen() == {**shortcuts.DEFAULTS, "next": "Shift-U"}, "carried over once"
    napari_settings._clear_plugin_settings_cache()
    assert shortcuts.chosen() == {**shortcuts.DEFAULTS, "next": "Shift-U"}


def test_what_was_set_since_is_not_written_over(file):
    both = {KEYS_BEFORE: {"next": "Shift-U", "back": "Shift-B"}, "review_keys": {"next": "Shift-X"}}
    file.write_text(yaml.safe_dump(both))
    assert shortcuts.chosen() == {**shortcuts.DEFAULTS, "next": "Shift-X", "back": "Shift-B"}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (" ", "There is no key for “Accept the patch”."),
        ("Shift-", "“Shift-” is no key: it was set for “Accept the patch”."),
        ("Shift", "“Shift” is no key"),
        ("N J", "“N J” is no key"),
        ("ü" * 40, f"“{'ü' * 20}…” is no key"),
        ("P", "P is set for “Accept the patch”, but napari’s labels layer has it."),
        ("ctrl+g", "Ctrl+G is set for “Accept the patch”, but napari’s viewer has it."),
        ("Shift-N", "Shift+N is set for “Accept the patch”, but another act of the dock has it."),
        ("Q", "Q is set for “Accept the patch”, but another act of the dock has it."),
        ("Escape", "Escape is set for"),
    ],
)
def test_what_cannot_be_a_key(file, key, said):
    get_plugin_settings(PLUGIN).review_keys.accept = key
    assert shortcuts.trouble().startswith(said)
    assert shortcuts.chosen() == shortcuts.DEFAULTS


def test_what_cannot_be_a_key_is_said_when_the_dock_opens_and_the_usual_ones_are_in_use(
    viewer, file, qtbot, mock_app_model, monkeypatch
):
    monkeypatch.setattr("app_model.Application.get_app", lambda _name: mock_app_model)
    wrong = {
        "": "There is no key for “Accept the patch”.",
        "Nn": "“Nn” is no key: it was set for “Accept the patch”.",
        "n": "N is set for two acts: “Next open patch” and “Accept the patch”.",
        "Ctrl-O": "Ctrl+O is set for “Accept the patch”, but a menu of napari has it.",
    }
    for key, said in wrong.items():
        dialog = preferences(viewer, qtbot)
        set_key(dialog, qtbot, "accept", key)
        press(dialog, qtbot, "OK")
        before = len(messages())
        dock = add_dock(viewer, FakeEngine())
        (sentence,) = messages()[before:]
        assert sentence.startswith(said)
        assert sentence.endswith(
            "under File ▸ Preferences ▸ MORSE, the usual keys are in use: N, J, A, K, R, D, T, W, Y."
        )
        assert dock.review.accept.text() == "Accept [A]"
        viewer.window.remove_dock_widget(dock)


@pytest.mark.parametrize("text", ["review_k", "- next", "{", "review_keys: 3", "review_keys: {next: 5}", "\0"])
def test_a_damaged_file_leaves_the_usual_keys_and_what_holds_nothing_is_named_once(file, text):
    file.write_text(text)
    before = len(messages())
    own_settings_module._tell_once.cache_clear()
    for _ in range(3):
        assert shortcuts.chosen() == shortcuts.DEFAULTS and not shortcuts.trouble()
    told = messages()[before:]
    assert len(told) == (text in ("review_k", "- next"))
    assert all(f"{file.parent} holds no settings" in each and "Delete that file" in each for each in told)


def test_the_usual_keys_are_free(file):
    assert not shortcuts.trouble()


def test_no_name_of_our_settings_is_one_of_napari(plugin, file):
    fields = type(get_plugin_settings(PLUGIN)).model_fields
    ours = {name: kind.annotation for name, kind in fields.items() if name not in PluginSettings.model_fields}
    assert len(ours) == len(PAGES)
    for section, kind in ours.items():
        assert section not in NapariSettings.model_fields and not hasattr(PluginSettings, section)
        assert section == section.lower(), "the dialog looks for it so"
        # napari takes settings from variables NAPARI_SECTION_NAME; NAPARI_MORSE_… are ours for other things
        assert not "napari_morse_".startswith(f"napari_{section}_")
        assert not set(kind.model_fields) & {*PreferencesDialog.ui_schema, *NapariSettings.model_fields}
