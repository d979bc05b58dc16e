"""A head trained on a model's backbone: the backbone stays, the head moves, damaged truths are seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_morse.errors import InputError
from napari_morse.io import save_image, save_mask
from napari_morse.io.weights import save_model
from napari_morse.training.card import Purpose
from napari_morse.training.engine import Engine
from napari_morse.training.from_folders import TrainingRun
from napari_morse.training.ways import from_labels
from napari_morse.types import Grid, Mask
from napari_morse.zoo import LoadedModel, load
from tests.inference.test_inference import model
from tests.nets import small_recipe
from tests.training.test_training import case


@pytest.fixture
def start(tmp_path: Path) -> LoadedModel:
    small = model()
    save_model(tmp_path / "small", small.card, small.net.tensors())
    return load(tmp_path / "small")


def trainer(
    folder: Path, render: dict[str, object] | None = None, classes: int = 3, start: LoadedModel | None = None,
    **train: object,
) -> Engine:  # fmt: skip
    recipe = small_recipe(3, **(render or {}))
    recipe = recipe.model_copy(
        update={
            "train": recipe.train.model_copy(update={"stage_one": 0.0, "iterations": 4, **train}),
            "backbone": recipe.backbone.model_copy(update={"classes": classes}),
        }
    )
    cases = [case(n) for n in range(3)]
    return from_labels(recipe, cases[:2], cases[2:], (1.0, 1.0, 1.0), None, 0, folder, None, {}, start)


def test_a_frozen_backbone_stays_and_its_head_moves(tmp_path: Path, start: LoadedModel) -> None:
    run = trainer(tmp_path / "run", frozen=True, start=start)
    before = {k: v.clone() for k, v in run.net.state_dict().items()}
    net = run.run()
    after = net.state_dict()
    assert all(torch.equal(v, start.net.state_dict()[k]) for k, v in after.items() if k.startswith("backbone."))
    assert any(not torch.equal(v, before[k]) for k, v in after.items() if k.startswith("renderer."))


def test_a_backbone_of_other_classes_is_refused(tmp_path: Path, start: LoadedModel) -> None:
    with pytest.raises(InputError, match="other structures"):
        trainer(tmp_path / "run", classes=2, start=start)


@pytest.mark.parametrize("render", [{}, {"stem": 4, "stem_window": 12}])
def test_a_damaged_truth_is_seen_by_the_head_alone(tmp_path: Path, render: dict[str, object]) -> None:
    """The coarse loss does not see it: the backbone's gradients are those of a run without."""
    gradients = []
    for rough in (0.0, 1.0):
        run = trainer(tmp_path / "run", render, rough=rough)
        run.step(0, run.source.batch(0), 0.5)
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
        assert np.isfinite(run.step(iteration, run.source.batch(iteration), 0.1))
    assert all(not torch.equal(v, before[k]) for k, v in run.net.stem.state_dict().items())


def folders(tmp_path: Path, ids: tuple[int, int] = (1, 300)) -> TrainingRun:
    """Two cases of 2 mm voxels, and a run of the head alone on them."""
    start = model()
    save_model(tmp_path / "small", start.card, start.net.tensors())
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    for n in range(2):
        one = case(n)
        for part, data in (("images", one.image), ("labels", np.array([0, *ids], np.uint16)[one.labels])):
            (tmp_path / part).mkdir(exist_ok=True)
            grid = Grid(data.shape, affine)
            save = save_image if part == "images" else lambda d, g, p: save_mask(Mask(d, g), p)
            save(data, grid, tmp_path / part / f"p{n}.nii.gz")
    recipe = small_recipe()
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"frozen": True, "iterations": 2})})
    return TrainingRun(
        (tmp_path / "images", tmp_path / "labels"), None, recipe, 0, None, None, "A", None,
        Purpose("head", "", "blobs", "CC0-1.0", ""), tmp_path / "head.run", load(tmp_path / "small"),
    )  # fmt: skip


def test_a_frozen_backbone_keeps_its_spacing_slices_and_labels(tmp_path: Path) -> None:
    run = folders(tmp_path)
    card = run.finish(run.engine(resume=False).run(), tmp_path / "head")
    assert card.spacing == (1.0, 1.0, 1.0) and card.slice_axis is None
    assert card.lineage == (load(tmp_path / "small").digest,)
    assert card.recipe.backbone.filters == load(tmp_path / "small").card.recipe.backbone.filters


def test_other_labels_than_the_frozen_backbones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="The labels are 1, 2"):
        folders(tmp_path, (1, 2)).engine(resume=False)


def test_a_window_that_does_not_fit_the_other_backbone_is_refused(tmp_path: Path) -> None:
    run = folders(tmp_path)
    run.recipe = run.recipe.model_copy(update={"train": run.recipe.train.model_copy(update={"window": (12, 24, 16)})})
    with pytest.raises(InputError, match="does not fit the network"):
        run.engine(resume=False)


def test_a_frozen_backbone_stays_in_evaluation(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", frozen=True)
    run.step(0, run.source.batch(0), 0.5)
    assert not run.net.backbone.training and run.net.renderer.training
