"""A held-out case as two models see it: the masks before and after a round side by side, the truth over both.

Where there is no base model, the truth stands in the place of the mask before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, QTimer

from napari_morse import zoo
from napari_morse.config import LabelEntry
from napari_morse.errors import CancelledError, GeometryError, InputError, MorseError
from napari_morse.io import open_mask
from napari_morse.session.case import OpenCase
from napari_morse.session.project import after_look
from napari_morse.training.finetuning.plan import Plan
from napari_morse.training.finetuning.verdict import WHENS, Verdict, mask_file
from napari_morse.types import Array, Label, Mask, Scan
from napari_morse.widgets.base import JobRunner, Tell, Work
from napari_morse.widgets.bridge import go_to, mask_layer_data
from napari_morse.widgets.case import ProjectHost
from napari_morse.widgets.segment import SegmentTab
from napari_morse.widgets.view import ResultLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel

TRUTH, NEW = "truth", "new model"
TRUTH_COLOUR = "#f0e442"
"""Of the truth's outline: Okabe and Ito's yellow, which structures get last."""
TRUTH_OUTLINE = 1
"""Voxels of that outline."""
POLL_MS = 50
"""Milliseconds until it is looked again whether the case's own result is in its place."""


class BeforeAfter(QObject):
    """Opens the case and adds its layers; they go with the case, or when something else is compared.

    Parameters
    ----------
    viewer
        Gets them.
    host
        Opens cases.
    segment
        Compares results, in the place of which the two masks come.
    parent
        Owner.
    """

    def __init__(
        self, viewer: ViewerModel, host: ProjectHost, segment: SegmentTab, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._host, self._segment = viewer, host, segment
        self._comparison = segment.comparison
        self._wanted: tuple[Path, str] | None = None
        self.layers: dict[str, Labels] = {}
        """``before``, ``after`` and ``truth``; or ``truth`` and ``new model``. The first two stand side by side."""
        self.runner = JobRunner("morse-before-after", self)
        self.runner.succeeded.connect(self._on_masks)
        self.runner.failed.connect(self._on_failed)
        host.changed.connect(self._on_host)
        host.leaving.connect(self._forget)
        self._comparison.changed.connect(self._on_comparison)

    def show(self, folder: Path, case: str) -> None:
        """Show a case of the round in a folder."""
        work = self._host.work
        if work is None or work.id != case:
            self._host.go(case)
        self._wanted = folder, case
        self._on_host()

    def _on_host(self) -> None:
        wanted, work = self._wanted, self._host.work
        if wanted is None or work is None or self.runner.busy:
            return
        folder, case = wanted
        if work.id == case:
            self._wanted = None
            self._read(folder, work)
        elif self._host.wanted != case:
            self._wanted = None  # another one was asked for meanwhile

    def _read(self, folder: Path, work: OpenCase) -> None:
        """Read what the round in a folder says of the open case, if that may be seen."""
        if self._host.blind:
            show_warning("You read this case blind: submit your reading before you look at what models say.")
            return
        opened = self._host.case
        if opened is not None:
            self._host.follow(opened, after_look(opened))
        self.runner.start(_reading(folder, work.id, work.scan))

    def _on_masks(self, read: tuple[Scan, Mapping[str, Array], tuple[Label, ...]]) -> None:
        scan, masks, known = read
        work, layers = self._host.work, self._host.layers
        # The very scan that was read for: a case opened again has another one, and layers of its own.
        if work is None or work.scan is not scan or layers is None:
            return
        # Layers of the case's own result are still coming: laid out after these, they would take their place.
        if self._segment.presenting:
            QTimer.singleShot(POLL_MS, partial(self._on_masks, read))
            return
        self._host.bring()
        self._comparison.close()
        self._take_away()
        for name, data in masks.items():
            self.layers[name] = self._add(name, data, scan, known)
        left, right = list(self.layers)[:2]
        if left != TRUTH:
            self.layers[TRUTH].contour = TRUTH_OUTLINE
        if layers.mask is not None and layers.mask in self._viewer.layers:
            self._viewer.layers.selection.active = layers.mask  # what the brush is for
        self._comparison.mode = "side"
        pair = self.layers[left], self.layers[right]
        self._comparison.open(ResultLayers(layers.scan, None, *pair, None, (left, right)))
        self._go_to(*pair)

    def _add(self, name: str, data: Array, scan: Scan, labels: tuple[Label, ...]) -> Labels:
        """Masks in the colours of their structures; the truth that is drawn over both in one of its own."""
        if name == TRUTH and self.layers:
            labels = tuple(Label(int(i), f"{name}: label {i}", TRUTH_COLOUR) for i in np.unique(data) if i)
        mask = Mask(data, scan.grid, labels, scan.header)
        pixels, attributes, _ = mask_layer_data(mask, scan, f"{name} · {scan.stem}")
        layer = Labels(pixels, **attributes)
        self._viewer.add_layer(layer)
        layer.editable = False
        return layer

    def _on_comparison(self) -> None:
        """Another result is shown, or none: these masks would lie over it."""
        shown = self._comparison.shown
        if self.layers and (shown is None or shown.coarse is not next(iter(self.layers.values()))):
            self._take_away()

    def _go_to(self, left: Labels, right: Labels) -> None:
        """To the slice on which the two differ most."""
        differs = np.argwhere(np.asarray(left.data) != np.asarray(right.data))
        if not len(differs) or self._viewer.dims.ndisplay != 2:
            return
        slices, counts = np.unique(differs[:, 0], return_counts=True)
        most = differs[differs[:, 0] == slices[np.argmax(counts)]]
        go_to(self._viewer, right, most.mean(axis=0).round().tolist())

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            show_error(f"The masks before and after could not be shown: {error}")

    def _take_away(self) -> None:
        layers, self.layers = self.layers, {}
        for layer in layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _forget(self) -> None:
        self.layers = {}

    def close_down(self) -> None:
        """Let go."""
        self._wanted = None
        self.runner.cancel()
        self._host.changed.disconnect(self._on_host)
        self._host.leaving.disconnect(self._forget)
        self._comparison.changed.disconnect(self._on_comparison)


def _reading(folder: Path, case: str, scan: Scan) -> Work:
    def work(_tell: Tell, _cancelled: Callable[[], bool]) -> Any:
        verdict = Verdict.read(folder)
        truths = [Path(judged.truth) for judged in verdict.cases if judged.case == case]
        if not truths:
            raise InputError(f"The round did not judge {case}.", "Choose a case of its verdict.")
        truth = {TRUTH: _truth(folder, truths[0])}
        files: dict[str, Path] = {when: mask_file(folder, case, when, "rendered") for when in WHENS} | truth
        if verdict.alone:
            files = truth | {NEW: mask_file(folder, case, "after", "rendered")}
        masks = {name: open_mask(path) for name, path in files.items()}
        # The scan may have been replaced since the round judged: nothing is pasted by index.
        if not all(mask.grid.same_as(scan.grid) for mask in masks.values()):
            raise GeometryError("The masks do not lie on the scan's grid.", "Judge the models again with a new round.")
        return scan, {name: np.asarray(mask.data) for name, mask in masks.items()}, _labels(folder)

    return work


def _labels(folder: Path) -> tuple[Label, ...]:
    """The structures of the round's models, as far as the base model is still there."""
    plan = Plan.read(folder)
    known: tuple[LabelEntry, ...] = ()
    with suppress(MorseError):
        known = zoo.find(plan.model).card.labels
    return tuple(Label(x.id, x.name, x.color, x.code) for x in (*known, *plan.new_labels))


def _truth(folder: Path, planned: Path) -> Path:
    """The round's own copy, wherever the project lies by now."""
    copy = folder / "labels" / planned.name
    return copy if copy.is_file() else planned
