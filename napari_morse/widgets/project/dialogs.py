"""What is asked when a project is made or opened; scans are read beside the window."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QInputDialog,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QWidget,
)

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.edits import Unfinished
from napari_morse.session.project import (
    CaseFiles,
    Project,
    ProjectLockedError,
    check_new,
    from_bids,
    from_folders,
    from_list,
    read_scans,
    with_patients,
)
from napari_morse.widgets.base import JobRunner, Note, Tell, Work, combo_box

CASE_SOURCES = {"a folder of scans": "folder", "a list (text or CSV)": "list", "a BIDS data set": "bids"}


class CasesDialog(QDialog):
    """Asks where cases come from, and whose they are."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.kind = combo_box(self, "Where the cases come from.")
        self.kind.addItems(list(CASE_SOURCES))
        self.cases, cases = self._path("Folder or list of the scans; nothing is ever written there.", self._pick_cases)
        self.masks, masks = self._path("Masks to begin from, named as the scans; may be empty.", self._pick(False))
        self.truths, truths = self._path("Truth to judge by, named as the scans; may be empty.", self._pick(False))
        self.pattern = QLineEdit(self)
        self.pattern.setPlaceholderText("e.g. (P[0-9]+)_")
        self.pattern.setToolTip(
            "A pattern whose bracketed part, in the file's name, is the patient. Empty: BIDS sub-…, else every case "
            "is its own patient."
        )
        self.problem = Note(parent=self)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel, parent=self
        )
        self.buttons.accepted.connect(self.make)
        self.buttons.rejected.connect(self.reject)
        self.runner = JobRunner("morse-cases", self)
        self.runner.progressed.connect(self.problem.say)
        self.form = QFormLayout(self)
        rows = [
            ("Cases from", self.kind), ("Scans", cases), ("Masks", masks), ("Truth", truths), ("Patient", self.pattern),
            *self.more(),
        ]  # fmt: skip
        for label, field in rows:
            self.form.addRow(label, field)
        self._fields = [field for _, field in rows]
        self.form.addRow(self.problem)
        self.form.addRow(self.buttons)
        self.resize(480, self.sizeHint().height())

    def more(self) -> list[tuple[str, QWidget]]:
        """Further rows, made now."""
        return []

    def slow(self, sources: list[CaseFiles]) -> Work:
        """What is done beside the window with what was given; a `MorseError` is said in the dialog, which stays."""
        raise NotImplementedError

    def act(self, found: Any) -> None:
        """Do the rest in the window, with what the slow part gave; errors as there."""
        raise NotImplementedError

    def make(self) -> None:
        """Do it with what was given; what is wrong is said in the dialog, which stays. Comes back when it is done."""
        if self.runner.busy:
            return
        try:
            sources = with_patients(self._sources(), self.pattern.text().strip())
            self.act(self._beside(self.slow(sources)))
        except CancelledError:
            super().reject()
        except MorseError as error:
            self.problem.say(str(error))
        else:
            self.accept()

    def reject(self) -> None:
        """Close; what is done beside the window is ended first."""
        if self.runner.busy:
            self.runner.cancel()
        else:
            super().reject()

    def _beside(self, work: Work) -> Any:
        """What the work gives; the window lives on meanwhile, and all but Cancel waits."""
        ended: list[Any] = []
        loop = QEventLoop(self)
        for signal in (self.runner.succeeded, self.runner.failed):
            signal.connect(ended.append)
            signal.connect(loop.quit)
        self._wait(True)
        try:
            self.runner.start(work)
            loop.exec()
        finally:
            for signal in (self.runner.succeeded, self.runner.failed):
                signal.disconnect()
            self._wait(False)
            loop.deleteLater()
        if not ended:  # the program ends
            raise CancelledError
        if isinstance(ended[0], Exception):
            raise ended[0]
        return ended[0]

    def _wait(self, waiting: bool) -> None:
        for field in self._fields:
            field.setEnabled(not waiting)
        for button in self.buttons.buttons():
            if self.buttons.buttonRole(button) == QDialogButtonBox.ButtonRole.AcceptRole:
                button.setEnabled(not waiting)
        self.problem.say("")

    def _sources(self) -> list[CaseFiles]:
        place = Path(self.cases.text().strip())
        kind = CASE_SOURCES[self.kind.currentText()]
        if kind == "list":
            return list(from_list(place))
        if kind == "bids":
            return list(from_bids(place))
        return list(from_folders(place, _folder(self.masks), _folder(self.truths)))

    def _path(self, tip: str, pick: Callable[[], str]) -> tuple[QLineEdit, QWidget]:
        row = QWidget(self)
        field, button = QLineEdit(row), QPushButton("…", row)
        field.setToolTip(tip)
        button.setFixedWidth(28)
        button.setToolTip(tip)

        def choose() -> None:
            chosen = pick()
            if chosen:
                field.setText(chosen)

        button.clicked.connect(choose)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(field, 1)
        layout.addWidget(button)
        return field, row

    def _pick_cases(self) -> str:
        if CASE_SOURCES[self.kind.currentText()] == "list":
            return str(QFileDialog.getOpenFileName(self, "List of scans", "", "Lists (*.csv *.txt)")[0])
        return str(QFileDialog.getExistingDirectory(self, "Scans"))

    def _pick(self, new: bool) -> Callable[[], str]:
        title = "A new folder for the project" if new else "Folder"
        return lambda: str(QFileDialog.getExistingDirectory(self, title))


class NewProject(CasesDialog):
    """Also asks for names and the share that is held out; makes the project on OK."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self.project: Project | None = None
        super().__init__("New project", parent)

    def more(self) -> list[tuple[str, QWidget]]:
        """Folder, names and the share."""
        self.folder, folder = self._path("A new folder for the project.", self._pick(True))
        self.name = QLineEdit(self)
        self.name.setToolTip("What the project is called; empty: as its folder.")
        self.reader = QLineEdit(getpass.getuser(), self)
        self.reader.setToolTip("Who works with it: your name or initials stand beside every act.")
        self.share = QDoubleSpinBox(self)
        self.share.setRange(0, 90)
        self.share.setValue(20)
        self.share.setSuffix(" % of the patients")
        self.share.setToolTip("Held out for judging models, never for training; fixed for good.")
        return [("Project in", folder), ("Name", self.name), ("Reader", self.reader), ("Held out", self.share)]

    def slow(self, sources: list[CaseFiles]) -> Work:
        """Make the project."""
        # Read here: the thread must not ask a field of the window.
        folder, share = Path(self.folder.text().strip() or "."), self.share.value() / 100
        name, reader = self.name.text(), self.reader.text()

        def work(tell: Tell, cancelled: Callable[[], bool]) -> tuple[str, ...]:
            # Before any scan is read: that may take minutes, for a folder in which nothing can be made.
            check_new(folder, share)
            _read([source.scan for source in sources], tell, cancelled)
            with Project.create(folder, sources, name=name, reader=reader, holdout_share=share) as project:
                return project.duplicate_notices

        return work

    def act(self, found: tuple[str, ...]) -> None:
        """Open it in this thread, which it belongs to from now on."""
        self.project = Project.open(Path(self.folder.text().strip() or "."), reader=self.reader.text())
        if found:
            show_warning("\n".join(found))


class AddCases(CasesDialog):
    """Adds cases to a project; scans that are in it already are left out."""

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        self._project = project
        self.added: list[str] = []
        super().__init__("Add cases", parent)

    def slow(self, sources: list[CaseFiles]) -> Work:
        """Read their scans, and those that an older version added."""
        folder, reader = self._project.places.folder, self._project.reader

        def work(tell: Tell, cancelled: Callable[[], bool]) -> list[CaseFiles]:
            # A connection of its own: one of SQLite's belongs to the thread that opened it.
            with Project.open(folder, reader=reader, read_only=True) as project:
                scans = project.unread
            _read([*scans, *(source.scan for source in sources)], tell, cancelled)
            return sources

        return work

    def act(self, found: list[CaseFiles]) -> None:
        """Add them."""
        self.added = self._project.add_cases(found)
        show_info("\n".join((f"{len(self.added)} cases were added.", *self._project.duplicate_notices)))


def _read(scans: Sequence[Path], tell: Tell, cancelled: Callable[[], bool]) -> None:
    """Read scans, and say how far it is."""
    numbers = iter(range(1, len(scans) + 1))
    read_scans(scans, lambda: tell(f"Reading the scans: {next(numbers)} of {len(scans)}."), cancelled)


def _folder(field: QLineEdit) -> Path | None:
    text = field.text().strip()
    return Path(text) if text else None


def open_project(parent: QWidget) -> Project | None:
    """Ask for a folder and a name, and open the project; None when the person thinks better of it."""
    folder = QFileDialog.getExistingDirectory(parent, "Folder of the project")
    if not folder:
        return None
    reader, said = QInputDialog.getText(parent, "Open project", "Who is reading?", text=getpass.getuser())
    return open_as(parent, Path(folder), reader) if said else None


def open_as(parent: QWidget, folder: Path, reader: str) -> Project | None:
    """Open a project for a reader; what is in the way is asked or said."""
    try:
        return Project.open(folder, reader=reader)
    except ProjectLockedError as error:
        return _locked(parent, folder, reader, error)
    except MorseError as error:
        show_error(str(error))
        return None


def _locked(parent: QWidget, folder: Path, reader: str, error: ProjectLockedError) -> Project | None:
    box = QMessageBox(QMessageBox.Icon.Question, "Open project", str(error), parent=parent)
    take = box.addButton("Take over", QMessageBox.ButtonRole.DestructiveRole)
    look = box.addButton("Look only", QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    pressed = box.clickedButton()
    try:
        if pressed is take:
            return Project.open(folder, reader=reader, take_over=True)
        if pressed is look:
            return Project.open(folder, reader=reader, read_only=True)
    except MorseError as other:
        show_error(str(other))
    return None


def ask_unfinished(parent: QWidget, found: Unfinished) -> bool:
    """Whether strokes that were not saved are to be taken over."""
    steps = "one stroke" if found.steps == 1 else f"{found.steps} strokes"
    box = QMessageBox(
        QMessageBox.Icon.Question, "Corrections", f"The last session did not save {steps}.", parent=parent
    )
    recover = box.addButton("Recover", QMessageBox.ButtonRole.AcceptRole)
    box.addButton("Set aside", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(recover)
    box.exec()
    return box.clickedButton() is recover
