"""Who holds the event loop: a sampler that tells our own code from napari's, beat by beat."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path

import napari
import vispy
from qtpy.QtCore import QTimer

import napari_morse

OURS = str(Path(napari_morse.__file__).parent)
THEIRS = tuple(str(Path(module.__file__).parent) for module in (napari, vispy))
EVERY = 0.004


class Blame:
    """Longest time that our own frames were the innermost ones between two beats of the event loop.

    Time inside napari or vispy, also when our code called them, is theirs; anything else below one of our frames
    (NumPy, Qt) is ours. A stretch in which no sample could be taken, because something held the interpreter's lock,
    counts as ours when the sample at its end is ours.
    """

    def __init__(self):
        self.worst, self.where, self.theirs = 0.0, "", 0.0
        self._sums = {"ours": 0.0, "theirs": 0.0}
        self._places = Counter()
        self._main = threading.get_ident()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._thread = threading.Thread(target=self._watch, name="blame")

    def _beat(self):
        with self._lock:
            if self._sums["ours"] > self.worst:
                self.worst, self.where = self._sums["ours"], self._places.most_common(1)[0][0]
            self.theirs = max(self.theirs, self._sums["theirs"])
            self._sums = {"ours": 0.0, "theirs": 0.0}
            self._places.clear()

    def afresh(self):
        """The longest time since the last call and where it was spent; the watch begins anew."""
        with self._lock:
            found, self.worst, self.where = (self.worst, self.where), 0.0, ""
        return found

    def _watch(self):
        before, last, last_place = "idle", time.perf_counter(), ""
        while not self._stop.wait(EVERY):
            who, place = self._innermost()
            now = time.perf_counter()
            with self._lock:
                owner = "ours" if who == "ours" or (before == "ours" and who == "idle") else who
                if owner in self._sums:
                    self._sums[owner] += now - last
                if owner == "ours":
                    self._places[place or last_place] += now - last
                    last_place = place or last_place
            before, last = who, now

    def _innermost(self):
        frame = sys._current_frames().get(self._main)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(OURS):
                return "ours", f"{Path(name).name}:{frame.f_lineno}"
            if name.startswith(THEIRS):
                return "theirs", ""
            if name == __file__:
                return "idle", ""
            frame = frame.f_back
        return "idle", ""

    def __enter__(self):
        self._timer.start(2)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._timer.stop()
        self._stop.set()
        self._thread.join()
        self._beat()
