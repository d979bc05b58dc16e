"""What a round of fine-tuning shall do: from which model, under which name, how much of it, for how long."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QLineEdit, QWidget

from napari_morse.config import MODEL_NAME
from napari_morse.session.learn import new_name
from napari_morse.training.settings import TuneSettings, What
from napari_morse.widgets.base import combo_box

WHAT: dict[What, str] = {"head": "head only", "decoder": "head and decoder", "all": "everything"}
MINUTES = (1, 2, 5, 10, 30, 60)
USUAL: tuple[What, int] = ("decoder", 2)
JUDGES = ("held-out cases", "each case left out in turn")
NEW_MODEL, WHOLE = "new, from these labels", "as the cases need"
ALL_OF_IT = "A new model learns everything from the ticked cases."
HELD_ONLY = "A new model is judged by the held-out cases."
SETTING_TIPS = (
    "The model that is tuned; it stays as it is. Or a new model, which learns from the ticked cases alone.",
    "Name of the new model in your library, if you keep it.",
    "Head only: quickest, changes the boundary alone. Everything: learns most, and may forget most.",
    "Time for reading the cases and training; judging comes after it. As the cases need: said once they were read.",
    "Who judges. Left out in turn: every training case by a model tuned without it; takes as many times as long.",
)


class LearnChoice(QWidget):
    """Five fields; ``parent`` is the owner."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.base, self.what, self.minutes, self.judges = (
            combo_box(self, tip) for tip in (SETTING_TIPS[0], *SETTING_TIPS[2:])
        )
        self.name = QLineEdit(self)
        self.name.setToolTip(SETTING_TIPS[1])
        self.name.setProperty("tip", SETTING_TIPS[1])
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
            "Model": self.base, "New name": self.name, "Train": self.what, "Time": self.minutes,
            "Judge by": self.judges,
        }  # fmt: skip
        for text, field in rows.items():
            form.addRow(text, field)
        self._models: tuple[str, ...] = ()
        self._taken: set[str] = set()
        self._by_hand = self._named = False
        self._locked = ""
        self._shows_anew = False
        """Whether what a new model leaves no choice of is shown as it will be."""
        self._before = self.what.currentIndex(), self.judges.currentIndex()
        """Rows of those choices before."""
        self.base.currentIndexChanged.connect(self._on_base)
        self.what.currentIndexChanged.connect(self.changed)
        # These two signals come from the person alone, not from what `offer` and `renew` set.
        self.base.activated.connect(self._on_chosen)
        self.name.textEdited.connect(self._on_named)

    @property
    def model(self) -> str:
        """Name of the model that is tuned; empty for a new model."""
        return str(self.base.currentData() or "")

    @property
    def whole(self) -> bool:
        """Whether a new model is trained for as long as suits the cases."""
        return not self.minutes.currentData()

    def offer(self, models: Sequence[str], taken: Sequence[str], chosen: str) -> None:
        """The models that there are; ``chosen`` is tuned until another one was chosen here; ``taken`` are no names."""
        current, fresh = self.model, self.base.count() == 0
        with QSignalBlocker(self.base):
            if fresh or tuple(models) != self._models:
                self._models = tuple(models)
                self.base.clear()
                for model in models:
                    self.base.addItem(model, model)
                self.base.addItem(NEW_MODEL, "")
            wanted = current if self._by_hand and current in (*models, "") else chosen
            self.base.setCurrentIndex(self.base.findData(wanted))
        self._taken = {name.casefold() for name in taken}
        if fresh or self.model != current or (not self._named and self.name.text().casefold() in self._taken):
            self._on_base()

    @property
    def blocked(self) -> str:
        """Why nothing can be begun with this; empty when it can."""
        name = self.name.text().strip()
        if not re.fullmatch(MODEL_NAME, name):
            return "Give the new model a name of letters, digits, dots, dashes and underscores."
        return f"There is a model named {name} already: choose another name." if name.casefold() in self._taken else ""

    @property
    def settings(self) -> TuneSettings:
        """For the run."""
        if not self.model:
            return TuneSettings(what="all", minutes=float(self.minutes.currentData() or USUAL[1]))
        return TuneSettings(what=self.what.currentData(), minutes=float(self.minutes.currentData()))

    @property
    def leave_one_out(self) -> bool:
        """Whether the training cases judge, each left out in turn."""
        return bool(self.model) and self.judges.currentIndex() == 1

    def lock(self, why: str) -> None:
        """Nothing can be changed while a round runs."""
        self._locked = why
        anew = not self.model
        fixed: dict[QWidget, str] = {self.what: ALL_OF_IT if anew else "", self.judges: HELD_ONLY if anew else ""}
        for field in (self.base, self.name, self.what, self.minutes, self.judges):
            blocked = why or fixed.get(field, "")
            field.setEnabled(not blocked)
            field.setToolTip(blocked or str(field.property("tip")))

    def _on_chosen(self, _index: int = 0) -> None:
        self._by_hand = True

    def _on_named(self, text: str) -> None:
        self._named = bool(text.strip())
        self.changed.emit()

    def _on_base(self, _index: int = 0) -> None:
        if not self._named:
            self.name.setText(new_name(self.model))
        self._offer_times()
        self._show_fixed()
        self.lock(self._locked)
        self.changed.emit()

    def _offer_times(self) -> None:
        """A new model may take as long as it needs, which comes first then."""
        open_ended = self.minutes.itemData(0) == 0
        if self.model and open_ended:
            self.minutes.removeItem(0)
            self.minutes.setCurrentIndex(MINUTES.index(USUAL[1]))
        elif not self.model and not open_ended:
            self.minutes.insertItem(0, WHOLE, 0)
            self.minutes.setCurrentIndex(0)

    def _show_fixed(self) -> None:
        """What a new model leaves no choice of is shown as it will be, and comes back with a model to tune."""
        anew = not self.model
        if anew == self._shows_anew:
            return
        self._shows_anew = anew
        if anew:
            self._before = self.what.currentIndex(), self.judges.currentIndex()
        what, judges = (list(WHAT).index("all"), 0) if anew else self._before
        self.what.setCurrentIndex(what)
        self.judges.setCurrentIndex(judges)

    def renew(self, round_kept: bool) -> None:
        """The name was used: the next one; a new model whose round was kept can be tuned from now on."""
        self._named = False
        self._by_hand = self._by_hand and not (round_kept and not self.model)
        self._on_base()
