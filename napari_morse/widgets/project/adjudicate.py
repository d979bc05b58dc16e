"""Whose mask is final: the readers' outlines over the scan, how far they agree, and the choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QButtonGroup, QDialog, QDialogButtonBox, QLineEdit, QRadioButton, QVBoxLayout, QWidget

from napari_morse.errors import CancelledError, MorseError
from napari_morse.io.mask_store import load_store
from napari_morse.session.case import lacking
from napari_morse.session.case_files import CORRECTED
from napari_morse.session.project import SecondReading
from napari_morse.types import Label, Mask
from napari_morse.widgets.base import JobRunner, Note
from napari_morse.widgets.bridge import PALETTE, mask_layer_data
from napari_morse.widgets.case import CaseInView, ProjectHost, agreed

if TYPE_CHECKING:
    from napari.components import ViewerModel

FIRST_READER = "first"
LINE = 2
"""Voxels of the readers' outlines."""


class Adjudicate(QDialog):
    """Shows the second readings of the open case, and takes the choice; the window stays usable.

    Parameters
    ----------
    viewer
        Where the readers' masks are shown as outlines; those layers go with the dialog.
    host
        Holds the case.
    here
        The case, which is the open one; the dialog goes with it.
    readings
        The submitted ones.
    parent
        Owner.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        host: ProjectHost,
        here: CaseInView,
        readings: list[SecondReading],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Whose mask is final?")
        self._viewer, self._host, self._here, self._readings = viewer, host, here, readings
        self._case = here.work.id
        self.layers: list[Labels] = []
        self._over = False
        self._masks: dict[str, Any] | None = None
        self._group = QButtonGroup(self)
        self.choices: dict[str, QRadioButton] = {}
        self.reason = QLineEdit(self)
        self.reason.setPlaceholderText("why")
        self.reason.setToolTip("Stands in the audit trail, and as the case's comment.")
        self.problem = Note(parent=self)
        layout = QVBoxLayout(self)
        layout.addWidget(Note("The readers' outlines lie over the scan. The chosen mask is exported.", self))
        for reader, text in ((FIRST_READER, "the first reader's"), *((r.reader, _told(r)) for r in readings)):
            button = self.choices[reader] = QRadioButton(text, self)
            self._group.addButton(button)
            layout.addWidget(button)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel, parent=self
        )
        self.buttons.accepted.connect(self.choose)
        self.buttons.rejected.connect(self.reject)
        for widget in (self.reason, self.problem, self.buttons):
            layout.addWidget(widget)
        self.finished.connect(self._take_away)
        # It goes with the case: its layers lie on that scan, and its choice is of that mask.
        host.leaving.connect(self.reject)
        self.reader = JobRunner("morse-readings", self)
        self.reader.succeeded.connect(self._on_masks)
        self.reader.failed.connect(self._on_failed)
        self._load()

    def choose(self) -> None:
        """Keep the choice."""
        chosen = next((reader for reader, button in self.choices.items() if button.isChecked()), "")
        if not chosen:
            self.problem.say("Choose whose mask is final.")
            return
        if not self.reason.text().strip():
            self.problem.say("Say why: the reason stands in the audit trail.")
            return
        if self._lacks(chosen):
            return
        if self._host.try_to(lambda project: project.adjudicate(self._case, chosen, self.reason.text())):
            self.accept()
            # After the dialog is closed: to go on takes the case away, and with it a dialog that is still open.
            if chosen != FIRST_READER:
                self._host.go(self._case)

    def _lacks(self, chosen: str) -> bool:
        """Whether the chosen mask lacks something, and the person does not take it so; also while it is being read."""
        if self._host.here is not self._here:
            return True
        if chosen == FIRST_READER and self._host.unwritten:
            self.problem.say(self._host.unwritten)
            return True
        if self._masks is None:
            self.problem.say("The readers' masks are being read: a moment.")
            return True
        decisions = self._host.decisions
        if chosen == FIRST_READER:
            found = decisions.of_open(self._here.row)
        else:
            found = lacking(self._masks.get(chosen), decisions.expected(self._here.row))
        return bool(found) and not agreed(f"{found.sentence}\n\nAccept it all the same?", "Accept")

    def _load(self) -> None:
        try:
            folders = {r.reader: self._here.project.folder_of(self._case, r.reader) for r in self._readings}
        except MorseError as error:
            self.problem.say(str(error))
            return
        paths = {reader: folder / CORRECTED for reader, folder in folders.items()}
        self.reader.start(lambda _tell, _cancelled: _masks(paths))

    def _on_masks(self, masks: dict[str, Any]) -> None:
        # Masks that come after the dialog was closed would stay in the viewer, with nothing to take them away.
        if self._over or self._host.here is not self._here:
            return
        work = self._here.work
        self._masks = masks
        for place, (reader, data) in enumerate(masks.items()):
            colour = PALETTE[(place + 3) % len(PALETTE)]
            labels = tuple(Label(i, f"{reader}: label {i}", colour) for i in range(1, int(data.max()) + 1))
            mask = Mask(data, work.scan.grid, labels, work.scan.header)
            pixels, attributes, _ = mask_layer_data(mask, work.scan, f"{reader} · {work.scan.stem}")
            layer = Labels(pixels, **attributes)
            layer.contour = LINE
            self._viewer.add_layer(layer)
            layer.editable = False
            self.layers.append(layer)
        self._go_to()

    def _go_to(self) -> None:
        """To the slice on which the readers differ most."""
        first = self._here.layers.mask
        if first is None or not self.layers or self._viewer.dims.ndisplay != 2:
            return
        shown = np.asarray(first.data)
        differs = sum(np.count_nonzero(np.asarray(layer.data) != shown, axis=(1, 2)) for layer in self.layers)
        index = int(np.argmax(differs))
        place = first.data_to_world([index, *(n // 2 for n in shown.shape[1:])])
        self._viewer.dims.set_point(self._viewer.dims.ndim - first.ndim, float(place[0]))

    def _on_failed(self, error: Exception) -> None:
        # Empty, not None: they are not being read any more.
        self._masks = {}
        if not isinstance(error, CancelledError):
            show_error(f"The readers' masks could not be shown: {error}")

    def _take_away(self, _result: int = 0) -> None:
        self._over, self._masks = True, None
        self.reader.cancel()
        for layer in self.layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.layers = []


def _told(reading: SecondReading) -> str:
    found = reading.agreement
    if found is None:
        return f"{reading.reader}'s: no mask to compare"
    far = ""
    if found.hd95_mm is not None and found.asd_mm is not None:
        far = f", HD95 {found.hd95_mm:.1f} mm, ASD {found.asd_mm:.2f} mm"
    return f"{reading.reader}'s: Dice with the first {found.dice:.3f}{far}"


def _masks(paths: dict[str, Path]) -> dict[str, Any]:
    return {reader: load_store(path).data for reader, path in paths.items() if path.is_file()}
