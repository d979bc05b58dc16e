"""Weights into their network: every tensor, no other, and no memory for a claim."""

from __future__ import annotations

import pytest
import torch

from napari_morse.errors import WeightsError
from napari_morse.io.weights import fill


def net_tensors():
    return torch.nn.Linear(2, 3).state_dict()


def test_weights_fill_their_network():
    given = net_tensors()
    net = fill(lambda: torch.nn.Linear(2, 3), given, "m")
    assert torch.equal(net.weight, given["weight"])
    assert not net.training


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("bias"), "bias"),
        (lambda t: t.update(extra=torch.ones(1)), "extra"),
        (lambda t: t.update(bias=torch.ones(4)), r"shape \(4,\) instead of \(3,\)"),
    ],
    ids=["missing", "unknown", "another shape"],
)
def test_weights_of_another_network_are_refused(change, said):
    given = net_tensors()
    change(given)
    with pytest.raises(WeightsError, match=said):
        fill(lambda: torch.nn.Linear(2, 3), given, "m")


def test_a_card_that_claims_a_giant_network_costs_no_memory():
    with pytest.raises(WeightsError, match="do not fit"):
        fill(lambda: torch.nn.Linear(10**9, 10**6), net_tensors(), "m")


def test_a_network_that_cannot_be_built_is_a_plain_sentence():
    with pytest.raises(WeightsError, match="cannot be built"):
        fill(lambda: torch.nn.Conv2d(3, 5, 1, groups=2), net_tensors(), "m")


# --- 32: archives, links, devices
