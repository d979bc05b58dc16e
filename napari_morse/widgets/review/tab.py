"""The Review tab: the walk along the doubtful boundary, by key or by button."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from napari_morse.session.case import Counter, Walk
from napari_morse.widgets.base import RESEARCH_ONLY, Elided, Note, act_button, shortcuts
from napari_morse.widgets.case import ActiveCase, Passing
from napari_morse.widgets.review.walker import Walker
from napari_morse.widgets.segment import PatchTable

SIGNS = {"open": "", "accepted": "✓", "coarse": "C", "edited": "✎"}
"""Before the rank."""
DECISION_WORDS = {
    "open": "Nobody has decided on it.",
    "accepted": "Accepted: it stays as it is.",
    "coarse": "The coarse mask's side was taken.",
    "edited": "Most of it was changed.",
}


class WalkTable(PatchTable):
    """A `PatchTable` with a sign before the rank of each patch that is done."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Patches of the walk")
        self.setColumnWidth(0, self.fontMetrics().horizontalAdvance("✓ 888") + 8)

    def mark(self, state: Callable[[int], str]) -> None:
        """Show what ``state`` says of each rank: a key of `SIGNS`."""
        for row in range(self.rowCount()):
            item = self.item(row, 0)
            if item is not None:
                decision = state(row)
                item.setText(f"{SIGNS[decision]} {row + 1}".strip())
                item.setToolTip(DECISION_WORDS[decision])

    def show_rank(self, rank: int) -> None:
        """Select the row of a patch; none with −1."""
        with QSignalBlocker(self):
            if 0 <= rank < self.rowCount():
                self.setCurrentCell(rank, 1)
                self.scrollTo(self.currentIndex().siblingAtColumn(0))  # else Qt brings the sign out of view
            else:
                self.clearSelection()


class ReviewTab(QWidget):
    """Patch in view, its acts, how much is left, and the list.

    Parameters
    ----------
    active_case
        What is under work.
    walker
        Walks.
    parent
        Owner.
    """

    def __init__(self, active_case: ActiveCase, walker: Walker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._active_case, self.walker = active_case, walker
        self._listed: Walk | None = None
        self._settled = False
        """Whether the patch in view was decided on."""
        self.title, self.about, self.left = Elided(parent=self), Elided(parent=self), Elided(parent=self)
        self.bar = QProgressBar(self)
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        key = self._key = shortcuts.chosen()
        self.begin = act_button(self, "Start correcting", self._active_case.begin)
        self.begin.setToolTip("Make a mask of your own from the rendered one. Every stroke is kept at once.")
        self.next = act_button(self, f"Next [{key['next']}]", walker.next)
        self.back = act_button(self, f"Back [{key['back']}]", walker.back)
        self.accept = act_button(self, f"Accept [{key['accept']}]", walker.accept)
        self.coarse = act_button(self, f"Coarse side [{key['take_coarse']}]", walker.take_coarse)
        self.rerender = act_button(self, f"Re-render [{key['rerender']}]", walker.rerender)
        self.edit = act_button(self, f"Draw [{key['edit']}]", walker.edit)
        self.reopen = act_button(self, "Open again", walker.reopen)
        self.anew = act_button(self, "List again", walker.list_again)
        self.table = WalkTable(self)
        self.note = Passing(active_case, self._decided, parent=self)
        self._lay_out()
        self.table.chosen.connect(walker.go)
        walker.changed.connect(self.refresh)
        walker.changed.connect(self.note.look)
        walker.said.connect(self.note.say)
        active_case.changed.connect(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        acts = QGridLayout()
        rows = ((self.back, self.next), (self.accept, self.coarse), (self.rerender, self.edit))
        for row, pair in enumerate(rows):
            for column, button in enumerate(pair):
                acts.addWidget(button, row, column)
        more = QHBoxLayout()
        more.addWidget(self.reopen)
        more.addWidget(self.anew)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(4, 4, 4, 4)
        for widget in (self.title, self.about):
            self.body.addWidget(widget)
        self.body.addWidget(self.begin)
        self.body.addLayout(acts)
        self.body.addWidget(self.left)
        self.body.addWidget(self.bar)
        self.body.addWidget(self.table)
        self.body.addLayout(more)
        self.body.addWidget(self.note)
        self.body.addWidget(Note(RESEARCH_ONLY, self))
        self.body.addStretch(1)

    def add(self, widget: QWidget) -> None:
        """Put another box above the last line."""
        self.body.insertWidget(self.body.count() - 2, widget)

    def _decided(self) -> tuple[object, ...]:
        """What lines are said of, beside the mask."""
        walk = self.walker.walk
        return (walk, *(() if walk is None else sorted(walk.decisions.items())))

    def refresh(self) -> None:
        """Show the walk as it is."""
        walk, corrects = self.walker.walk, self._active_case.corrected is not None
        if walk is not self._listed:
            self.note.say("")
        if walk is None:
            self._show_nothing()
        else:
            self._show(walk, corrects)
        self._listed = walk
        self._enable(corrects)

    def _show_nothing(self) -> None:
        for widget in (self.table, self.left, self.bar, self.begin):
            widget.hide()
        self.title.say(self.walker.blocked)
        self.about.say("")
        self._settled = False

    def _show(self, walk: Walk, corrects: bool) -> None:
        rank = self.walker.rank
        if walk is not self._listed:
            self.table.fill(walk.patches, self._active_case.labels)
        self.table.mark(walk.state)
        self.table.show_rank(rank)
        self._count(walk.counter())
        self._head(walk, rank)
        self.begin.setVisible(not corrects and not self._active_case.blocked)
        self._settled = rank in walk.decisions

    def _count(self, counter: Counter) -> None:
        done = counter.total - counter.left
        self.left.say(
            f"{counter.left:.0f} of {counter.total:.0f} mm left, {counter.doubt:.0f} mm of it likely wrong",
            f"{counter.open} of {counter.patches} patches are open.",
        )
        self.bar.setValue(round(1000 * done / counter.total) if counter.total else 1000)
        self.bar.setToolTip(f"{done:.0f} of {counter.total:.0f} mm of boundary are decided on or changed.")
        self.left.show()
        self.bar.show()

    def _head(self, walk: Walk, rank: int) -> None:
        if not len(walk):
            self.title.say(self.walker.blocked)
            self.about.say("")
        elif rank < 0:
            self.title.say(f"{len(walk)} patches of boundary, the most doubtful first")
            self.about.say(f"Press {self._key['next']} to go to the first one.")
        else:
            patches = walk.patches
            sides = " | ".join(self._active_case.name_of(int(x[rank])) for x in (patches.label, patches.other))
            self.title.say(f"Patch {rank + 1} of {len(walk)}: {sides}")
            wrong = 100 * patches.probability[rank]
            self.about.say(f"{patches.length[rank]:.1f} mm, {wrong:.0f} % likely wrong, {walk.state(rank)}")

    def _enable(self, corrects: bool) -> None:
        walker, key = self.walker, self._key
        why = walker.blocked
        cannot = why or ("" if corrects else self._active_case.blocked)
        here = cannot or ("" if walker.rank >= 0 else f"Press {key['next']} first.")
        sharp = here or walker.cannot_render
        decided = "" if self._settled else "This patch is open."
        unbegun = "" if corrects else "Correct something first."
        for button, reason, tip in (
            (self.next, why, f"Go to the next open patch, in both views. [{key['next']}]"),
            (self.back, why, f"Go to the open patch before. [{key['back']}]"),
            (
                self.accept,
                here,
                f"This boundary is right: keep it as it is, and go on. Ctrl+Z takes it back. [{key['accept']}]",
            ),
            (
                self.coarse,
                here,
                f"Take the coarse mask around this patch, and go on. Ctrl+Z takes it back. [{key['take_coarse']}]",
            ),
            (
                self.rerender,
                sharp,
                f"Render this boundary again, from the corrected mask as it is now. [{key['rerender']}]",
            ),
            (self.edit, here, f"Draw on this patch with the brush. [{key['edit']}]"),
            (self.reopen, here or decided, "Take the decision on this patch back."),
            (self.anew, cannot or unbegun, "List the boundary of the corrected mask as it is now."),
        ):
            button.setEnabled(not reason)
            button.setToolTip(reason or tip)

    def close_down(self) -> None:
        """Let go."""
        self.note.close_down()
        self.walker.changed.disconnect(self.note.look)
        self.walker.changed.disconnect(self.refresh)
        self.walker.said.disconnect(self.note.say)
        self._active_case.changed.disconnect(self.refresh)
