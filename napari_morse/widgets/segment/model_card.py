"""What a model is, in a window of its own."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from napari_morse.widgets.base import RESEARCH_ONLY

if TYPE_CHECKING:
    from napari_morse.config import ModelCard
    from napari_morse.zoo import ModelInfo


def card_html(card: ModelCard) -> str:
    """The card as a small table."""
    structures = ", ".join(f'<span style="color:{e.color}">■</span> {escape(e.name)}' for e in card.labels)
    spacing = " × ".join(f"{s:g}" for s in card.spacing)
    rows = [
        ("Structures", structures),
        ("Reads", escape(", ".join(card.channels)) + f" at {spacing} mm"),
        ("Field of view", escape(" × ".join(f"{a:g}–{b:g}" for a, b in card.field_of_view)) + " mm"),
        ("Trained on", escape(f"{card.data.name}, {card.data.cases} cases ({card.data.licence})")),
        ("Attribution", escape(card.data.attribution)),
        *((escape(name), f"{value:g}") for name, value in card.metrics.items()),
        ("Tuned from", escape(card.tuned.parent if card.tuned else "")),
        ("Verdict", escape(card.tuned.verdict if card.tuned else "")),
        ("Made", escape(card.created)),
        ("Digest", f"<code>{escape(card.weights_sha256[:16])}…</code>"),
    ]
    body = "".join(f"<tr><td><b>{k}</b>&nbsp;&nbsp;</td><td>{v}</td></tr>" for k, v in rows if v.strip(" m"))
    head = f"<h3>{escape(card.name)} v{card.version}</h3><p>{escape(card.summary)}</p>"
    return f"{head}<table>{body}</table><p>{RESEARCH_ONLY}</p>"


class CardDialog(QDialog):
    """Shows the card of a model; closes with its parent."""

    def __init__(self, info: ModelInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Model {info.name}")
        text = QTextBrowser(self)
        text.setHtml(card_html(info.card))
        text.setToolTip("The model's card, as it lies beside its weights.")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)
        self.resize(460, 420)
