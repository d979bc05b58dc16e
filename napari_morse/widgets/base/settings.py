"""Our settings, as napari keeps them for the person: in a file of the plugin's own beside napari's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

PLUGIN = "napari-morse"
KEYS_SECTION = "review_keys"
"""Section of the keys. Never one of napari's own sections: its Preferences would take ours for that one."""
KEYS_BEFORE = "shortcuts"
"""What that section was called before; napari has one of this name."""


def own_settings() -> Any | None:
    """What the person has set; None where napari does not know the plugin, and, after a sentence, cannot read it."""
    from napari.settings import get_plugin_settings

    try:
        settings = get_plugin_settings().get(PLUGIN)
    except AssertionError:  # what napari says of a file that holds no settings, as one that was written by half
        _tell_once()
        return None
    if settings is not None:
        _carry_over(settings)
    return settings


@cache
def _tell_once() -> None:
    from napari.settings import get_settings
    from napari.utils.notifications import show_warning

    path = get_settings().config_path
    where = "napari’s folder of settings" if path is None else str(Path(path).parent)
    show_warning(
        f"napari cannot read what was set for its plugins: one of their files in {where} holds no settings. Delete "
        f"that file ({PLUGIN}.yaml is this plugin’s) and start napari again; until then what is usual is in use."
    )


def _carry_over(settings: Any) -> None:
    """Take the keys that were set under the section's name of before; what was set since stays.

    napari has read them into memory, and leaves them out when it next writes the file: they are taken once.
    """
    before, group = settings.config_file_settings.pop(KEYS_BEFORE, None), getattr(settings, KEYS_SECTION, None)
    if group is None or not isinstance(before, dict):
        return
    untouched = {act for act, field in type(group).model_fields.items() if getattr(group, act) == field.default}
    earlier = {act: key for act, key in before.items() if act in untouched and isinstance(key, str)}
    if earlier:
        group.update(earlier)  # all at once: each change writes the file
