"""The engine that every way to train runs on: the loop, its guards, its checkpoints; `ways` says how they differ.

One step: a batch by its number → a loss → an update, if it is made of numbers → the average. Now and then a look at
held-out cases and a checkpoint. Whatever is drawn at random is drawn by the seed and the number of the step, never by
what happened before: so a run that was killed and resumed is the uninterrupted run, bit for bit (on a CPU).
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from napari_morse.errors import CancelledError, MorseError
from napari_morse.model.morse import Morse
from napari_morse.training.checkpoint import PoisonedError, RunProgress, load_checkpoint, save_checkpoint
from napari_morse.training.objective import DISTIL_EVERY, Objective
from napari_morse.training.sampling import Samples
from napari_morse.training.settings import Schedule, What
from napari_morse.training.sound import BACKS, DIVERGED, DivergedError, SoundSteps
from napari_morse.training.validation import Validation

LATE = re.compile(r"(^|\.)(up|out|final|decoder|head|conv_final)|(^|\.)(model|submodule)\.2\.")
"""How MONAI's networks name the stages from the bottleneck to the logits; its nested UNet numbers them."""
ENDLESS = 10**9
"""Steps of a run that minutes end."""
TRIED = 16
"""Steps that are timed at most, after two that are not."""
BEGINS_AGAIN = "The last checkpoint holds weights that are no numbers: the training begins again."

Judge = Callable[[int, Morse], Validation]
"""What a network is worth on held-out cases, after so many steps."""


class BatchSource(Protocol):
    """Where batches come from: drawn anew (`Sampler`), or kept (`MapsCache`)."""

    def stream(self, start: int, stop: int, damaging: Callable[[int], bool]) -> Iterator[tuple[int, Samples]]:
        """(step, samples) from ``start`` up to ``stop``."""


@dataclass(frozen=True)
class StepReport:
    """What a watcher is told after a step.

    Parameters
    ----------
    iteration, total
        Steps done, and of the whole run; an estimate where minutes end it.
    stage
        1 before the renderer is trained, 2 from then on.
    loss
        Of the step.
    seconds, remaining
        Of the budget; both of this machine.
    verdict
        Where held-out cases were looked at.
    best
        Whether that look was the best so far.
    """

    iteration: int
    total: int
    stage: int
    loss: float
    seconds: float
    remaining: float
    verdict: Validation | None = None
    best: bool = False


Watcher = Callable[[StepReport], None]


class Engine:
    """One run.

    Parameters
    ----------
    net
        What the run begins with; it stays as it is, a copy is trained.
    objective
        What is made small.
    source
        Of the batches.
    schedule
        How long, how fast, what.
    seed
        Of everything that is drawn.
    folder
        Where checkpoints lie; made with the first one.
    settings
        JSON values that must be the same for the run to be resumed.
    judge
        Looks at held-out cases; None where there are none: the run then ends with its last average.
    """

    def __init__(
        self, net: Morse, objective: Objective, source: BatchSource, schedule: Schedule, seed: int, folder: Path,
        settings: dict[str, Any], judge: Judge | None = None,
    ) -> None:  # fmt: skip
        self.objective, self.source, self.schedule = objective, source, schedule
        self.seed, self.folder, self.settings, self.judge = seed, folder, settings, judge
        self.device = training_device()
        self.net = copy.deepcopy(net).to(self.device)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self._all = only_trained(self.net, schedule.what)
        pairs = zip(self.net.parameters(), self.average.parameters(), strict=True)
        # Clones: the average, whose weights they are, moves with the training.
        self._anchors = [(p, kept.clone()) for p, kept in pairs if p.requires_grad] if schedule.anchor else []
        self.optimizer = make_optimizer(self.net, schedule)
        self.steps = SoundSteps(self.net, self.optimizer)
        self.best: dict[str, Tensor] = {}
        """Averaged weights of the best moment; empty before one."""
        self.progress = RunProgress()
        self.clock: Callable[[], float] = time.monotonic
        """Seconds of the budget; the processor's time is fairer on a machine that does other work."""
        self._saved = time.monotonic()

    # The run

    def resume(self) -> None:
        """Go on from the checkpoint in the folder; raises WeightsError where there is none that fits."""
        self.progress, best = load_checkpoint(self.folder, self.net, self.average, self.optimizer, self.settings)
        self.best = {k: v.to(self.device) for k, v in best.items()}

    def resume_or_begin_again(self) -> bool:
        """`resume`; where an older version left weights that are no numbers, begin again and say so.

        Returns
        -------
        bool
            Whether it goes on.
        """
        try:
            self.resume()
        except PoisonedError:
            self.steps.say(BEGINS_AGAIN)
            return False
        return True

    def run(self, watch: Watcher | None = None, stop: Callable[[], bool] = lambda: False) -> Morse:
        """Train from where the run stands to the end of its budget.

        Parameters
        ----------
        watch
            Told after every step; what belongs to the step is on the disk by then.
        stop
            Asked before every step; it may wait. True ends the run, which can be resumed from its last checkpoint.

        Returns
        -------
        Morse
            The average at the best moment, without held-out cases the last one; on the CPU, in evaluation mode.

        Raises
        ------
        CancelledError
            ``stop`` said so.
        InputError
            A checkpoint cannot be written; the last one is as it was.
        MorseError
            The training diverged, also after it went back to its last checkpoint and on at a smaller rate.
        """
        if self.progress.iteration == 0:
            self.save()  # what the run can go back to
        while not self._finished(watch, stop):
            self._back()
        # Masks that are made of no numbers look like masks, too: such a network must not end as a model.
        if self.judge is not None and not self.best and not self.judge(self.progress.iteration, self.average).finite:
            raise MorseError(DIVERGED, self.schedule.way_out)
        result = copy.deepcopy(self.average)
        result.load_state_dict(self.best or self.average.state_dict())
        return result.cpu().eval()

    def _finished(self, watch: Watcher | None, stop: Callable[[], bool]) -> bool:
        """Train to the end of the budget; whether it came there."""
        try:
            self._until_over(watch, stop)
        except DivergedError:
            return False
        return True

    def _until_over(self, watch: Watcher | None, stop: Callable[[], bool]) -> None:
        # As if begun by so much earlier: what a run spent before it was stopped counts.
        begun = self.clock() - self.progress.seconds
        # Nothing but the loop holds the generator: whatever ends the loop ends the generator's thread as well.
        for step, samples in self._batches():
            if self.share(step) >= 1:
                break
            if stop():
                raise CancelledError
            loss = self.step(step, samples)
            self.progress.iteration = step + 1
            self.progress.seconds = self.clock() - begun
            # The seconds first: where minutes end the run, `share` goes by them.
            looks = self.share(step + 1) >= 1 or self.schedule.looks_after(step + 1)
            verdict, best = self._looked() if looks else (None, False)
            # Again: looks are part of the minutes.
            self.progress.seconds = self.clock() - begun
            # Before the watcher: who is told of a step finds on the disk what belongs to it.
            if looks or self._save_is_due():
                self.save()
            if watch is not None:
                watch(self._report(loss, verdict, best))

    def _batches(self) -> Iterator[tuple[int, Samples]]:
        """(step, samples) from where the run stands; truths are damaged once the renderer is trained.

        That is asked when a batch is begun, up to `sampling.AHEAD` steps early: exact where steps end the run; where
        minutes do, the second stage begins with a few samples that are not damaged.
        """
        limit = self.schedule.steps if self.schedule.minutes is None else ENDLESS
        return self.source.stream(self.progress.iteration, limit, lambda step: self.objective.renders(self.share(step)))

    def _back(self) -> None:
        """To the last checkpoint, at half the rate; what was spent of the budget stays spent."""
        backs, seconds = self.progress.backs + 1, self.progress.seconds
        if backs > BACKS:
            raise MorseError(DIVERGED, self.schedule.way_out)
        self.resume()
        # After `resume`, which sets both back as well: a run would go back again and again, and its minutes would never
        # end.
        self.progress.backs, self.progress.seconds = backs, seconds
        self.steps.went_back(self.progress.iteration)

    def spent(self, step: int) -> float:
        """Of the schedule's length, when ``step`` is to be done: seconds where it has minutes, else steps."""
        return step if self.schedule.minutes is None else self.progress.seconds

    def share(self, step: int) -> float:
        """How much of the budget is spent then, 0 to 1."""
        return min(1.0, self.spent(step) / self.schedule.length)

    # One step

    def step(self, step: int, samples: Samples, share: float | None = None) -> float:
        """One update, where it is made of numbers.

        Parameters
        ----------
        step
            Its number.
        samples
            Of the batch, on any device.
        share
            Of the run that is over; None: as the step has it.

        Returns
        -------
        float
            The loss, as it came out.

        Raises
        ------
        DivergedError
            The run has to go back.
        """
        # Seeding by number makes a resumed run draw what the uninterrupted one would have drawn.
        torch.manual_seed((self.seed * 1_000_003 + step) % 2**63)
        self._train_mode()
        spent = self.spent(step) if share is None else share * self.schedule.length
        share = min(1.0, spent / self.schedule.length)
        slower = 0.5**self.progress.backs
        for group, rate in zip(self.optimizer.param_groups, self.schedule.rates(step, spent), strict=True):
            group["lr"] = rate * slower
        here = samples.to(self.device)
        loss, taken = self.steps.take(lambda: self.objective.loss(self.net, step, share, here))
        if taken:
            self._pull_to_anchors()
            self._average(step)
        return loss

    def _train_mode(self) -> None:
        """What is trained in training mode; what is not keeps its running statistics and drops nothing out."""
        self.net.train()
        if self._all:
            return
        for module in self.net.backbone.modules():
            held = list(module.parameters())
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if held and not any(p.requires_grad for p in held):
                module.eval()
            elif own and not any(p.requires_grad for p in own):
                module.training = False  # not its children's

    @torch.no_grad()
    def _pull_to_anchors(self) -> None:
        """A step towards the first weights (L2-SP, Li et al., 2018), apart from the optimizer's own scale."""
        if self._anchors:
            _, renderer = self.optimizer.param_groups
            share = self.schedule.anchor * renderer["lr"] / self.schedule.rate
            for now, before in self._anchors:
                now.lerp_(before, share)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        # The first steps would else weigh as much as the network that the run began with.
        decay = min(self.schedule.ema, (1 + step) / (10 + step))
        for kept, new in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:  # counters and index tables
                kept.copy_(new)

    # Looks, checkpoints, reports

    def _looked(self) -> tuple[Validation | None, bool]:
        """What the averaged weights are worth, and whether that is the best so far."""
        if self.judge is None:
            return None, False
        done = self.progress.iteration
        verdict = self.judge(done, self.average)
        best = verdict.finite and verdict.dice > self.progress.best_dice
        if best:
            self.progress.best_dice, self.progress.best_iteration = verdict.dice, done
            # Clones: a state dict holds the tensors themselves, and the average moves on.
            self.best = {k: v.detach().clone() for k, v in self.average.state_dict().items()}
        return verdict, best

    def _save_is_due(self) -> bool:
        every, since = self.schedule.save_every, time.monotonic() - self._saved
        return (every > 0 and self.progress.iteration % every == 0) or since >= self.schedule.save_seconds

    def save(self) -> None:
        """Write a checkpoint from which `resume` goes on; none while steps are skipped.

        Between steps that give no numbers the weights may be what makes them: a run that has to go back must find a
        checkpoint from before.
        """
        if self.steps.skipped:
            return
        save_checkpoint(self.folder, self.net, self.average, self.best, self.optimizer, self.progress, self.settings)
        self._saved = time.monotonic()

    def _report(self, loss: float, verdict: Validation | None, best: bool) -> StepReport:
        done, seconds = self.progress.iteration, self.progress.seconds
        share = self.share(done)
        total = self.schedule.steps if self.schedule.minutes is None else round(done / max(share, 1e-6))
        remaining = seconds / max(share, 1e-6) * (1 - share)
        stage = 2 if self.objective.renders(share) else 1
        return StepReport(done, total, stage, loss, seconds, remaining, verdict, best)

    # How long steps take

    def timed(self, limit: float, stop: Callable[[], bool] = lambda: False, share: float = 0.0) -> float:
        """Seconds of a step: from some that are done on the spot, for an engine that is thrown away.

        Samples are made beside the steps, as in a run, and take their share of the cores.

        Parameters
        ----------
        limit
            Seconds after which no further step is begun, if both kinds were seen: every second step of a round looks at
            the base model as well.
        stop
            Asked before every step; how long it waits counts for nothing.
        share
            Of the run at which the steps are taken.

        Raises
        ------
        CancelledError
            ``stop`` said so.
        """
        begun, taken, since = time.monotonic(), [], 0.0
        for step, samples in self.source.stream(0, TRIED + 2, lambda _: self.objective.renders(share)):
            now = time.monotonic()
            if step:
                taken.append(now - since)
            if stop():
                raise CancelledError
            if len(taken) > DISTIL_EVERY and now - begun > limit:
                break
            since = time.monotonic()
            with suppress(DivergedError):
                self.step(step, samples, share)
        # By pairs: every second step of a round costs more (`DISTIL_EVERY`), and a median over single steps would take
        # one kind for all.
        pairs = [sum(taken[k : k + DISTIL_EVERY]) for k in range(1, len(taken) - DISTIL_EVERY + 1)]
        return float(np.median(pairs)) / DISTIL_EVERY


def training_device() -> torch.device:
    """The first GPU, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def only_trained(net: Morse, what: What) -> bool:
    """Let gradients reach what is trained, and nothing else; whether that is all."""
    if what == "all":
        net.requires_grad_(True)
        return True
    net.backbone.requires_grad_(False)
    late = [p for name, p in net.backbone.named_parameters() if LATE.search(name)] or list(net.backbone.parameters())
    for parameter in late if what == "decoder" else []:
        parameter.requires_grad_(True)
    return False


def make_optimizer(net: Morse, schedule: Schedule) -> torch.optim.Optimizer:
    """Of all parameters, the backbone's first, held ones as well (they have no gradient, and stay).

    Checkpoints know parameters by their number here: another order would give each the moments of another one.
    """
    backbone: list[nn.Parameter] = list(net.backbone.parameters())
    known = set(map(id, backbone))
    groups = [{"params": backbone}, {"params": [p for p in net.parameters() if id(p) not in known]}]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(groups, schedule.rate, momentum=0.9, weight_decay=schedule.weight_decay)
    return torch.optim.AdamW(groups, schedule.rate, weight_decay=schedule.weight_decay)
