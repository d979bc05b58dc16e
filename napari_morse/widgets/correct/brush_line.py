"""Which mask the brush edits, always in view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_morse.widgets.base import Elided

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase

WARN = "QLabel { border-left: 4px solid #e69f00; padding-left: 4px; }"
CALM = "QLabel { border-left: 4px solid #009e73; padding-left: 4px; }"


class BrushLine(Elided):
    """Follows the selected layer and its label.

    Parameters
    ----------
    active_case
        Knows which layer is kept.
    parent
        Owner.
    """

    def __init__(self, active_case: ActiveCase, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._active_case, self._layer = active_case, None
        self.setAccessibleName("What the brush edits")
        active_case.viewer.layers.selection.events.active.connect(self._on_active)
        active_case.changed.connect(self.refresh)
        active_case.kept.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what is selected."""
        layer, corrected = self._active_case.viewer.layers.selection.active, self._active_case.corrected
        if not isinstance(layer, Labels):
            self._say("Brush edits: nothing (no mask is selected)", False)
        elif not layer.editable:
            self._say(f"Brush edits: nothing (“{layer.name}” is only looked at)", False)
        elif corrected is not None and layer is corrected.layer:
            number = self._active_case.label
            locked = ", which is locked" if number in self._active_case.locked else ""
            self._say(f"Brush edits: {self._active_case.name_of(number)}{locked} (corrected)", not locked)
        else:
            self._say(f"Brush edits: {layer.name} (strokes on it are not kept)", False)

    def _say(self, text: str, calm: bool) -> None:
        corrected = self._active_case.corrected
        why = corrected.unwritten.why if corrected is not None else ""
        self.say(text, why or "Strokes on the corrected mask are on the disk as soon as they are drawn.")
        self.setStyleSheet(CALM if calm and not why else WARN)

    def _on_active(self, _event: Any = None) -> None:
        self.refresh()

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._active_case.viewer.layers.selection.events.active.disconnect(self._on_active)
        self._active_case.changed.disconnect(self.refresh)
        self._active_case.kept.disconnect(self.refresh)
