"""A head trained on a model's backbone: the backbone stays, the head moves, damaged truths are seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_morse.errors import InputError
from napari_morse.io.weights import save_model
from napari_morse.training.loop import Trainer
from napari_morse.training.run import begin_with
from napari_morse.zoo import LoadedModel, load
from tests.nets import small_recipe
from tests.test_inference import model
from tests.test_training import case


@pytest.fixture
def start(tmp_path: Path) -> LoadedModel:
    small = model()
    save_model(tmp_path / "small", small.card, small.net.tensors())
    return load(tmp_path / "small")


def trainer(folder: Path, render: dict[str, object] | None = None, classes: int = 3, **train: object) -> Trainer:
    recipe = small_recipe(3, **(render or {}))
    recipe = recipe.model_copy(
        update={
            "train": recipe.train.model_copy(update={"stage_one": 0.0, "iterations": 4, **train}),
            "backbone": recipe.backbone.model_copy(update={"classes": classes}),
        }
    )
    cases = [case(n) for n in range(3)]
    return Trainer(recipe, cases[:2], cases[2:], (1.0, 1.0, 1.0), None, 0, folder, None, {})


def test_a_frozen_backbone_stays_and_its_head_moves(tmp_path: Path, start: LoadedModel) -> None:
    run = trainer(tmp_path / "run", frozen=True)
    begin_with(run, start)
    before = {k: v.clone() for k, v in run.net.state_dict().items()}
    net = run.run()
    after = net.state_dict()
    assert all(torch.equal(v, start.net.state_dict()[k]) for k, v in after.items() if k.startswith("backbone."))
    assert any(not torch.equal(v, before[k]) for k, v in after.items() if k.startswith("renderer."))


def test_a_backbone_of_other_classes_is_refused(tmp_path: Path, start: LoadedModel) -> None:
    with pytest.raises(InputError, match="other structures"):
        begin_with(trainer(tmp_path / "run", classes=2), start)


@pytest.mark.parametrize("render", [{}, {"stem": 4, "stem_window": 12}])
def test_a_damaged_truth_is_seen_by_the_head_alone(tmp_path: Path, render: dict[str, object]) -> None:
    """The coarse loss does not see it: the backbone's gradients are those of a run without."""
    gradients = []
    for rough in (0.0, 1.0):
        run = trainer(tmp_path / "run", render, rough=rough)
        run.step(0, 0.5, *run.batches.at(0))
        gradients.append({k: p.grad.clone() for k, p in run.net.named_parameters() if p.grad is not None})
    plain, rough = gradients
    # Gradients are clipped by their common norm: their direction is what must be the same.
    for name in (n for n in plain if n.startswith("backbone.")):
        one, other = plain[name].flatten(), rough[name].flatten()
        assert one.norm() == 0 or torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.9999
    assert any(not torch.allclose(plain[n], rough[n]) for n in plain if n.startswith("renderer."))


def test_the_stem_learns(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", {"stem": 4, "stem_window": 12}, learning_rate=0.05, warmup=0)
    before = {k: v.clone() for k, v in run.net.stem.state_dict().items()}
    for iteration in range(3):
        assert np.isfinite(run.step(iteration, 0.1, *run.batches.at(iteration)))
    assert all(not torch.equal(v, before[k]) for k, v in run.net.stem.state_dict().items())
