"""A project's case in the window: its scan, the mask that is corrected or only seen, its row in the worklist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtCore import QObject

from napari_morse.session.case import OpenCase
from napari_morse.session.project import Case, Project, rules
from napari_morse.types import Label
from napari_morse.widgets.bridge import CONTOUR_WIDTH, is_of, mask_layer_data, scan_layer_data
from napari_morse.widgets.case.corrected_layer import CorrectedLayer

if TYPE_CHECKING:
    from napari.components import ViewerModel


class CaseLayers:
    """Adds them; `take_away` removes them, and whatever else lies on the case's scan.

    Parameters
    ----------
    viewer
        Gets them.
    work
        What was read.
    parent
        Owns the corrections' layer.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        work: OpenCase,
        parent: QObject,
    ) -> None:
        self._viewer, self._work = viewer, work
        data, attributes, _ = scan_layer_data(work.scan)
        self.scan = Image(data, **attributes)
        viewer.add_layer(self.scan)
        self.corrected: CorrectedLayer | None = None
        self.mask: Labels | None = None
        if work.corrections is not None:
            self.corrected = CorrectedLayer(viewer, work, parent)
            self.mask = self.corrected.layer
        elif work.view_only_mask is not None:
            data, attributes, _ = mask_layer_data(work.view_only_mask, work.scan, f"mask · {work.scan.stem}")
            self.mask = Labels(data, **attributes)
            self.mask.editable = False
            viewer.add_layer(self.mask)

    @property
    def seen(self) -> Labels | None:
        """The mask that is only seen: its reader has decided on it, or it may not be written."""
        return self.mask if self.corrected is None else None

    def outline(self, compared: bool) -> None:
        """Draw a mask that is only seen as a line while coarse and rendered mask are in view below it."""
        if self.seen is not None:
            self.seen.contour = CONTOUR_WIDTH if compared else 0
        for layer in self._viewer.layers:
            if is_of(layer, self._work.scan, "coarse", "rendered"):
                layer.editable = False  # what is to be corrected is the corrected mask, which is kept

    def take_away(self) -> None:
        """Take over what was painted last, and remove the layers."""
        if self.corrected is not None:
            # First: a stroke that is not yet an act would go with the layer.
            self.corrected.close_down()
        for layer in list(self._viewer.layers):
            # Looked for again: to remove one layer of a comparison takes its twins away with it.
            if is_of(layer, self._work.scan) and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        if self.corrected is not None:
            self.corrected.let_go()


@dataclass(frozen=True, eq=False)
class CaseInView:
    """A case of a project and its layers in the window; what one of the three says is of the two others.

    Parameters
    ----------
    project
        Whose case it is.
    work
        The open case.
    layers
        Its scan, and its mask.
    """

    project: Project
    work: OpenCase
    layers: CaseLayers

    @property
    def row(self) -> Case:
        """As the worklist has it."""
        corrected = self.layers.corrected
        if corrected is not None:
            corrected.rest()  # where it stands goes by what was just painted
        return self.project.case(self.work.id)

    @property
    def blind(self) -> bool:
        """Whether it is a second reading that is not submitted."""
        return self.work.id in self.project.to_read()

    @property
    def labels(self) -> tuple[Label, ...]:
        """Of its mask, those first that it was opened with."""
        corrected = self.layers.corrected
        return self.work.labels if corrected is None else (*self.work.labels, *corrected.labels)

    def set_editable(self, editable: bool) -> None:
        """Let the mask be painted on, or not while something else replaces it."""
        if self.layers.corrected is not None:
            self.layers.corrected.layer.editable = editable

    def take_strokes(self) -> None:
        """Take over what was painted a moment ago and is not an edit yet."""
        if self.layers.corrected is not None:
            self.layers.corrected.compare()

    def note_opened(self, project: Project) -> None:
        """Say in the project that it was opened, and what a model said of it."""
        if project.read_only:
            return
        project.current = self.work.id
        if self.work.record is not None:
            project.record_prediction(self.work.id, self.work.record)
        for status in rules.after_opening(project.case(self.work.id)).statuses:
            project.set_status([self.work.id], status)
