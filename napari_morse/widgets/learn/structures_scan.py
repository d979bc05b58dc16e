"""Which structures the masks of the project's cases hold, read beside the window whenever one may have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_morse.session.case import Structures
from napari_morse.session.learn import MaskStructures, OpenMask, structures_in_masks
from napari_morse.session.project import Project
from napari_morse.types import Label
from napari_morse.widgets.base import JobRunner, Tell, Work
from napari_morse.widgets.case import ProjectHost


class StructuresLook(QObject):
    """Looks when it is asked to; what has not changed since is not read again.

    Parameters
    ----------
    host
        Holds the project, and the case under work, whose mask is read as it is in memory.
    parent
        Owner.
    """

    changed = Signal()
    """More is known, or the look has ended."""

    def __init__(self, host: ProjectHost, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._host = host
        self.runner = JobRunner("morse-structures", self)
        self.found: dict[str, MaskStructures] = {}
        """By case."""
        self._folder = Path()
        """Of the project of which that is; the empty path before there was one."""
        self._wanted: tuple[str, ...] = ()
        self._due = False
        """Whether to look at the cases that are wanted, once the look that is under way has ended."""
        self.runner.progressed.connect(self._on_found)
        self.runner.succeeded.connect(self._on_end)
        self.runner.failed.connect(self._on_end)

    @property
    def busy(self) -> bool:
        """Whether masks are being read."""
        return self.runner.busy

    def look(self, cases: Iterable[str]) -> None:
        """See what these cases' masks hold by now; while a look is under way, once it has ended."""
        self._wanted, self._due = tuple(cases), True
        project = self._host.project
        if project is None:
            self._forget(Path())
        else:
            self._look_into(project)

    def _look_into(self, project: Project) -> None:
        folder = project.places.folder
        if folder != self._folder:
            self._forget(folder)
        if not self.runner.busy:
            self._due = False
            # `found` as a copy: it is filled here while the thread reads it.
            self.runner.start(_looking(folder, project.reader, self._wanted, dict(self.found), self._under_work()))

    def _forget(self, folder: Path) -> None:
        """What the cases of another project hold."""
        self._folder = folder
        self.found.clear()

    def names(self) -> dict[int, str]:
        """What structures are called, by id: by a person, else in the open case, else by a model of any case."""
        corrected = self._host.corrected
        own = {label.id: label.name for label in (*self._host.session.labels, *(corrected.labels if corrected else ()))}
        from_models = {number: name for structures in self.found.values() for number, name in structures.names.items()}
        return from_models | own | {label.id: label.name for label in self._added()}

    def _added(self) -> tuple[Label, ...]:
        """By a person, in this project."""
        project = self._host.project
        return () if project is None else Structures(project.places.folder).labels

    def _under_work(self) -> OpenMask | None:
        corrected = self._host.corrected
        if corrected is None:
            return None
        return OpenMask(corrected.case.id, corrected.corrections.mask, corrected.corrections.state)

    def _on_found(self, message: tuple[Path, str, MaskStructures]) -> None:
        folder, case, structures = message
        if folder == self._folder:
            self.found[case] = structures
            self.changed.emit()

    def _on_end(self, _result: object) -> None:
        if self._due:
            self.look(self._wanted)
        else:
            self.changed.emit()

    def close_down(self) -> None:
        """Let go."""
        self._due = False
        self.runner.cancel()


def _looking(
    folder: Path, reader: str, cases: tuple[str, ...], known: dict[str, MaskStructures], open_case: OpenMask | None
) -> Work:
    def work(tell: Tell, cancelled: Callable[[], bool]) -> None:
        structures_in_masks(
            folder,
            reader,
            cases,
            known,
            open_case,
            lambda case, structures: tell((folder, case, structures)),
            cancelled,
        )

    return work
