"""Labels with text that wraps and never widens the dock."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

RESEARCH_ONLY = "For research use; not a medical device."


class Note(QLabel):
    """Plain text over as many lines as it needs; hidden while it is empty."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        # Names of files and layers are in it: what looks like markup in them is no markup.
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.say(text)

    def say(self, text: str) -> None:
        """Show ``text``, or nothing."""
        self.setText(text)
        self.setVisible(bool(text))


class Banner(Note):
    """A note that must be seen: a coloured edge and a sign, readable on light and dark themes alike."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setStyleSheet("QLabel { border-left: 4px solid #e69f00; padding: 2px 2px 2px 6px; }")
        self.setAccessibleName("Warnings")

    def warn(self, sentences: tuple[str, ...]) -> None:
        """Show the sentences, one a line."""
        self.say("\n".join(f"⚠ {sentence}" for sentence in sentences))


class Elided(QLabel):
    """One line that ends in “…” where there is no room; the whole text, and what else there is, is in its tooltip."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._whole = text
        self.say(text)

    def say(self, text: str, more: str = "") -> None:
        """Show ``text``; ``more`` is told in the tooltip."""
        self._whole = text
        self.setToolTip(f"{text}\n{more}" if more else text)
        self._fit()

    @property
    def whole(self) -> str:
        """The text, whatever of it there is room for."""
        return self._whole

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """No width of its own: the text gives way."""
        # Not the text's width: one long name would widen the whole dock, which must work at 340 pixels.
        return QSize(20, self.fontMetrics().height() + 2)

    sizeHint = minimumSizeHint  # noqa: N815 (Qt's name)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Fit the text anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.contentsRect().width()
        self.setText(self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideRight, room))
