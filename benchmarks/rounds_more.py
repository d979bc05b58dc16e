"""New structures and a new model with mouse and keys: ``python -m benchmarks.rounds_more --data DIR/hippocampus``.

The project is that of `benchmarks.rounds`. With mouse and keys: a case is segmented, a structure that the model does
not know is added, named and drawn in some slices, the case is accepted; a round learns that structure; its model is
discarded; a second round makes a new model from the same labels alone. With ``--pictures DIR`` screenshots are kept.
Needs an X server and xdotool.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.rounds import BY_HAND, ROUND, TRAINED, Rounds, main, usable

NAME, NEW = "lesion", "new, from these labels"
SLICES = 4
"""In which the new structure is drawn."""


class More(Rounds):
    """The hand's way through both rounds."""

    @property
    def steps(self) -> tuple[Callable[[], None], ...]:
        """What is done, in this order."""
        return (self.draw, self.learn, self.read, self.discard, self.anew, self.alone, self.discard)

    def draw(self) -> None:
        """A new structure beside the first one, in some slices of the first case."""
        case = self.ask(lambda: usable(self.host.project)[0])
        self.open(case)
        self.run_model(self.dock.segment.model.currentText())
        self.turn_to("Correct")
        self.no_sharpening()
        rim = self.ask(lambda: self.rim(2.5))
        added = self.add()
        self.keys("p")
        self.ask(lambda: setattr(self.layer(), "brush_size", 4))
        for number in range(SLICES):
            before = self.acts()
            if number:
                self.keys("Right")
            half = rim[: len(rim) // 2 : 2]
            self.hand.drag([self.ask(lambda v=v: self.on_screen(v)) for v in half])
            self.hand.until(lambda before=before: self.acts_now() > before, "the stroke")
        self.say(f"{NAME} drawn: {np.count_nonzero(self.mask() == added)} voxels")
        self.picture("correct-new")
        self.keys("shift+y")
        self.hand.until(lambda: self.host.case.status == "accepted", "accepted")

    def add(self) -> int:
        """Its id, after its name was typed."""
        labels = self.dock.correct.labels
        known = self.ask(labels.rowCount)
        self.press(lambda: self.dock.correct.another)
        self.hand.answer(NAME)
        self.hand.until(lambda: labels.rowCount() == known + 1 and labels.item(known, 0).text() == NAME, "its row")
        own = self.ask(lambda: self.dock.active_case.own)
        assert [x.name for x in own] == [NAME] and self.ask(lambda: self.dock.active_case.label) == own[0].id
        return int(own[0].id)

    def learn(self) -> None:
        """The structure is offered by its name, and learned."""
        tab, cases = self.dock.learn, TRAINED - BY_HAND + 1
        self.turn_to("Learn")
        said = f"{NAME} (in 1 of {cases} cases)"
        self.hand.until(lambda: tab.new.which.text() == said, said)
        self.picture("learn-new")
        self.go("1 min")
        assert [entry.name for entry in self.now.round.plan.new_labels] == [NAME]

    def go(self, minutes: str) -> None:
        """Start, and wait for the verdict."""
        tab = self.dock.learn
        self.take(lambda: tab.choice.minutes, minutes)
        self.press(lambda: tab.bar.start)
        self.hand.until(lambda: self.dock.learner.view.alive, "the round")

    def read(self) -> None:
        """The new structure counts for nothing: no truth holds it."""
        assert self.judged().new == ()

    def discard(self) -> None:
        self.press(lambda: self.dock.learn.result.discard)
        self.hand.until(lambda: self.now.decision == "discarded", "discarded")

    def anew(self) -> None:
        """A new model is chosen in the list of models, and made."""
        tab = self.dock.learn
        self.take(lambda: tab.choice.base, NEW)
        self.hand.until(lambda: NAME in tab.new.which.text(), "what it learns")
        self.go("2 min")
        assert self.now.round.plan.model == "" and self.now.round.plan.anew is not None
        self.hand.until(lambda: len(self.story.checks) > 0, "a look at the held-out cases", ROUND)
        self.picture("learn-anew")

    def alone(self) -> None:
        """Its verdict has no before, and nothing can be rolled back."""
        verdict = self.judged()
        assert verdict.alone and not self.ask(self.dock.learn.result.roll_back.isEnabled)
        self.picture("learn-anew-verdict")


if __name__ == "__main__":
    raise SystemExit(main(More, __doc__))
