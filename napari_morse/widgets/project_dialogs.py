"""What is asked when a project is made or opened."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path

from napari.utils.notifications import show_error, show_info
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

from napari_morse.errors import MorseError
from napari_morse.session.edits import Unfinished
from napari_morse.session.project import (
    Project,
    ProjectLockedError,
    Source,
    from_bids,
    from_folders,
    from_list,
    with_patients,
)
from napari_morse.widgets.parts.combo import combo_box
from napari_morse.widgets.parts.text import Note

KINDS = {"a folder of scans": "folder", "a list (text or CSV)": "list", "a BIDS data set": "bids"}


class CasesDialog(QDialog):
    """Asks where cases come from, and whose they are."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.kind = combo_box(self, "Where the cases come from.")
        self.kind.addItems(list(KINDS))
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
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel, parent=self
        )
        buttons.accepted.connect(self.make)
        buttons.rejected.connect(self.reject)
        self.form = QFormLayout(self)
        rows = [
            ("Cases from", self.kind), ("Scans", cases), ("Masks", masks), ("Truth", truths), ("Patient", self.pattern),
            *self.more(),
        ]  # fmt: skip
        for label, field in rows:
            self.form.addRow(label, field)
        self.form.addRow(self.problem)
        self.form.addRow(buttons)
        self.resize(480, self.sizeHint().height())

    def more(self) -> list[tuple[str, QWidget]]:
        """Further rows, made now."""
        return []

    def act(self, sources: list[Source]) -> None:
        """Do it; a `MorseError` is said in the dialog, which stays."""
        raise NotImplementedError

    def make(self) -> None:
        """Do it with what was given; what is wrong is said in the dialog, which stays."""
        try:
            self.act(with_patients(self._sources(), self.pattern.text().strip()))
        except MorseError as error:
            self.problem.say(str(error))
            return
        self.accept()

    def _sources(self) -> list[Source]:
        place = Path(self.cases.text().strip())
        kind = KINDS[self.kind.currentText()]
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
        if KINDS[self.kind.currentText()] == "list":
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

    def act(self, sources: list[Source]) -> None:
        """Make the project."""
        self.project = Project.create(
            Path(self.folder.text().strip() or "."),
            sources,
            name=self.name.text(),
            reader=self.reader.text(),
            holdout_share=self.share.value() / 100,
        )


class AddCases(CasesDialog):
    """Adds cases to a project; scans that are in it already are left out."""

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        self._project = project
        self.added: list[str] = []
        super().__init__("Add cases", parent)

    def act(self, sources: list[Source]) -> None:
        """Add them."""
        self.added = self._project.add_cases(sources)
        show_info(f"{len(self.added)} cases were added.")


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
