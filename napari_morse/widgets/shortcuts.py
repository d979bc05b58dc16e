"""Keys of reviewing and correcting, as the person has set them in napari's preferences."""

from __future__ import annotations

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


def chosen() -> dict[str, str]:
    """The key of each act; where a setting is no key, or one twice, the default of all."""
    from app_model.types import KeyBinding, KeyCode
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings().get("napari-morse")
    group = getattr(settings, "shortcuts", None)
    keys = {act: str(getattr(group, act, key) or key).strip() for act, key in DEFAULTS.items()}
    try:
        parsed = [KeyBinding.from_str(key) for key in keys.values()]
    except ValueError:
        return dict(DEFAULTS)
    known = all(KeyCode.UNKNOWN not in (part.key for part in each.parts) for each in parsed)
    return keys if known and len({str(each) for each in parsed}) == len(keys) else dict(DEFAULTS)
