"""Keys of the dock, bound on the viewer so that they work whichever layer is selected.

No layer type of napari uses these letters, and napari's own viewer keys do not either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_morse.widgets.base import MODE, POINTS, SWAP
from napari_morse.widgets.bridge import COMPARE_MODES
from napari_morse.widgets.view.comparison import Comparison

if TYPE_CHECKING:
    from napari.components import ViewerModel

LET_GO = 60
"""Milliseconds after which a key counts as let go: under X11 a held key that repeats may look as if it were let go."""


def bind(viewer: ViewerModel, comparison: Comparison) -> Callable[[], None]:
    """Bind the keys. Returns what takes them away again."""
    let_go = QTimer(comparison)
    let_go.setSingleShot(True)

    def back() -> None:
        comparison.swapped = False

    let_go.timeout.connect(back)

    def swap(_: Any) -> Iterator[None]:
        let_go.stop()
        comparison.swapped = True
        yield
        let_go.start(LET_GO)

    def mode(_: Any) -> None:
        if comparison.names:
            comparison.mode = COMPARE_MODES[(COMPARE_MODES.index(comparison.mode) + 1) % len(COMPARE_MODES)]

    def points(_: Any) -> None:
        comparison.toggle_points()

    keys = {SWAP: swap, MODE: mode, POINTS: points}
    for key, action in keys.items():
        viewer.bind_key(key, action, overwrite=True)

    def unbind() -> None:
        let_go.stop()
        for key in keys:
            viewer.bind_key(key, None)

    return unbind
