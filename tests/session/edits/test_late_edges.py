"""Acts that come late, by a law: the mask is what its acts give in the order in which they belong.

What came later keeps every voxel that it changed; what it left alone takes the late act's value. A model that keeps no
mask at all, only a list of acts, says what the mask must be after each step, undo and redo and a crash included.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_morse.errors import InputError
from napari_morse.session.case.timeline import Timeline
from napari_morse.session.edits import JOINED, Corrections, Renumbering, apply_before
from napari_morse.types import Roi

SHAPE = (2, 3, 4)
ALL = np.arange(np.prod(SHAPE))
EDGE = f"{JOINED}sharpen"


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Thousands of acts: none of them has to outlive the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@dataclass
class Model:
    """Acts in their order as (kind, {voxel: label}); so many of them are done."""

    acts: list[tuple[str, dict[int, int]]] = field(default_factory=list)
    done: int = 0

    def mask(self, count: int | None = None) -> list[int]:
        """What the first acts give."""
        voxels = [0] * len(ALL)
        for _, changed in self.acts[: self.done if count is None else count]:
            for place, label in changed.items():
                voxels[place] = label
        return voxels

    def put(self, at: int, kind: str, wanted: dict[int, int]) -> bool:
        """An act behind the first ``at``, as if it had been done then; whether it changes anything."""
        before = self.mask(at)
        changed = {place: label for place, label in wanted.items() if before[place] != label}
        if changed:
            self.acts = [*self.acts[:at], (kind, changed), *self.acts[at : self.done]]
            self.done += 1
        return bool(changed)

    def steps(self) -> list[int]:
        """How many acts there are after each step of undo or redo."""
        begins = [n for n, (kind, _) in enumerate(self.acts) if n == 0 or not kind.startswith(JOINED)]
        return [*begins, len(self.acts)]


labels = st.dictionaries(st.integers(0, len(ALL) - 1), st.integers(0, 3), min_size=1, max_size=10)
"""Few voxels and labels, so that most acts overlap."""
steps = st.one_of(
    st.tuples(st.sampled_from(["stroke", "fill"]), labels),
    st.tuples(st.sampled_from(["edge", "late"]), st.tuples(st.integers(0, 30), labels)),
    st.sampled_from([("undo", None), ("redo", None), ("save", None), ("crash", None)]),
)


class Both:
    """Corrections and their model, side by side; ``states`` are the numbers of the states after so many acts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, Model([("begin", {0: 1})])
        self.corrections = Corrections.open(folder, np.zeros(SHAPE, np.uint8), "scan")
        self.corrections.apply(ALL[:1], 1, "begin")
        self.states = [0, self.corrections.state]
        self.corrections.undo()  # from here on there is something on the disk to recover from

    def take(self, step: str, given) -> None:
        if step in ("edge", "late"):
            self.late(step, *given)
        elif step in ("undo", "redo"):
            getattr(self.corrections, step)()
            down = [n for n in self.model.steps() if n < self.model.done]
            up = [n for n in self.model.steps() if n > self.model.done]
            self.model.done = max(down, default=0) if step == "undo" else min(up, default=self.model.done)
        elif step == "save":
            self.corrections.checkpoint()
        elif step == "crash":
            self.corrections = Corrections.recover(self.folder, None, "scan")
        else:
            done = self.corrections.apply(np.array(list(given)), np.array(list(given.values())), step)
            assert self.model.put(self.model.done, step, given) == (done is not None)
            if done is not None:
                self.states[self.model.done :] = [self.corrections.state]
        self.check()

    def late(self, step: str, place: int, given: dict[int, int]) -> None:
        at = place % (self.model.done + 1)
        kind = EDGE if step == "edge" and at else "re-render"
        where, values = np.array(list(given)), np.array(list(given.values()))
        done, moved = apply_before(self.corrections, self.states[at], where, values, kind)
        assert self.model.put(at, kind, given) == (done is not None)
        if done is not None:
            self.states = [*self.states[: at + 1], moved.after, *(moved.begun(n) for n in self.states[at + 1 :])]
            del self.states[self.model.done + 1 :]

    def check(self) -> None:
        assert self.corrections.mask.ravel().tolist() == self.model.mask()
        assert self.corrections.undoable == self.model.done
        assert self.corrections.redoable == len(self.model.acts) - self.model.done
        assert self.corrections.state == self.states[self.model.done]


@settings(max_examples=60)
@given(st.lists(steps, min_size=3, max_size=14))
def test_the_mask_is_what_its_acts_give_in_their_order(wanted):
    with tempfile.TemporaryDirectory() as folder:
        both = Both(Path(folder))
        for step, values in wanted:
            both.take(step, values)
        both.take("crash", None)
        for step in ("undo", "redo", "undo"):  # all the way down, up and down again
            for _ in range(len(both.model.acts) + 1):
                both.take(step, None)
        assert not both.corrections.mask.any() and both.corrections.state == 0


@settings(max_examples=20)
@given(st.lists(steps, min_size=1, max_size=8), st.data())
def test_a_box_as_it_was_in_an_earlier_state(wanted, data):
    with tempfile.TemporaryDirectory() as folder:
        both = Both(Path(folder))
        for step, values in wanted:
            both.take(step, values)
        for count in range(both.model.done + 1):
            low = [data.draw(st.integers(0, n - 1)) for n in SHAPE]
            box = Roi(tuple(low), tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(low, SHAPE, strict=True)))
            expected = np.reshape(both.model.mask(count), SHAPE)[box.slices]
            np.testing.assert_array_equal(both.corrections.at(both.states[count], box), expected)


def test_three_strokes_over_each_other_and_their_edges_one_after_the_other(tmp_path):
    both = Both(tmp_path)
    for n in range(3):
        both.take("stroke", {n: n + 1, n + 1: n + 1})
    both.take("edge", (1, {3: 3}))  # what the third stroke gave, too
    both.take("edge", (3, {2: 0, 3: 0}))
    assert both.corrections.mask.ravel().tolist()[:4] == [1, 2, 3, 3]
    both.take("edge", (5, {2: 2}))
    assert both.corrections.mask.ravel().tolist()[:4] == [1, 2, 2, 3]


def test_a_label_that_does_not_fit_leaves_everything_as_it_was(tmp_path):
    both = Both(tmp_path)
    both.take("stroke", {0: 1})
    both.take("stroke", {0: 2, 1: 2})
    with pytest.raises(InputError, match="does not fit"):
        apply_before(both.corrections, both.states[1], ALL[:2], 300, EDGE)
    both.check()  # the numbers of states, too
    both.take("edge", (1, {0: 3, 2: 3}))
    assert both.corrections.mask.ravel().tolist()[:3] == [2, 2, 3]


# Decisions between them


class Decided:
    """Decisions, as a walk keeps them."""

    def __init__(self) -> None:
        self.decisions: dict[int, str] = {}

    def decide(self, rank: int, decision: str | None) -> None:
        if decision is None:
            self.decisions.pop(rank, None)
        else:
            self.decisions[rank] = decision


@dataclass(eq=False)
class Event:
    """An act, a decision, or both at once."""

    kind: str
    given: dict[int, int] = field(default_factory=dict)
    patch: int | None = None
    decision: str | None = None


@dataclass(eq=False)
class Asked:
    """An act that comes later than it was asked for: behind which event, and which state."""

    kind: str
    behind: Event | None
    state: int


class Worked:
    """A timeline and what it must come to, with acts on their way."""

    def __init__(self, folder: Path) -> None:
        self.corrections, self.walk = Corrections.open(folder, np.zeros(SHAPE, np.uint8), "scan"), Decided()
        self.timeline = Timeline(self.corrections, self.walk, lambda _: None)
        self.events: list[Event] = []
        self.done = 0
        self.asked: list[Asked] = []

    def take(self, step: str, given) -> None:
        getattr(self, step)(*given)
        acts = Model([(x.kind, x.given) for x in self.events[: self.done]], self.done)
        decisions = {x.patch: x.decision for x in self.events[: self.done] if x.patch is not None}
        assert self.corrections.mask.ravel().tolist() == acts.mask()
        assert self.walk.decisions == {patch: said for patch, said in decisions.items() if said is not None}

    def stroke(self, kind: str, given: dict[int, int], patch: int | None = None) -> None:
        before, mask = self.corrections.state, self.corrections.mask.ravel()
        changed = {place: label for place, label in given.items() if mask[place] != label}
        if self.corrections.apply(np.array(list(given)), np.array(list(given.values())), kind) is None:
            return
        self.events[self.done :] = [Event(kind, changed, patch, None if patch is None else "coarse")]
        self.done += 1
        if patch is None:
            self.asked.append(Asked(EDGE, self.events[-1], self.corrections.state))
        else:
            self.timeline.decide(patch, "coarse", before)

    def decide(self, patch: int, decision: str | None) -> None:
        self.timeline.decide(patch, decision)
        self.events[self.done :] = [Event("decide", {}, patch, decision)]
        self.done += 1

    def ask(self) -> None:
        behind = self.events[self.done - 1] if self.done else None
        self.asked.append(Asked("re-render", behind, self.corrections.state))

    def land(self, given: dict[int, int]) -> None:
        """The act that was asked for first arrives."""
        if not self.asked:
            return
        asked = self.asked.pop(0)
        at = 0 if asked.behind is None else self.events.index(asked.behind) + 1
        while asked.kind != EDGE and at < self.done and self.events[at].kind in ("decide", EDGE):
            at += 1  # decisions come before what is asked for without a stroke
        mask = Model([(x.kind, x.given) for x in self.events[:at]], at).mask()
        done, moved = apply_before(
            self.corrections, asked.state, np.array(list(given)), list(given.values()), asked.kind
        )
        changed = {place: label for place, label in given.items() if mask[place] != label}
        assert (done is not None) == bool(changed)
        if changed:
            landed = Event(asked.kind, changed)
            self.events[at : len(self.events)] = [landed, *self.events[at : self.done]]
            self.done += 1
            for other in self.asked:  # what was asked for after it, on the same state, begins on what it gave
                if other.behind is asked.behind:
                    other.behind = landed
            self.hear(moved)

    def hear(self, moved: Renumbering) -> None:
        self.timeline.renumber(moved)
        for asked in self.asked:
            asked.state = moved.begun(asked.state)

    def undo(self) -> None:
        self.asked.clear()
        self.timeline.undo()
        while self.done and self.events[self.done - 1].kind == EDGE:
            self.done -= 1
        self.done = max(0, self.done - 1)

    def redo(self) -> None:
        self.asked.clear()
        self.timeline.redo()
        self.done = min(len(self.events), self.done + 1)
        while self.done < len(self.events) and self.events[self.done].kind == EDGE:
            self.done += 1


patches = st.integers(0, 2)
work = st.one_of(
    st.tuples(st.just("stroke"), st.tuples(st.just("stroke"), labels)),
    st.tuples(st.just("stroke"), st.tuples(st.just("coarse side"), labels, patches)),
    st.tuples(st.just("decide"), st.tuples(patches, st.sampled_from(["accepted", "coarse", None]))),
    st.tuples(st.just("land"), st.tuples(labels)),
    st.tuples(st.sampled_from(["ask", "undo", "redo"]), st.just(())),
)


FIRST, SECOND = ("stroke", ("stroke", {0: 1, 1: 1})), ("stroke", ("stroke", {1: 2, 2: 2}))
ACCEPTED, LAND = ("decide", (0, "accepted")), ("land", ({1: 3, 3: 3},))
UNDO, REDO, ASK = ("undo", ()), ("redo", ()), ("ask", ())


@example([FIRST, ACCEPTED, LAND])  # the edge of a stroke before a decision
@example([FIRST, ("stroke", ("coarse side", {1: 2}, 1)), LAND, UNDO, REDO])
@example([FIRST, ACCEPTED, SECOND, LAND, LAND])
@example([FIRST, ACCEPTED, UNDO, SECOND, UNDO, REDO])  # what was taken back before another act is gone
@example([FIRST, SECOND, UNDO, ACCEPTED, REDO, UNDO, UNDO, REDO, REDO, REDO])
@example([ASK, ASK, ("land", ({0: 1},)), ("land", ({0: 2},))])  # two boundaries that are rendered again
@example([FIRST, ASK, LAND, LAND, UNDO])  # a boundary that is rendered again, asked for while an edge is on its way
@settings(max_examples=100)
@given(st.lists(work, min_size=3, max_size=14))
def test_strokes_their_late_edges_and_decisions_are_taken_back_in_their_order(wanted):
    with tempfile.TemporaryDirectory() as folder:
        worked = Worked(Path(folder))
        for step, given in wanted:
            worked.take(step, given)
        for step in ("undo", "redo", "undo"):
            for _ in range(len(worked.events) + 1):
                worked.take(step, ())
        assert not worked.corrections.mask.any() and worked.walk.decisions == {}
