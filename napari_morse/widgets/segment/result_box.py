"""The result in numbers, whose it is, and the way to keep it as files."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_morse.session import Row, ToSave, size_unit
from napari_morse.types import Prediction, Scan
from napari_morse.widgets.base.text import RESEARCH_ONLY, Elided, Note
from napari_morse.widgets.case.save_box import SaveBox
from napari_morse.widgets.segment.patch_table import PatchTable
from napari_morse.widgets.segment.result_table import ResultTable


class ResultBox(QWidget):
    """Caption, table, doubtful patches and “Save masks…”; hidden until there is a result.

    Parameters
    ----------
    current
        Gives what there is to be saved, edits included; see `SaveBox`.
    parent
        Owner.
    """

    def __init__(self, current: Callable[[], ToSave | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.caption = Elided(parent=self)
        self.table = ResultTable(self)
        self.patches = PatchTable(self)
        self.save = SaveBox(current, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.caption, self.table, self.patches, self.save, Note(RESEARCH_ONLY, self)):
            layout.addWidget(widget)
        self.hide()

    def fill(self, rows: tuple[Row, ...], prediction: Prediction, scan: Scan) -> None:
        """Show the numbers of a result."""
        self.caption.say(f"{scan.stem}, by {prediction.model}")
        self.table.fill(rows, size_unit(scan))
        self.patches.fill(prediction.patches, prediction.rendered.labels)
        self.save.saved.say("")
        self.show()
