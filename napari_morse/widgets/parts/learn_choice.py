"""What a round of fine-tuning shall do: from which model, under which name, how much of it, for how long."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QLineEdit, QWidget

from napari_morse.config import NAME
from napari_morse.session.learn.gather import new_name
from napari_morse.training.tuning.settings import TuneSettings, What
from napari_morse.widgets.parts.combo import combo_box

WHAT: dict[What, str] = {"head": "head only", "decoder": "head and decoder", "all": "everything"}
MINUTES = (1, 2, 5, 10, 30, 60)
USUAL: tuple[What, int] = ("decoder", 2)
JUDGES = ("held-out cases", "each case left out in turn")
TIPS = (
    "The model that is tuned; it stays as it is.",
    "Name of the new model in your library, if you keep it.",
    "Head only: quickest, changes the boundary alone. Everything: learns most, and may forget most.",
    "Time for reading the cases and training; judging the new model comes after it.",
    "Who judges. Left out in turn: every training case by a model tuned without it; takes as many times as long.",
)


class LearnChoice(QWidget):
    """Five fields; ``parent`` is the owner."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.base, self.what, self.minutes, self.judges = (combo_box(self, tip) for tip in (TIPS[0], *TIPS[2:]))
        self.name = QLineEdit(self)
        self.name.setToolTip(TIPS[1])
        self.name.setProperty("tip", TIPS[1])
        for what, text in WHAT.items():
            self.what.addItem(text, what)
        for minutes in MINUTES:
            self.minutes.addItem(f"{minutes} min", minutes)
        self.judges.addItems(list(JUDGES))
        self.what.setCurrentIndex(list(WHAT).index(USUAL[0]))
        self.minutes.setCurrentIndex(MINUTES.index(USUAL[1]))
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        rows = {
            "Tune": self.base, "New name": self.name, "Train": self.what, "Time": self.minutes,
            "Judge by": self.judges,
        }  # fmt: skip
        for text, field in rows.items():
            form.addRow(text, field)
        self._models: tuple[str, ...] = ()
        self._taken: set[str] = set()
        self._by_hand = self._named = False
        self.base.currentTextChanged.connect(self._on_base)
        self.what.currentIndexChanged.connect(self.changed)
        self.base.activated.connect(self._on_chosen)
        self.name.textEdited.connect(self._on_named)

    def offer(self, models: Sequence[str], taken: Sequence[str], chosen: str) -> None:
        """The models that there are; ``chosen`` is tuned until another one was chosen here; ``taken`` are no names."""
        now = self.base.currentText()
        with QSignalBlocker(self.base):
            if tuple(models) != self._models:
                self._models = tuple(models)
                self.base.clear()
                self.base.addItems(list(models))
            self.base.setCurrentText(now if self._by_hand and now in models else chosen)
        self._taken = {name.casefold() for name in taken}
        if self.base.currentText() != now or (not self._named and self.name.text().casefold() in self._taken):
            self._on_base(self.base.currentText())

    @property
    def blocked(self) -> str:
        """Why nothing can be begun with this; empty when it can."""
        name = self.name.text().strip()
        if not self.base.currentText():
            return "There is no model to tune: train or import one."
        if not re.fullmatch(NAME, name):
            return "Give the new model a name of letters, digits, dots, dashes and underscores."
        return f"There is a model named {name} already: choose another name." if name.casefold() in self._taken else ""

    @property
    def settings(self) -> TuneSettings:
        """For the run."""
        return TuneSettings(what=self.what.currentData(), minutes=float(self.minutes.currentData()))

    @property
    def leave_one_out(self) -> bool:
        """Whether the training cases judge, each left out in turn."""
        return self.judges.currentIndex() == 1

    def lock(self, why: str) -> None:
        """Nothing can be changed while a round runs."""
        for field in (self.base, self.name, self.what, self.minutes, self.judges):
            field.setEnabled(not why)
            field.setToolTip(why or str(field.property("tip")))

    def _on_chosen(self, _index: int = 0) -> None:
        self._by_hand = True

    def _on_named(self, text: str) -> None:
        self._named = bool(text.strip())
        self.changed.emit()

    def _on_base(self, base: str) -> None:
        if base and not self._named:
            self.name.setText(new_name(base))
        self.changed.emit()

    def renew(self) -> None:
        """The name was used: the next one."""
        self._named = False
        self._on_base(self.base.currentText())
