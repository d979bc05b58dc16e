"""Start, Pause and Cancel of a round, and how far it is."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QGridLayout, QProgressBar, QPushButton, QWidget

from napari_morse.widgets.base import Note
from napari_morse.widgets.learn.event_log import RoundLog

START_TIP = "Train on the ticked cases, beside the window; the held-out ones judge the result."
CANCEL_TIP = "End the training; nothing is kept of it."
NOTHING_TRAINED = "Nothing is being trained."
STAYS_TIP = (
    "On: closing the window does not end the training; it is found again when the project is opened. Off: closing the"
    " window cancels it."
)


class LearnBar(QWidget):
    """Three buttons, a bar, a line, and whether training outlives the window."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.start, self.pause, self.cancel = (QPushButton(text, self) for text in ("Start", "Pause", "Cancel"))
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setToolTip("How far the training is.")
        self.line = Note(parent=self)
        self.stays = QCheckBox("goes on when the window closes", self)
        self.stays.setToolTip(STAYS_TIP)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for column, button in enumerate((self.start, self.pause, self.cancel)):
            layout.addWidget(button, 0, column)
        for row, widget in enumerate((self.bar, self.line, self.stays), start=1):
            layout.addWidget(widget, row, 0, 1, 3)
        self.rest("")

    def rest(self, blocked: str, line: str = "", resume: bool = False) -> None:
        """Nothing runs; ``blocked`` says why nothing can; ``resume``: the last round can go on."""
        self._enable(self.start, blocked, START_TIP)
        self._enable(self.pause, "" if resume else NOTHING_TRAINED, "Go on with the training from its last checkpoint.")
        self._enable(self.cancel, NOTHING_TRAINED, CANCEL_TIP)
        self.pause.setText("Go on" if resume else "Pause")
        self._advance(0.0)
        self.line.say(line or blocked)

    def busy(self, line: str, cancel: bool) -> None:
        """Something of unknown length goes on before or after the training."""
        self._enable(self.start, "Wait until it is done.", START_TIP)
        self._enable(self.pause, "It cannot be paused here.", "")
        self._enable(self.cancel, "" if cancel else "It is done in a moment.", CANCEL_TIP)
        self.pause.setText("Pause")
        self.bar.setRange(0, 0)
        self.line.say(line)

    def follow(self, log: RoundLog, paused: bool, asked: str) -> None:
        """A round runs; ``asked`` is what it was asked for and has not done yet."""
        self._enable(self.start, "A round is running: wait for it, or cancel it.", START_TIP)
        tip = "Let the training go on." if paused else "Let the training wait before its next step."
        self._enable(self.pause, f"{asked.capitalize()}: a moment." if asked else "", tip)
        self._enable(self.cancel, "Being cancelled." if asked == "cancelling" else "", CANCEL_TIP)
        self.pause.setText("Go on" if paused else "Pause")
        if log.phase == "training" and log.total:
            self._advance(log.fraction)
        else:
            self.bar.setRange(0, 0 if not paused else 1000)
        self.line.say(asked or ("paused; " if paused else "") + _progress(log))

    def _advance(self, fraction: float) -> None:
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * fraction))

    @staticmethod
    def _enable(button: QPushButton, why: str, tip: str) -> None:
        button.setEnabled(not why)
        button.setToolTip(why or tip)


def _progress(log: RoundLog) -> str:
    if log.phase == "judging":
        return "judging the new model on the held-out cases"
    if log.phase != "training":
        return "reading the cases" if log.anew else "reading the cases, and judging the base model"
    if not log.steps:
        if log.length:
            return f"{log.total} steps, about {log.length}"
        return f"about {log.total} steps fit into the time on this machine"
    left = f", {log.left} left" if log.left else ""
    return f"step {log.step} of {log.total}, loss {log.smooth[-1]:.3f}{left}"
