"""Drop-down lists that fit into a narrow dock."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget


def combo_box(parent: QWidget, tip: str) -> QComboBox:
    """A list that takes the room there is; ``tip`` is its tooltip, also kept as the property ``tip``."""
    combo = QComboBox(parent)
    # By default a list is as wide as its longest entry, and a scan's name would widen the dock.
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    combo.setProperty("tip", tip)
    combo.setToolTip(tip)
    return combo
