"""Our settings, as napari keeps them for the person: in a file of the plugin's own beside napari's."""

from __future__ import annotations

from typing import Any

PLUGIN = "napari-morse"
KEYS = "review_keys"
"""Section of the keys. Never one of napari's own sections: its Preferences would take ours for that one."""
KEYS_BEFORE = "shortcuts"
"""What that section was called before; napari has one of this name."""


def own_settings() -> Any | None:
    """What the person has set; None where napari does not know the plugin."""
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings().get(PLUGIN)
    if settings is not None:
        _carry_over(settings)
    return settings


def _carry_over(settings: Any) -> None:
    """Take the keys that were set under the section's name of before; what was set since stays.

    napari has read them into memory, and leaves them out when it next writes the file: they are taken once.
    """
    before, group = settings.config_file_settings.pop(KEYS_BEFORE, None), getattr(settings, KEYS, None)
    if group is None or not isinstance(before, dict):
        return
    untouched = {act for act, field in type(group).model_fields.items() if getattr(group, act) == field.default}
    found = {act: key for act, key in before.items() if act in untouched and isinstance(key, str)}
    if found:
        group.update(found)  # all at once: each change writes the file
