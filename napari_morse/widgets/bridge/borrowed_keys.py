"""Keys that are taken for a while, and given back as they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari.utils.key_bindings import coerce_keybinding

from napari_morse.widgets.bridge.layer_keys import ignoring


class BorrowedKeys:
    """Binds keys on a viewer or on layers; what they did before, they do again afterwards.

    Parameters
    ----------
    acts
        What each key does.
    """

    def __init__(self, acts: Mapping[str, Callable[[], Any]]) -> None:
        self._acts = {coerce_keybinding(key): ignoring(act) for key, act in acts.items()}
        self._before: list[tuple[Any, dict[Any, Any]]] = []

    def take(self, target: Any) -> None:
        """Bind the keys on a viewer or a layer that does not have them yet."""
        if any(each is target for each, _ in self._before):
            return
        self._before.append((target, {key: target.keymap.get(key) for key in self._acts}))
        for key, act in self._acts.items():
            target.bind_key(key, act, overwrite=True)

    def give_back(self) -> None:
        """Bind what was bound; a key that somebody else has bound since, or taken away, stays as it is."""
        for target, before in self._before:
            for key, act in self._acts.items():
                if target.keymap.get(key) is act:
                    target.bind_key(key, before[key], overwrite=True)
        self._before = []
