"""Buttons that do something when they are pressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QPushButton, QWidget


def act_button(parent: QWidget, text: str, act: Callable[[], Any], tip: str = "") -> QPushButton:
    """A button; ``act`` is called without the state that Qt sends along."""
    button = QPushButton(text, parent)
    button.setToolTip(tip)
    button.clicked.connect(lambda _checked=False: act())
    return button
