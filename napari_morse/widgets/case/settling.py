"""Before what is only in memory would go: asked, tried again, or saved elsewhere; never silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from napari.utils.notifications import show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox, QWidget

from napari_morse.errors import MorseError
from napari_morse.io import save_mask
from napari_morse.types import Mask
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.case.save_box import start_folder

Answer = Literal["again", "elsewhere", "lose", "stay"]
TITLE = "Not on the disk"
NIFTI_FILES = "NIfTI (*.nii.gz *.nii)"


def settled(corrected: CorrectedLayer, save: Callable[[], None], may_stay: bool) -> bool:
    """Whether a corrected mask may be left: all of it is on the disk, or the person has said what becomes of the rest.

    Parameters
    ----------
    corrected
        The mask.
    save
        Saves it, and returns when that has ended, well or not.
    may_stay
        Whether the person can go on with it instead.
    """
    corrected.compare()
    if corrected.unwritten.at_stake:
        # The cheap way first: lines of the journal. A whole mask is written only where they do not go.
        corrected.corrections.retry()
    if corrected.unwritten.at_stake:
        _waiting(save)
    # Asked again each time: “Try again” may fail again, and “Save elsewhere” may be cancelled.
    while corrected.unwritten.at_stake:
        answer = _asked(corrected, may_stay)
        if answer == "stay":
            return False
        if answer == "again":
            _waiting(save)
        elif answer == "lose" or save_elsewhere(corrected, QApplication.activeWindow()) is not None:
            corrected.unwritten.give_up()
    return True


def save_elsewhere(corrected: CorrectedLayer, parent: QWidget | None) -> Path | None:
    """Ask for a file, and write the mask as it is now into it; the file, or None."""
    scan = corrected.scan
    name = str(start_folder(scan.source) / f"{scan.stem}_corrected.nii.gz")
    chosen, _ = QFileDialog.getSaveFileName(parent, "Save the corrected mask elsewhere", name, NIFTI_FILES)
    if not chosen:
        return None
    path = Path(chosen)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        path = path.with_name(f"{path.name}.nii.gz")
    mask = Mask(np.array(corrected.corrections.mask), scan.grid, corrected.labels, scan.header)
    try:
        save_mask(mask, path, original=scan.source)
    except MorseError as error:
        QMessageBox.warning(parent, TITLE, str(error))
        return None
    show_info(f"The corrected mask as it is now is in {path}.")
    return path


def _asked(corrected: CorrectedLayer, may_stay: bool) -> Answer:
    box = QMessageBox(QMessageBox.Icon.Warning, TITLE, _text(corrected), parent=QApplication.activeWindow())
    answers: dict[object, Answer] = {}
    again = box.addButton("Try again", QMessageBox.ButtonRole.ActionRole)
    elsewhere = box.addButton("Save elsewhere…", QMessageBox.ButtonRole.ActionRole)
    lose = box.addButton("Lose it", QMessageBox.ButtonRole.DestructiveRole)
    answers |= {again: "again", elsewhere: "elsewhere", lose: "lose"}
    if may_stay:
        stay = box.addButton("Stay here", QMessageBox.ButtonRole.RejectRole)
        answers[stay] = "stay"
        box.setDefaultButton(stay)
        box.setEscapeButton(stay)
    else:
        box.setDefaultButton(elsewhere)
        box.setEscapeButton(elsewhere)
    box.exec()
    return answers.get(box.clickedButton(), "stay" if may_stay else "elsewhere")


def _text(corrected: CorrectedLayer) -> str:
    return (
        f"{corrected.unwritten.short} {corrected.corrections.trouble}\n\n"
        "It goes when you leave. Make space and try again, or save the mask elsewhere."
    )


def _waiting(save: Callable[[], None]) -> None:
    QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
    try:
        save()
    finally:
        QApplication.restoreOverrideCursor()
