"""Run, how far it is, Cancel."""

from __future__ import annotations

import time

from qtpy.QtWidgets import QGridLayout, QProgressBar, QPushButton, QWidget

from napari_morse.widgets.base import Note

RUN_STAGES = {"coarse": "coarse mask, tile", "render": "boundary, block", "patches": "doubtful patches"}
"""What the engine's stages are called on the screen."""
RUN_TIP = "Segment the scan: coarse mask, then the boundary again, point by point."


class RunBar(QWidget):
    """Run and Cancel with a progress bar and the time left between them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.run = QPushButton("Run", self)
        self.cancel = QPushButton("Cancel", self)
        self.bar = QProgressBar(self)
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setToolTip("How far the run is.")
        self.line = Note(parent=self)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.run, 0, 0)
        layout.addWidget(self.bar, 0, 1)
        layout.addWidget(self.cancel, 0, 2)
        layout.addWidget(self.line, 1, 0, 1, 3)
        layout.setColumnStretch(1, 1)
        self._begun = 0.0
        self.rest("")

    def rest(self, blocked: str, line: str = "") -> None:
        """Nothing runs; ``blocked`` says why nothing can, or is empty."""
        self.run.setEnabled(not blocked)
        self.run.setToolTip(blocked or RUN_TIP)
        self.cancel.setEnabled(False)
        self.cancel.setToolTip("Nothing is running.")
        self.bar.setRange(0, 1000)
        self.bar.setValue(0)
        self.line.say(line or blocked)

    def start(self) -> None:
        """A run begins: how long its first stage takes is not known."""
        self.run.setEnabled(False)
        self.run.setToolTip("A segmentation is running: wait for it or cancel it.")
        self.cancel.setEnabled(True)
        self.cancel.setToolTip("Stop the run; nothing is kept of it.")
        self.bar.setRange(0, 0)
        self.line.say("loading the model")
        self._begun = 0.0

    def busy(self, line: str) -> None:
        """Something of unknown length goes on."""
        self.bar.setRange(0, 0)
        self.line.say(line)

    def cancelling(self) -> None:
        """Cancel was pressed; the present tile still runs."""
        self.cancel.setEnabled(False)
        self.cancel.setToolTip("Stops at the end of the present tile.")
        self.busy("cancelling")

    def advance(self, stage: str, done: int, total: int, fraction: float) -> None:
        """``done`` of ``total`` steps of a stage; ``fraction`` of the whole run."""
        moment = time.monotonic()
        # From the first step on: how long the model takes to load says nothing of the tiles.
        if not self._begun:
            self._begun = moment - 1e-3
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * fraction))
        left = (moment - self._begun) * (1 - fraction) / fraction if fraction > 0 else 0.0
        self.line.say(f"{fraction:.0%}   {RUN_STAGES.get(stage, stage)} {done}/{total}   {_seconds(left)} left")


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
