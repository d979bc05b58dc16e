"""Keys that work whichever of our layers is selected: points and shapes have letters of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from napari.layers import Layer, Points, Shapes
from napari.utils.key_bindings import coerce_keybinding

from napari_morse.widgets.bridge.to_layers import carrier_of

if TYPE_CHECKING:
    from napari.components import ViewerModel


class LayerKeys:
    """Binds keys on the viewer, and on those of our layers that would take them for themselves.

    Parameters
    ----------
    viewer
        Gets the keys.
    acts
        What each key does.
    """

    def __init__(self, viewer: ViewerModel, acts: Mapping[str, Callable[[], Any]]) -> None:
        self._viewer, self._acts = viewer, dict(acts)
        self._bound: list[Any] = []
        self._bind(viewer)
        for layer in viewer.layers:
            self._meet(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Take the keys away."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for target in self._bound:
            for key in self._acts:
                target.bind_key(key, None)
        self._bound = []

    def _bind(self, target: Any) -> None:
        for key, act in self._acts.items():
            target.bind_key(key, ignoring(act), overwrite=True)
        self._bound.append(target)

    def _meet(self, layer: Layer) -> None:
        # On layers of ours alone: a person's own points and shapes keep napari's keys.
        if isinstance(layer, Points | Shapes) and carrier_of(layer) is not None:
            self._bind(layer)

    def _on_inserted(self, event: Any) -> None:
        self._meet(event.value)

    def _on_removed(self, event: Any) -> None:
        # Not held any longer: a layer carries its scan, and through it a whole volume.
        self._bound = [target for target in self._bound if target is not event.value]


def ignoring(act: Callable[[], Any]) -> Callable[[Any], None]:
    """An act as napari calls one that is bound to a key: with whatever it is bound on."""

    def pressed(_target: Any) -> None:
        act()

    return pressed


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
