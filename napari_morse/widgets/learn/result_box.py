"""The end of a round: its verdict, and Keep, Discard or Roll back."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_morse.session.learn import RoundDecision
from napari_morse.training.finetuning.verdict import Verdict
from napari_morse.widgets.base import Elided, Note, act_button
from napari_morse.widgets.learn.verdict_table import VerdictTable

DECISION_TIPS = {
    "keep": "Put the new model into your library, and choose it for the next segmentation.",
    "discard": "Delete the new model; the verdict stays.",
    "roll_back": "Use the model that was tuned from again; the new one stays in your library.",
    "show": "Open the selected case, else the worst: before at the left, after at the right, the truth as an outline.",
}
SHOW_ALONE = "Open the selected case, else the worst: the truth at the left, the new model's mask at the right."
NO_PARENT = "There is no base model to go back to."
DECIDED: dict[RoundDecision, str] = {
    "": "",
    "kept": "Kept as {model}.",
    "discarded": "Discarded: {model} was deleted.",
    "rolled_back": "Rolled back to {parent}; {model} is still in the library.",
}


class LearnResult(QWidget):
    """Sentence, table, samples, buttons; hidden without a verdict."""

    keep_asked, discard_asked, roll_back_asked = Signal(), Signal(), Signal()
    show_asked = Signal(str)
    """Id of a held-out case."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._verdict: Verdict | None = None
        self._names: dict[str, str] = {}
        self.sentence = Note(parent=self)
        self.sentence.setStyleSheet(
            "QLabel { border-left: 4px solid #56b4e9; padding: 2px 2px 2px 6px; font-weight: bold; }"
        )
        self.sentence.setAccessibleName("Verdict")
        self.table = VerdictTable(self)
        self.coarse = QCheckBox("coarse masks", self)
        self.coarse.setToolTip("On: figures of the coarse masks. Off: of the rendered ones.")
        self.unjudged, self.samples, self.done = Note(parent=self), Elided(parent=self), Note(parent=self)
        self.show_case = act_button(self, "Show case", lambda: self.show_asked.emit(self.table.current))
        self.keep = act_button(self, "Keep", self.keep_asked.emit)
        self.discard = act_button(self, "Discard", self.discard_asked.emit)
        self.roll_back = act_button(self, "Roll back", self.roll_back_asked.emit)
        self._lay_out()
        self.coarse.toggled.connect(self._fill)
        self.table.chosen.connect(self.show_asked)
        self.hide()

    def _lay_out(self) -> None:
        look, acts = QHBoxLayout(), QHBoxLayout()
        look.addWidget(self.coarse, 1)
        look.addWidget(self.show_case)
        for button in (self.keep, self.discard, self.roll_back):
            acts.addWidget(button)
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        for widget in (self.sentence, self.unjudged, self.table):
            body.addWidget(widget)
        body.addLayout(look)
        body.addWidget(self.samples)
        body.addLayout(acts)
        body.addWidget(self.done)

    def tell(self, verdict: Verdict | None, names: dict[str, str]) -> None:
        """Show a verdict; ``names`` of cases, by id."""
        self.setVisible(verdict is not None)
        if verdict is self._verdict and names == self._names:
            return
        self._verdict, self._names = verdict, names
        if verdict is None:
            return
        self.sentence.say(verdict.sentence)
        self.unjudged.say(verdict.unjudged(names))
        samples = ", ".join(f"{name} {dice:.3f}" for name, dice in verdict.samples.items())
        more = "Dice between both models' masks of the sample scans: 1 where nothing changed."
        self.samples.say(f"Samples: {samples}", more)
        self.samples.setVisible(bool(samples))
        for widget in (self.coarse, self.show_case):
            widget.setVisible(bool(verdict.cases))
        self._fill()

    def decide(self, decision: RoundDecision, blocked: str) -> None:
        """Say what was decided, and what can be; ``blocked`` says why nothing can now."""
        verdict = self._verdict
        alone = verdict is not None and verdict.alone
        over = "" if not decision else "It is decided."
        back = "" if decision == "kept" else "Keep the model first."
        if decision == "rolled_back":
            back = over
        for button, name, why in (
            (self.keep, "keep", over), (self.discard, "discard", over),
            (self.roll_back, "roll_back", NO_PARENT if alone else back),
        ):  # fmt: skip
            _enable(button, blocked or why, DECISION_TIPS[name])
        _enable(self.show_case, "", SHOW_ALONE if alone else DECISION_TIPS["show"])
        self.done.say(
            DECIDED[decision].format(model=verdict.model, parent=verdict.parent) if verdict is not None else ""
        )

    def _fill(self) -> None:
        if self._verdict is not None:
            self.table.fill(self._verdict, "coarse" if self.coarse.isChecked() else "rendered", self._names)


def _enable(button: QPushButton, why: str, tip: str) -> None:
    button.setEnabled(not why)
    button.setToolTip(why or tip)
