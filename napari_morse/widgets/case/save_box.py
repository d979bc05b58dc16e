"""“Save masks…”: a folder is asked for, and the masks of the scan in view are written beside the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFileDialog, QMessageBox, QPushButton, QVBoxLayout, QWidget

import napari_morse
from napari_morse.errors import CancelledError, MorseError
from napari_morse.session import ToSave, WouldReplaceError, save_masks
from napari_morse.widgets.base import JobRunner, Note, Work

SAVE_TIP = (
    "Save the corrected mask, where there is one, and the coarse and the rendered mask, as NIfTI on the scan's own "
    "grid; points and patches as tables."
)

_LAST: list[Path] = []
"""Where masks were saved last, since napari was started."""


def start_folder(source: Path | None) -> Path:
    """Where a dialog for masks begins: the folder of last time, else the scan's own.

    Never in the installed package, where the sample scans lie, nor where a file of no folder would be.
    """
    package = Path(napari_morse.__file__).resolve().parent
    ours = (package, (package / "sample_data").resolve())  # a link in a development installation
    beside = source.resolve().parent if source is not None and source.is_absolute() else None
    if beside is not None and any(folder in (beside, *beside.parents) for folder in ours):
        beside = None
    found = _LAST[0] if _LAST else beside
    return found if found is not None and found.is_dir() else Path.home()


class SaveBox(QWidget):
    """The button, and what came of it.

    Parameters
    ----------
    current
        Gives what there is to be saved now; None where there is nothing.
    parent
        Owner.
    """

    def __init__(self, current: Callable[[], ToSave | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._current = current
        self.runner = JobRunner("morse-save", self)
        self._pending: tuple[ToSave, Path] | None = None
        self.button = QPushButton("Save masks…", self)
        self.button.setToolTip(SAVE_TIP)
        self.saved = Note(parent=self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.saved)
        self._shown: tuple[object, ...] = ()
        self.left_out: Callable[[], str] = str
        """What is said of masks that are not among those that were saved."""
        self.button.clicked.connect(self._on_save)
        self.runner.succeeded.connect(self._on_saved)
        self.runner.failed.connect(self._on_failed)

    def follow(self, *shown: object) -> None:
        """What is said of the last saving is of another scan, or of less than there is now: say it no more."""
        same = len(shown) == len(self._shown) and all(a is b for a, b in zip(shown, self._shown, strict=True))
        self._shown = shown
        if not same and not self.runner.busy:
            self.saved.say("")

    def _on_save(self) -> None:
        if self.runner.busy:
            return
        try:
            what = self._current()
        except MorseError as error:
            self.saved.say("")
            show_error(str(error))
            return
        if what is None:
            self.saved.say("There is no mask of this scan yet: run a model, or press “Start correcting”.")
            return
        folder = QFileDialog.getExistingDirectory(self, "Folder for the masks", str(start_folder(what.scan.source)))
        if folder:
            self.save_into(what, Path(folder))

    def save_into(self, what: ToSave, folder: Path, *, replace: bool = False) -> None:
        """Write what there is into ``folder``, beside the window."""
        self._pending = what, folder
        self.button.setEnabled(False)
        self.button.setToolTip("The masks are being saved.")
        self.saved.say("saving")
        self.runner.start(_writing(what, folder, replace))

    def _on_saved(self, files: list[Path]) -> None:
        _LAST[:] = [files[0].parent]
        names = ", ".join(path.name for path in files)
        self._rest(f"Saved {names} in {files[0].parent}. {self.left_out()}".strip())

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
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
        return QMessageBox.question(self, "Save masks", question, yes | no, no) == yes

    def _rest(self, line: str) -> None:
        self._pending = None
        self.button.setEnabled(True)
        self.button.setToolTip(SAVE_TIP)
        self.saved.say(line)


def _writing(what: ToSave, folder: Path, replace: bool) -> Work:
    return lambda _tell, _cancelled: save_masks(what, folder, replace=replace)
