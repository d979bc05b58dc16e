"""Every key of the dock: those that are fixed, and those that the person sets in napari's preferences."""

from __future__ import annotations

from napari_morse.widgets.base.settings import KEYS_SECTION, own_settings

SWAP = "H"
"""Hold: the two masks change places."""
MODE = "G"
"""Side by side, contour over fill, difference, and around."""
POINTS = "Q"
"""Show or hide the points."""
NEXT, BEFORE, ACCEPT, REJECT = "Shift-N", "Shift-J", "Shift-Y", "Shift-R"
"""The next case and the one before; accept or reject this one."""
UNDO, REDO = "Control-Z", "Control-Shift-Z"
FIXED_KEYS = (
    SWAP, MODE, POINTS, NEXT, BEFORE, ACCEPT, REJECT, UNDO, REDO, "Enter", "Shift-Enter", "Backspace", "Escape"
)  # fmt: skip
"""Keys that cannot be set. Whichever layer is selected: no layer type of napari takes these."""
DEFAULTS = {
    "next": "N",
    "back": "J",
    "accept": "A",
    "take_coarse": "K",
    "rerender": "R",
    "edit": "D",
    "sharpen": "T",
    "wire": "W",
    "interpolate": "Y",
}
"""By act; the manifest says the same. No labels layer of napari takes these."""
KEY_HINT = "Until it is changed under File ▸ Preferences ▸ MORSE, the usual keys are in use: {}."
LONGEST_KEY = 20
"""Characters of what was typed that are shown."""


def chosen() -> dict[str, str]:
    """The key of each act; where a setting cannot be a key of ours, the default of all."""
    keys = _set()
    return dict(DEFAULTS) if _wrong(keys) else keys


def trouble() -> str:
    """Why the keys that were set are not in use, as a sentence with the way out; empty when they are."""
    wrong = _wrong(_set())
    return f"{wrong} {KEY_HINT.format(', '.join(DEFAULTS.values()))}" if wrong else ""


def _set() -> dict[str, str]:
    group = getattr(own_settings(), KEYS_SECTION, None)
    return {act: str(getattr(group, act, key)).strip() for act, key in DEFAULTS.items()}


def _wrong(keys: dict[str, str]) -> str:
    """The first that is wrong, as a sentence."""
    taken, ours = _taken(), dict[str, str]()
    for act, key in keys.items():
        name, parsed = _title(act), _parsed(key)
        if not key:
            return f"There is no key for “{name}”."
        if not parsed:
            return f"“{_short(key)}” is no key: it was set for “{name}”."
        if parsed in ours:
            return f"{parsed} is set for two acts: “{ours[parsed]}” and “{name}”."
        if parsed in taken:
            return f"{parsed} is set for “{name}”, but {taken[parsed]} has it."
        ours[parsed] = name
    return ""


def _short(key: str) -> str:
    return key if len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}…"


def _title(act: str) -> str:
    group = getattr(own_settings(), KEYS_SECTION, None)
    field = None if group is None else getattr(type(group), "model_fields", {}).get(act)
    return act.replace("_", " ") if field is None else str(field.title)


def _parsed(key: str) -> str:
    """A key as napari writes it; empty where it is none, or several in a row, or only held with others."""
    from app_model.types import KeyCode
    from napari.utils.key_bindings import coerce_keybinding

    try:
        parts = coerce_keybinding(key).parts
    except ValueError:
        return ""
    alone = KeyCode.UNKNOWN, KeyCode.Shift, KeyCode.Ctrl, KeyCode.Alt, KeyCode.Meta
    return str(parts[0]) if len(parts) == 1 and parts[0].key not in alone else ""


def _taken() -> dict[str, str]:
    """Who has a key already: napari's menus, its viewer, its labels layers, the dock itself."""
    from app_model import Application
    from napari.components import ViewerModel
    from napari.layers import Labels

    app = Application.get_app("napari")
    owners = {str(each.keybinding): "a menu of napari" for each in (() if app is None else app.keybindings)}
    for kind, who in ((ViewerModel, "napari’s viewer"), (Labels, "napari’s labels layer")):
        owners |= {str(key): who for key in kind.class_keymap}
    return owners | {_parsed(key): "another act of the dock" for key in FIXED_KEYS}
