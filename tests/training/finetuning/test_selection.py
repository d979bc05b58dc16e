"""How far a run goes from the base model."""

from __future__ import annotations

import copy

import pytest
import torch

from napari_morse.model.morse import Morse
from napari_morse.training.finetuning.selection import EVEN, FAVOURED, NOTHING_HELPS, SHARES, Best, between
from napari_morse.training.validation import Validation
from tests.nets import awake, small_net
from tests.tuning_cases import example

NAME = "renderer.head.last.weight"


def nets() -> tuple[Morse, Morse]:
    """A base, and what it was tuned to: every weight 1 higher."""
    base = awake(small_net())
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(1)
    return base, tuned


def test_the_base_model_s_weights_come_with_its_recipe(monkeypatch: pytest.MonkeyPatch):
    for dice, same in ((0.9, True), (0.99, False)):
        base, tuned = nets()
        tuned.recipe = tuned.recipe.model_copy(update={"name": "reaches further"})
        best = Best([example(0).case], None)  # type: ignore[arg-type]
        monkeypatch.setattr(best, "_judged", lambda net, d=dice, b=base: worth(d if gone(b, net) > 0.9 else 0.9))
        best.look(0, base)
        assert (best.of(tuned, best.look(3, tuned).dice, base).recipe == base.recipe) is same


def worth(dice: float) -> Validation:
    return Validation(dice, {"hd95": 1.0})


def gone(base: Morse, net: Morse) -> float:
    """Share of the way."""
    return float((net.state_dict()[NAME] - base.state_dict()[NAME]).mean())


def ended(monkeypatch: pytest.MonkeyPatch, favours: dict[float, float]) -> tuple[float, list[dict]]:
    base, tuned = nets()
    told: list[dict] = []
    best = Best([example(0).case], None, told.append)  # type: ignore[arg-type]
    monkeypatch.setattr(best, "_judged", lambda net: worth(favours[round(gone(base, net), 2)]))
    best.look(0, base)
    return gone(base, best.of(tuned, best.look(3, tuned).dice, base)), told


@pytest.mark.parametrize(
    ("dice", "share"),
    [
        ((0.70, 0.80, 0.82, 0.84, 0.86), 1.0),  # the more the better
        ((0.85, 0.90, 0.89, 0.88, 0.87), 0.25),
        ((0.85, 0.80, 0.90, 0.85, 0.80), 0.5),
        ((0.85, 0.80, 0.90 - EVEN / 20, 0.90, 0.89), 0.5),  # not worth going further
        ((0.985, 0.985, 0.9865, 0.988, 0.988), 0.75),  # little is much where little is wrong
        ((0.90, 0.90, 0.90, 0.90, 0.90), 0.0),
        ((0.95, 0.90, 0.90, 0.90, 0.90), 0.0),
    ],
)
def test_it_goes_as_far_as_the_held_out_cases_ask_for(monkeypatch: pytest.MonkeyPatch, dice: tuple, share: float):
    way, told = ended(monkeypatch, dict(zip((0.0, *SHARES, 1.0), dice, strict=True)))
    assert way == pytest.approx(share, abs=1e-5)
    assert [event["step"] for event in told if event["event"] == "check"] == [0, 3]
    assert told[-1]["text"] == (FAVOURED.format(share) if share else NOTHING_HELPS)


def test_nothing_held_out_leaves_the_network_as_it_was_tuned():
    base, tuned = nets()
    best = Best([], None)  # type: ignore[arg-type]
    assert gone(base, best.of(tuned, -1.0, base)) == pytest.approx(1.0, abs=1e-5)


def test_new_structures_go_all_of_the_way_of_the_best_moment(monkeypatch: pytest.MonkeyPatch):
    base, tuned = nets()
    best = Best([example(0).case], None)  # type: ignore[arg-type]
    monkeypatch.setattr(best, "_judged", lambda net: worth(0.9 - gone(base, net) / 10))
    best.look(0, base)
    assert gone(base, best.of(tuned, best.look(3, tuned).dice, base, whole=True)) == pytest.approx(1.0, abs=1e-5)


def test_all_of_the_way_is_exact_and_counters_are_not_mixed():
    base, tuned = (net.state_dict() for net in nets())
    base["count"], tuned["count"] = torch.tensor(3), torch.tensor(10)
    assert all(torch.equal(between(base, tuned, 1.0)[name], tuned[name]) for name in tuned)
    assert between(base, tuned, 0.5)["count"] == 10
    torch.testing.assert_close(between(base, tuned, 0.5)[NAME], (base[NAME] + tuned[NAME]) / 2)
