"""Steps whose loss, gradients and weights are numbers are taken, others are not; shared by every way to train."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

SKIPS = 3
"""Steps in a row that give no numbers, after which a run goes back to its last checkpoint, at half the rate."""
BACKS = 2
"""How often it does; then it ends."""
CLIP = 5.0
"""Largest norm of the gradients."""
DIVERGED = "The training diverged: its loss, gradients or weights are no longer numbers."


class DivergedError(Exception):
    """A run has to go back to its last checkpoint."""


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all values are numbers, and none so large that their sum is none; integers always are."""
    # A sum is a tenth of the work of looking at every value, and the device is waited for once.
    sums = [_sum(tensor) for tensor in tensors if tensor.is_floating_point()]
    return not sums or bool(torch.isfinite(torch.stack(sums)).all())


def _sum(tensor: Tensor) -> Tensor:
    return tensor.detach().sum(dtype=torch.promote_types(tensor.dtype, torch.float32)).float()


class SoundSteps:
    """Updates of a network.

    Parameters
    ----------
    net
        What is trained.
    optimizer
        Of its parameters.
    """

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._net, self._optimizer = net, optimizer
        self.skipped = 0
        """Steps in a row that were not taken; no checkpoint is to be written unless it is 0."""
        self.say: Callable[[str], None] = lambda _: None
        """Told in a sentence of the first step that is not taken, and when the run goes back."""
        self._told = False

    def take(self, forward: Callable[[], Tensor]) -> tuple[float, bool]:
        """One update, or none where it would not be made of numbers: weights and running statistics then stay.

        Parameters
        ----------
        forward
            Gives the loss.

        Returns
        -------
        loss
            As it came out.
        taken
            Whether the weights moved.

        Raises
        ------
        DivergedError
            `SKIPS` steps in a row were not taken, or a step made weights that are no numbers.
        """
        # A forward pass in training mode moves running statistics, whatever becomes of the step.
        before = [buffer.detach().clone() for buffer in self._net.buffers()]
        loss = forward()
        self._optimizer.zero_grad(set_to_none=True)
        if not self._sound(loss, before):
            self._leave(before)
            return float(loss.detach()), False
        self.skipped = 0
        self._optimizer.step()
        # Asked after the step: finite gradients can still give weights that are none, and those cannot be left out any
        # more.
        if not all_finite(self._net.parameters()):
            raise DivergedError
        return float(loss.detach()), True

    def went_back(self, step: int) -> None:
        """Say that the run was put back as it was at a step, and count anew."""
        self.skipped = 0
        self.say(f"The training diverged: it goes on from step {step}, at half the rate.")

    def _sound(self, loss: Tensor, before: list[Tensor]) -> bool:
        """Work the gradients out; whether they, the loss and the running statistics are numbers."""
        if not torch.isfinite(loss) or (not all_finite(self._net.buffers()) and all_finite(before)):
            return False
        loss.backward()
        norm = nn.utils.clip_grad_norm_([p for p in self._net.parameters() if p.grad is not None], CLIP)
        return bool(torch.isfinite(norm))

    @torch.no_grad()
    def _leave(self, before: list[Tensor]) -> None:
        for buffer, value in zip(self._net.buffers(), before, strict=True):
            buffer.copy_(value)
        self._optimizer.zero_grad(set_to_none=True)
        self.skipped += 1
        if not self._told:
            self._told = True
            self.say("A step gave no numbers and was left out.")
        if self.skipped >= SKIPS:
            raise DivergedError
