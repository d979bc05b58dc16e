"""The result in numbers, whose it is, and the way to keep it as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFileDialog, QMessageBox, QPushButton, QVBoxLayout, QWidget

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session import Row, WouldReplaceError, save_result, size_unit
from napari_morse.types import Prediction, Scan
from napari_morse.widgets.parts.patch_table import PatchTable
from napari_morse.widgets.parts.result_table import ResultTable
from napari_morse.widgets.parts.text import RESEARCH_ONLY, Elided, Note
from napari_morse.widgets.workers import JobRunner, Work

SAVE_TIP = "Save both masks as NIfTI on the scan's own grid, and points and patches as tables."
Result = tuple[Prediction, Scan]


class ResultBox(QWidget):
    """Caption, table, doubtful patches and “Save masks…”; hidden until there is a result.

    Parameters
    ----------
    current
        Gives the result as it is now, edits included.
    parent
        Owner.
    """

    def __init__(self, current: Callable[[], Result | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._current = current
        self.runner = JobRunner("morse-save", self)
        self._pending: tuple[Result, Path] | None = None
        self.caption = Elided(parent=self)
        self.table = ResultTable(self)
        self.patches = PatchTable(self)
        self.save = QPushButton("Save masks…", self)
        self.save.setToolTip(SAVE_TIP)
        self.saved = Note(parent=self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.caption, self.table, self.patches, self.save, self.saved, Note(RESEARCH_ONLY, self)):
            layout.addWidget(widget)
        self.save.clicked.connect(self._on_save)
        self.runner.succeeded.connect(self._on_saved)
        self.runner.failed.connect(self._on_failed)
        self.hide()

    def fill(self, rows: tuple[Row, ...], prediction: Prediction, scan: Scan) -> None:
        """Show the numbers of a result."""
        self.caption.say(f"{scan.stem}, by {prediction.model}")
        self.table.fill(rows, size_unit(scan))
        self.patches.fill(prediction.patches, prediction.rendered.labels)
        self.saved.say("")
        self.show()

    def _on_save(self) -> None:
        result = self._current()
        if result is None or self.runner.busy:
            return
        source = result[1].source
        start = str(source.parent) if source is not None else ""
        folder = QFileDialog.getExistingDirectory(self, "Folder for the masks", start)
        if folder:
            self.save_into(result, Path(folder))

    def save_into(self, result: Result, folder: Path, *, replace: bool = False) -> None:
        """Write ``result`` into ``folder``, beside the window."""
        self._pending = result, folder
        self.save.setEnabled(False)
        self.save.setToolTip("The masks are being saved.")
        self.saved.say("saving")
        self.runner.start(_writing(result, folder, replace))

    def _on_saved(self, files: list[Path]) -> None:
        self._rest(f"Saved {', '.join(path.name for path in files)} in {files[0].parent}.")

    def _on_failed(self, error: Exception) -> None:
        pending = self._pending
        self._rest("")
        if isinstance(error, WouldReplaceError) and pending is not None:
            if self._may_replace(error):
                self.save_into(*pending, replace=True)
        elif isinstance(error, MorseError):
            if not isinstance(error, CancelledError):
                show_error(str(error))
        else:
            show_error(f"The masks were not saved: {type(error).__name__}: {error}")

    def _may_replace(self, error: WouldReplaceError) -> bool:
        names = "\n".join(path.name for path in error.files)
        question = f"The folder already holds:\n{names}\n\nReplace?"
        return QMessageBox.question(self, "Save masks", question) == QMessageBox.StandardButton.Yes

    def _rest(self, line: str) -> None:
        self._pending = None
        self.save.setEnabled(True)
        self.save.setToolTip(SAVE_TIP)
        self.saved.say(line)


def _writing(result: Result, folder: Path, replace: bool) -> Work:
    return lambda _tell, _cancelled: save_result(*result, folder, replace=replace)
