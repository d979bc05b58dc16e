"""Questions that come up, answered with the mouse."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox


class Answers:
    """Presses buttons of questions as they come up, by their texts; what was asked is in ``asked``.

    ``act``, where it is set, is called with the question instead.
    """

    def __init__(self, *texts):
        self.texts, self.asked, self.defaults = list(texts), [], []
        self.act = None
        self._timer = QTimer()
        self._timer.setInterval(20)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def _look(self):
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox) and box.isVisible():
            self.asked.append(box.text())
            self.defaults.append(box.defaultButton().text().replace("&", ""))
            if self.act is not None:
                self.act(box)
                return
            text = self.texts.pop(0) if self.texts else None
            if text is None:  # nobody expected it: leave by Escape rather than hang
                box.reject()
            else:
                next(button for button in box.buttons() if button.text().replace("&", "") == text).click()

    def stop(self):
        self._timer.stop()


def chosen_file(monkeypatch, path):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
