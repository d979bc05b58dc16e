"""What napari draws with, where that has to be put right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RightContext:
    """Makes the canvas's OpenGL context the current one whenever a layer goes.

    napari deletes what a layer was drawn with at once, in whichever context is current: that of the window's own
    compositor, where something of it was redrawn last. Mesa then ends the program at a later frame.

    Parameters
    ----------
    viewer
        On whose canvas.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        viewer.layers.events.removing.connect(self._on_removing)

    def close(self) -> None:
        """Leave it to napari again."""
        self._viewer.layers.events.removing.disconnect(self._on_removing)

    def _on_removing(self, _event: Any = None) -> None:
        found: Any = self._viewer
        for name in ("window", "_qt_viewer", "canvas", "native"):
            found = getattr(found, name, None)
        if hasattr(found, "makeCurrent"):
            found.makeCurrent()
