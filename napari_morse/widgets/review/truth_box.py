"""Against a truth, when there is one: figures of the structure under work, after every act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_morse.errors import CancelledError, MorseError
from napari_morse.metrics import score
from napari_morse.types import Array, Scan
from napari_morse.widgets.base import JobRunner, Note, Work, combo_box
from napari_morse.widgets.bridge import lies_on, mask_of, role_of
from napari_morse.widgets.view import is_twin

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase

NO_TRUTH = "none"
COMPARE_DELAY = 150
"""Milliseconds after an act until figures are made again."""


@dataclass(frozen=True)
class _Figures:
    asked: int
    lines: tuple[str, ...]


class TruthBox(QWidget):
    """Dice, HD95 and ASD of the corrected mask, or of both of a model's, against a labels layer of the same grid.

    Parameters
    ----------
    active_case
        What is under work.
    parent
        Owner.
    """

    def __init__(self, active_case: ActiveCase, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._active_case = active_case
        self._asked, self._scan = 0, active_case.scan
        self._read: dict[Labels, Array] = {}
        """Voxels of the truth that is chosen, storage order, once they were read."""
        self.runner = JobRunner("morse-truth", self)
        self.combo = combo_box(
            self, "A mask on the same voxels that is known to be right. Its figures follow each stroke."
        )
        self.figures = Note(parent=self)
        row = QHBoxLayout()
        row.addWidget(QLabel("Truth", self))
        row.addWidget(self.combo, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.figures)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._measure)
        self.combo.currentIndexChanged.connect(self._on_chosen)
        self.runner.succeeded.connect(self._on_measured)
        self.runner.failed.connect(self._on_failed)
        active_case.changed.connect(self.refresh)
        active_case.rested.connect(self._later)
        self._layers = active_case.viewer.layers.events
        for event in (self._layers.inserted, self._layers.removed):
            event.connect(self._on_layers)
        self.refresh()

    def _on_layers(self, _event: Any = None) -> None:
        self.refresh()

    def refresh(self) -> None:
        """List what may be the truth."""
        if self._active_case.scan is not self._scan:
            self._scan, self._asked = self._active_case.scan, self._asked + 1
            self.figures.say("")  # of another scan, as are those that are being made
        candidates = self._candidates()
        chosen = self.combo.currentData()
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self.combo.addItem(NO_TRUTH, None)
            for layer in candidates:
                self.combo.addItem(layer.name, layer)
            if chosen in candidates:
                self.combo.setCurrentIndex(candidates.index(chosen) + 1)
        self.setVisible(bool(candidates))
        self._later()

    def _candidates(self) -> list[Labels]:
        """Labels layers of the scan in view, on its grid, that are neither under work nor a model's."""
        scan, corrected = self._active_case.scan, self._active_case.corrected
        if scan is None:
            return []
        layers = []
        for layer in self._active_case.viewer.layers:
            if not isinstance(layer, Labels) or is_twin(layer) or (corrected and layer is corrected.layer):
                continue
            if role_of(layer) not in {"", "mask"}:
                continue
            if lies_on(layer, scan) and self._active_case.holds(layer):
                layers.append(layer)
        return layers

    def _on_chosen(self, _index: int) -> None:
        self._read.clear()
        self._later()

    def _later(self, *_: Any) -> None:
        self._soon.start(COMPARE_DELAY)

    def _measure(self) -> None:
        """Ask for figures, beside the window; what was asked before is out of date."""
        self._asked += 1
        truth, scan = self.combo.currentData(), self._active_case.scan
        if truth is None or scan is None:
            self.figures.say("")
        else:
            self._compare(truth, scan)

    def _compare(self, truth: Labels, scan: Scan) -> None:
        masks, label = self._masks(), self._label()
        if not masks or not label:
            self.figures.say("" if masks else "There is no mask to compare with it yet.")
            return
        # Later, not dropped: the figures that are being made are of a mask before the last act.
        if self.runner.busy:
            self._soon.start(COMPARE_DELAY)
            return
        try:
            if truth not in self._read:
                self._read = {truth: np.asarray(mask_of(truth, scan=scan).data)}
        except MorseError as error:
            self.figures.say(str(error))
            return
        unit = "mm" if scan.size_known else "px"
        self.runner.start(_scoring(self._asked, masks, self._read[truth], label, scan.grid.spacing, unit))

    def _label(self) -> int:
        number = self._active_case.label
        return number or (self._active_case.labels[0].id if self._active_case.labels else 0)

    def _masks(self) -> dict[str, Array]:
        corrected, prediction = self._active_case.corrected, self._active_case.prediction
        if corrected is not None:
            # A copy: strokes go on in place while it is compared beside the window.
            return {"corrected": np.array(corrected.corrections.mask)}
        if prediction is not None:
            return {"coarse": prediction.coarse.data, "rendered": prediction.rendered.data}
        return {}

    def _on_measured(self, figures: _Figures) -> None:
        # Figures that were asked for before the last act, or on another scan, are out of date.
        if figures.asked == self._asked:
            self.figures.say("\n".join((self._active_case.name_of(self._label()), *figures.lines)))

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            self.figures.say(f"It could not be compared: {error}")

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._soon.stop()
        self.runner.cancel()
        for event in (self._layers.inserted, self._layers.removed):
            event.disconnect(self._on_layers)
        self._active_case.changed.disconnect(self.refresh)
        self._active_case.rested.disconnect(self._later)


def _scoring(
    asked: int, masks: dict[str, Array], truth: Array, label: int, spacing: tuple[float, ...], unit: str
) -> Work:
    def work(_tell: Any, _cancelled: Callable[[], bool]) -> _Figures:
        return _Figures(asked, tuple(_line(name, mask, truth, label, spacing, unit) for name, mask in masks.items()))

    return work


def _line(name: str, mask: Array, truth: Array, label: int, spacing: tuple[float, ...], unit: str) -> str:
    row = score(mask, truth, spacing, [label], merged=False)[0]
    if row.dice is None:
        return f"{name}: not there, nor in the truth"
    if row.hd95 is None:
        return f"{name}: Dice {row.dice:.3f} (one of the two is empty)"
    return f"{name}: Dice {row.dice:.3f}, HD95 {row.hd95:.1f} {unit}, ASD {row.asd:.2f} {unit}"
