"""What a round of fine-tuning has told so far: its curves, how far it is, and its log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

KEPT_LINES = 200
"""Of the log that are kept."""
SMOOTH = 0.9
"""How much of the smoothed loss stays at each step."""

Phase = Literal["", "reading", "training", "judging", "over"]


@dataclass(frozen=True)
class Check:
    """Figures of the held-out cases at a step; those of step 0 are the base model's."""

    step: int
    dice: float
    hd95: float
    """mm."""


class RoundLog:
    """Fed with events, in order; steps that are told again replace those that were told before."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.smooth: list[float] = []
        self.checks: list[Check] = []
        self.total = 0
        """Steps; 0 before it is known."""
        self.left = ""
        """How long it still takes, in words; empty before it is known."""
        self.length = ""
        """How long all steps take, in words, as a new model's run says before the first."""
        self.why = ""
        """Which recipe a new model has; empty where a model is tuned."""
        self.anew = False
        """Whether the round begins with no model."""
        self.phase: Phase = ""
        self.trouble = ""
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)

    @property
    def step(self) -> int:
        """The last one."""
        return self.steps[-1] if self.steps else 0

    @property
    def fraction(self) -> float:
        """Of the steps that are done."""
        return min(1.0, self.step / self.total) if self.total else 0.0

    def feed(self, events: Iterable[dict[str, Any]]) -> None:
        """Take what was told; what is not understood is passed over."""
        known = {
            "again": self._on_again, "begun": self._on_begun, "log": self._on_log, "prepared": self._on_prepared,
            "fitted": self._on_fitted, "check": self._on_check, "step": self._on_step, "done": self._on_done,
            "cancelled": self._on_cancelled, "failed": self._on_failed,
        }  # fmt: skip
        for event in events:
            kind = event.get("event")
            if kind in known:
                known[kind](event)

    def _on_again(self, event: dict[str, Any]) -> None:
        self._on_begun(event)
        self.lines.append("Going on.")

    def _on_begun(self, _event: dict[str, Any]) -> None:
        self.phase, self.trouble, self.left = "reading", "", ""

    def _on_log(self, event: dict[str, Any]) -> None:
        self.lines.append(str(event.get("text", "")))

    def _on_prepared(self, event: dict[str, Any]) -> None:
        self.total, self.phase = int(event.get("steps", 0)), "training"
        again = " It goes on from its last checkpoint." if event.get("resumed") else ""
        self.length = _words(event.get("seconds"))
        text = f"About {self.total} steps fit into the time on this machine."
        if self.length:
            text = f"{self.total} steps, about {self.length} left on this machine."
        self.lines.append(f"{text}{again}")

    def _on_fitted(self, event: dict[str, Any]) -> None:
        self.why = str(event.get("text", ""))

    def _on_check(self, event: dict[str, Any]) -> None:
        step = int(event["step"])
        # A resumed run tells some checks again.
        self.checks = [check for check in self.checks if check.step != step]
        self.checks.append(Check(step, float(event["dice"]), float(event["hd95"])))
        self.checks.sort(key=lambda check: check.step)

    def _on_step(self, event: dict[str, Any]) -> None:
        step, loss = int(event["step"]), float(event["loss"])
        if self.steps and step <= self.steps[-1]:
            self._forget(step)
        self.steps.append(step)
        self.losses.append(loss)
        self.smooth.append(SMOOTH * self.smooth[-1] + (1 - SMOOTH) * loss if self.smooth else loss)
        self.left = _words(event.get("left"))
        self.phase = "judging" if self.total and step >= self.total else "training"

    def _forget(self, step: int) -> None:
        """A resumed run begins again at its last checkpoint."""
        while self.steps and self.steps[-1] >= step:
            for series in (self.steps, self.losses, self.smooth):
                series.pop()
        self.checks = [check for check in self.checks if check.step < step]

    def _on_done(self, _event: dict[str, Any]) -> None:
        self.phase = "over"
        self.lines.append("Done.")

    def _on_cancelled(self, _event: dict[str, Any]) -> None:
        self.phase = "over"
        self.lines.append("Cancelled.")

    def _on_failed(self, event: dict[str, Any]) -> None:
        self.phase, self.trouble = "over", str(event.get("text", ""))
        self.lines.append(self.trouble)


def _words(seconds: float | None) -> str:
    """A length of time in words; empty where none was told."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
