"""What is done with a whole project from the window: report, export, more cases, scans that were moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QObject, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.project import FINAL, Case, Project
from napari_morse.session.report import Exported, build, export_masks, write
from napari_morse.widgets.base import JobRunner, Tell, Work
from napari_morse.widgets.case import CaseInView, ProjectHost
from napari_morse.widgets.project.adjudicate import Adjudicate

if TYPE_CHECKING:
    from napari.components import ViewerModel

REPORT = "report.html"


class ProjectActions(QObject):
    """Asks, and does it beside the window.

    Parameters
    ----------
    viewer
        For what is shown in it.
    host
        Holds the project.
    parent
        Of the dialogs.
    """

    told = Signal(str)
    """How far a report or an export is; empty when none is made."""

    def __init__(self, viewer: ViewerModel, host: ProjectHost, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._host, self._parent = viewer, host, parent
        self.runner = JobRunner("morse-report", self)
        self.adjudicating: Adjudicate | None = None
        self._waiting: Callable[[], None] | None = None
        self._what = ""
        self.runner.progressed.connect(self.told.emit)
        self.runner.succeeded.connect(self._on_done)
        self.runner.failed.connect(self._on_failed)
        host.keeper.writes.changed.connect(self._when_saved)

    def report(self, project: Project) -> None:
        """Write the report into the project's folder and show it in the browser."""
        target = project.places.reports
        if not project.writable:  # who only looks writes nothing there
            folder = QFileDialog.getExistingDirectory(self._parent, "Folder for the report")
            target = Path(folder)
            if not folder:
                return
        self._start("report", lambda: _reporting(project.places.folder, project.reader, target))

    def export(self, project: Project) -> None:
        """Ask for a folder, and write the masks that are accepted or corrected."""
        folder = QFileDialog.getExistingDirectory(self._parent, "Folder for the masks")
        if folder:
            self._start("export", lambda: _exporting(project.places.folder, project.reader, Path(folder)))

    def comment(self, case: Case) -> None:
        """Ask for a comment on a case."""
        text, said = QInputDialog.getMultiLineText(self._parent, "Comment", f"{case.stem}:", case.comment)
        if said:
            self._host.try_to(lambda project: project.comment(case.id, text))

    def undo_move(self, case: Case) -> None:
        """Take the last move of the open case back."""
        self._host.decisions.undo([case])

    def second_reader(self, case: Case) -> None:
        """Ask whom to ask for a blind second reading of a case."""
        reader, said = QInputDialog.getText(self._parent, "Second reader", "Who reads this case blind?")
        if said:
            self._host.try_to(lambda project: project.ask_second_reader(case.id, reader))

    def adjudicate(self, here: CaseInView) -> None:
        """Choose whose mask of the open case is final."""
        done = [reading for reading in here.project.readings(here.work.id) if reading.submitted]
        if not done:
            show_info("No second reading of this case is done.")
            return
        if self.adjudicating is not None:
            self.adjudicating.reject()
        self._host.bring()
        self.adjudicating = Adjudicate(self._viewer, self._host, here, done, self._parent)
        self.adjudicating.finished.connect(self._on_adjudicated)
        self.adjudicating.show()

    def _on_adjudicated(self) -> None:
        """Let go of the dialog: as a child of the bar it would live as long, and hold its case's scan and masks."""
        over, self.adjudicating = self.adjudicating, None
        if over is not None:
            over.deleteLater()

    def find_scans(self, project: Project) -> None:
        """Ask where scans that were moved are now."""
        # The old folder may be gone: it is typed, not chosen.
        asked = "Folder in which the scans were:"
        was, said = QInputDialog.getText(self._parent, "Find scans", asked, text=project.about.root)
        new = ""
        if said and was.strip():
            new = QFileDialog.getExistingDirectory(self._parent, "Folder in which they are now")
        if not new:
            return
        found: list[tuple[int, int]] = []
        if self._host.try_to(lambda project: found.append(project.find_scans(was.strip(), new))):
            here, missing = found[0]
            show_info(f"{here} scans were found; {missing} are still missing.")
            if self._host.work is None and project.current:
                self._host.go(project.current)

    def close_down(self) -> None:
        """Stop what runs."""
        self._waiting = None
        self.runner.cancel()
        if self.adjudicating is not None:
            self.adjudicating.reject()

    def _start(self, what: str, work: Callable[[], Work]) -> None:
        """Begin when all corrections are saved: one that is not would be missing."""
        if self.runner.busy or self._waiting is not None:
            show_warning("A report or an export is being made: wait until it is done.")
            return
        if self._host.corrected is not None:
            self._host.corrected.compare()
        self._host.keeper.save()
        self._what = what
        self._waiting = lambda: self.runner.start(work())
        self.told.emit(f"making the {what}")
        self._when_saved()

    def _when_saved(self) -> None:
        waiting = self._waiting
        if waiting is None or self._host.keeper.writes.busy:
            return
        self._waiting = None
        if why := self._host.unwritten:
            self.told.emit("")
            show_warning(f"The {self._what} is not made, it would lack what you drew last. {why}")
            return
        waiting()

    def _on_done(self, made: Any) -> None:
        self.told.emit("")
        if self._what == "report":
            show_info(f"The report is written: {made}")
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(made)))
            return
        failed = [row for row in made if row.trouble]
        show_info(f"{len(made) - len(failed)} of {len(made)} masks are written.")
        if failed:
            lines = "\n".join(f"{row.case}: {row.trouble}" for row in failed[:20])
            QMessageBox.warning(self._parent, "Export", f"{len(failed)} masks are not written:\n{lines}")

    def _on_failed(self, error: Exception) -> None:
        self.told.emit("")
        if isinstance(error, CancelledError):
            return
        show_error(str(error) if isinstance(error, MorseError) else f"The {self._what} failed: {error}")


def _reporting(folder: Path, reader: str, target: Path) -> Work:
    """A connection belongs to its thread, so the thread opens the project itself, to look only."""

    def work(tell: Tell, cancelled: Callable[[], bool]) -> Path:
        with Project.open(folder, reader=reader, read_only=True) as project:
            write(build(project, _counting("measuring", len(project.cases()), tell, cancelled)), target)
        return target / REPORT

    return work


def _exporting(folder: Path, reader: str, target: Path) -> Work:
    def work(tell: Tell, cancelled: Callable[[], bool]) -> list[Exported]:
        with Project.open(folder, reader=reader, read_only=True) as project:
            total = len(project.cases(statuses=FINAL))
            return export_masks(project, target, exported=_counting("writing", total, tell, cancelled))

    return work


def _counting(what: str, total: int, tell: Tell, cancelled: Callable[[], bool]) -> Callable[[Any], None]:
    done = 0

    def step(_: Any) -> None:
        nonlocal done
        done += 1
        if cancelled():
            raise CancelledError
        tell(f"{what} {done} of {total}")

    return step
