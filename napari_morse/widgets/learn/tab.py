"""The Learn tab: train the model on what was corrected, and see what it was worth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qtpy.QtCore import QObject, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QPlainTextEdit, QScrollArea, QVBoxLayout, QWidget

from napari_morse import zoo
from napari_morse.session.learn import HEAD_LEARNS_NONE, Candidate, Choice, candidates
from napari_morse.session.project import STATUS_WORDS, Project
from napari_morse.training.finetuning.verdict import Verdict
from napari_morse.widgets.base import RESEARCH_ONLY, Elided, Note
from napari_morse.widgets.learn.bar import LearnBar
from napari_morse.widgets.learn.case_list import EMPTY, LearnCases, counted
from napari_morse.widgets.learn.curves import LearnCurves
from napari_morse.widgets.learn.event_log import KEPT_LINES
from napari_morse.widgets.learn.jobs import NoRound
from napari_morse.widgets.learn.new_structures import LearnNew
from napari_morse.widgets.learn.result_box import LearnResult
from napari_morse.widgets.learn.rounds import Learner
from napari_morse.widgets.learn.settings_form import LearnChoice

REFRESH_MS = 200
"""Milliseconds after which a change of the project is shown: there is one at each stroke."""
LOG = 3
"""Lines of the log in view."""
NO_CASES = "Accept a corrected case first: the model learns from accepted and corrected cases."
NO_JUDGES = "No case is held out to judge the new model, so nothing will be said of what it is worth."
END_SENTENCES = {
    "stopped": "The training has stopped without coming to its end. It can go on from its last checkpoint.",
    "ready": "The training was made ready and has not begun.",
    "cancelled": "Cancelled; nothing was kept.",
}
TRY = "Go on tries again, from the last checkpoint where there is one; Start begins another round."


class LearnTab(QWidget):
    """Cases, choices, the run, its curves, its verdict.

    Parameters
    ----------
    learner
        Runs it.
    parent
        Owner.
    """

    def __init__(self, learner: Learner, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.learner = learner
        self._candidates: list[Candidate] = []
        self._status: dict[str, str] = {}
        self._project: object = None
        self._decided: tuple[Path, str] = (Path(), "")
        """The round for which models and names were offered last, and what was decided on it."""
        self._known: dict[str, set[int]] = {}
        """Label ids of the models, by name."""
        self.about, self.missing, self.sizes = Note(parent=self), Elided(parent=self), Elided(parent=self)
        self.cases, self.choice, self.bar = LearnCases(self), LearnChoice(self), LearnBar(self)
        self.new, self.curves, self.result = LearnNew(self), LearnCurves(self), LearnResult(self)
        self.recipe, self.log = Note(parent=self), QPlainTextEdit(self)
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(KEPT_LINES)
        self.log.setToolTip("What the training has said.")
        self.log.setAccessibleName("Log of the training")
        self._scrolled = Path()
        """Folder of the round whose verdict was scrolled to."""
        self._due, self._look = QTimer(self), QTimer(self)
        for timer, act in ((self._due, self.refresh), (self._look, self._scroll_to_result)):
            timer.setSingleShot(True)
            timer.setInterval(REFRESH_MS)
            timer.timeout.connect(act)
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        body = QVBoxLayout(self)
        body.setContentsMargins(4, 4, 4, 4)
        parts = (
            self.about, self.missing, self.cases, self.sizes, self.choice, self.new, self.bar, self.recipe,
            self.curves, self.log, self.result,
        )  # fmt: skip
        for widget in parts:
            body.addWidget(widget)
        body.addWidget(Note(RESEARCH_ONLY, self))
        body.addStretch(1)

    def _connect(self) -> None:
        learner = self.learner
        learner.changed.connect(self._on_learner)
        learner.told.connect(self._on_told)
        learner.structures.changed.connect(self._on_structures)
        learner.host.changed.connect(self._on_host)
        self.new.changed.connect(self._say)
        self.cases.changed.connect(self._say)
        self.choice.changed.connect(self._say)
        self.bar.start.clicked.connect(self.start)
        self.bar.pause.clicked.connect(learner.pause_or_go)
        self.bar.cancel.clicked.connect(learner.cancel)
        self.bar.stays.toggled.connect(self._on_stays)
        self.result.keep_asked.connect(learner.keep)
        self.result.discard_asked.connect(learner.discard)
        self.result.roll_back_asked.connect(learner.roll_back)
        self.result.show_asked.connect(learner.show_case)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Take up what has changed meanwhile."""
        super().showEvent(event)
        self._due.start(0)

    def start(self) -> None:
        """Begin a round with what is chosen."""
        if not self._blocked:
            choice = self.choice
            names, whole = self.learner.structures.names(), not choice.model and choice.whole
            self.learner.start(
                Choice(
                    choice.model, choice.name.text().strip(), self.cases.ticked, choice.settings,
                    choice.leave_one_out, self.new.on, names, whole, self.cases.sure,
                )
            )  # fmt: skip

    # What is so now

    def refresh(self) -> None:
        """Show the project and the models as they are."""
        project = self.learner.host.project
        if project is not self._project:
            self._project = project
            self.cases.forget()
        self._candidates, self._status = ([], {}) if project is None else _cases_of(project)
        self._fill()
        self._offer()
        self._say()
        self._show_story()
        if self.isVisible():
            self.learner.structures.look(case.id for case in self._candidates if not (case.held_out or case.missing))

    def _fill(self) -> None:
        """List the cases, with what is known of their masks by now."""
        held = self.learner.structures.found
        self.cases.fill(
            self._candidates, self._status, {case for case, structures in held.items() if not structures.ids}
        )

    def _on_structures(self) -> None:
        self._fill()
        self._say()

    def _offer(self) -> None:
        models = zoo.available()
        self._known = {info.name: {entry.id for entry in info.card.labels} for info in models}
        names = [info.name for info in models]
        chosen = self.learner.segment.model.currentText()
        first = chosen if chosen in names else next(iter(names), "")
        # Names of damaged models are taken, too: their folders are there.
        self.choice.offer(names, [*names, *(info.name for info in zoo.broken())], first)

    def _say(self) -> None:
        ticked, judges = set(self.cases.ticked), self._judges
        self._say_cases(len(ticked), len(judges))
        line, more = counted([case for case in self._candidates if case.id in ticked])
        self.sizes.say(line, more)
        self.sizes.setVisible(bool(line))
        self.new.tell(self._new_structures(), len(ticked), anew=not self.choice.model)
        self._follow()

    def _new_structures(self) -> dict[str, list[str]]:
        """Names of the ticked cases by structures that the base model does not know, as far as they were read."""
        look, known = self.learner.structures, self._known.get(self.choice.model, set())
        ticked, names = set(self.cases.ticked), look.names()
        holding: dict[int, list[str]] = {}
        for case in self._candidates:
            for number in look.found[case.id].ids if case.id in ticked and case.id in look.found else ():
                if number not in known:
                    holding.setdefault(number, []).append(case.name)
        return {names.get(number, f"label {number}"): cases for number, cases in sorted(holding.items())}

    @property
    def _judges(self) -> list[Candidate]:
        return [case for case in self._candidates if case.held_out and not case.missing]

    def _say_cases(self, ticked: int, judges: int) -> None:
        if self.learner.host.project is None:
            self.about.say("No project is open. Open or make a project: Project ▸ New…")
        elif not any(not case.held_out for case in self._candidates):
            self.about.say(NO_CASES)
        else:
            self.about.say(f"Trains on {_cases(ticked)}, judged on {judges} (held out).")
        lacking = [case for case in self._candidates if case.missing]
        flattering = [case for case in self._judges if case.flattering]
        notes = [f"{_cases(len(lacking))} held out without a truth"] if lacking else []
        empty = self.cases.empty
        notes += [f"{_cases(len(empty))} with an empty mask, not ticked"] if empty else []
        notes += [f"{len(flattering)} of the truths from a model's mask"] if flattering else []
        if self.cases.ticked and not judges:
            notes = [NO_JUDGES, *notes]
        why = [f"{case.name}: {case.missing}" for case in lacking]
        why += [f"{case.name}: its truth was corrected from a model's mask, which flatters it." for case in flattering]
        why += [f"{name}: {EMPTY}" for name in empty]
        self.missing.say("⚠ " + "; ".join(notes) if notes else "", "\n".join(why[:20]))
        self.missing.setVisible(bool(notes))

    @property
    def _blocked(self) -> str:
        if not self.learner.blocked and not self.cases.ticked:
            trainable = any(not case.held_out for case in self._candidates)
            return "Tick a case to train on." if trainable else NO_CASES
        return self.learner.blocked or self.choice.blocked or self._blocked_by_new

    @property
    def _blocked_by_new(self) -> str:
        base = self.choice.model
        for name, cases in self._new_structures().items() if base else ():
            if not self.new.on:
                return f"{cases[0]} holds {name}, which {base} does not know: let it learn that, or untick the case."
            if self.choice.settings.what == "head":
                return f"A head alone cannot learn {name}: {HEAD_LEARNS_NONE[0].lower()}{HEAD_LEARNS_NONE[1:]}"
        return ""

    def _follow(self) -> None:
        """The buttons, the line, the verdict."""
        learner, view = self.learner, self.learner.view
        if learner.doing == "preparing":
            self.bar.busy("copying the masks of the cases", cancel=True)
        elif learner.doing:
            self.bar.busy(learner.doing, cancel=False)
        elif view.alive:
            self.bar.follow(view.log, view.state == "paused", view.asked)
        else:
            self.bar.rest(self._blocked, _end(view), view.resumable and learner.writable)
        self.bar.stays.setChecked(learner.stays)
        self.choice.lock("The choices are fixed while a round runs." if learner.busy else "")
        self.cases.setEnabled(not learner.busy)
        self.new.lock(learner.busy)
        if view.verdict is None:
            self.result.hide()
        else:
            self._show_verdict(view, view.verdict)

    def _show_verdict(self, view: NoRound, verdict: Verdict) -> None:
        self.result.tell(verdict, {case.id: case.name for case in self._candidates})
        if self.isVisible() and not view.decision and self._scrolled != view.folder:
            self._scrolled = view.folder
            self._look.start()
        waits = "Wait." if self.learner.doing else ""
        blocked = waits if self.learner.writable else "The project is open for looking only."
        self.result.decide(verdict, view.decision, blocked)

    def _scroll_to_result(self) -> None:
        """What is to be decided must be seen; once a verdict."""
        areas = [owner for owner in _owners(self) if isinstance(owner, QScrollArea)]
        if areas and self.result.isVisible():
            areas[0].ensureWidgetVisible(self.result, 0, 0)

    # What arrives

    def _on_host(self) -> None:
        if self.isVisible() or self.learner.host.project is not self._project:
            self._due.start()

    def _on_learner(self) -> None:
        view = self.learner.view
        decided = view.folder, view.decision
        if decided != self._decided:
            self._decided = decided
            self.choice.renew(round_kept=view.decision == "kept")
            self._offer()
        self._follow()

    def _on_told(self) -> None:
        if self.isVisible() or not self.learner.view.state:
            self._show_story()
            self._follow()

    def _show_story(self) -> None:
        log = self.learner.view.log
        self.log.setVisible(bool(log.lines))
        self.recipe.say(log.why)
        self.curves.tell(log)
        text = "\n".join(log.lines)
        # Set only where it reads otherwise: it scrolls to the end, away from what is being read.
        if text != self.log.toPlainText():
            self.log.ensurePolished()
            self.log.setFixedHeight(LOG * self.log.fontMetrics().lineSpacing() + 12)
            self.log.setPlainText(text)
            bar = self.log.verticalScrollBar()
            if bar is not None:
                bar.setValue(bar.maximum())

    def _on_stays(self, on: bool) -> None:
        self.learner.stays = on

    def close_down(self) -> None:
        """Let go."""
        self._due.stop()
        self._look.stop()
        self.learner.changed.disconnect(self._on_learner)
        self.learner.told.disconnect(self._on_told)
        self.learner.structures.changed.disconnect(self._on_structures)
        self.learner.host.changed.disconnect(self._on_host)


def _owners(widget: QWidget) -> Iterator[QObject]:
    """What a widget lies in, from the inside out: whoever shows the tab may have put it into something that scrolls."""
    owner = widget.parent()
    while owner is not None:
        yield owner
        owner = owner.parent()


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def _cases_of(project: Project) -> tuple[list[Candidate], dict[str, str]]:
    """Those that can be trained on or judge, and what is said of where each stands."""
    return candidates(project), {case.id: STATUS_WORDS[case.status] for case in project.cases()}


def _end(view: NoRound) -> str:
    """What became of the last round, where its verdict does not say it."""
    if view.state == "failed":
        return f"The training failed: {view.log.trouble}\n{TRY}"
    return END_SENTENCES.get(view.state, "")
