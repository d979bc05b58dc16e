"""What a hostile reader of the tuning found: each was a fault once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_morse import zoo
from napari_morse.config import BackboneConfig, LabelEntry, Recipe, RenderConfig, TrainConfig, Tuned
from napari_morse.errors import GeometryError, InputError
from napari_morse.io import cards, open_mask, save_image, save_mask
from napari_morse.io.weights import save_model
from napari_morse.model.morse import Morse
from napari_morse.training.examples import load_example
from napari_morse.training.finetuning import verdict as verdicts
from napari_morse.training.finetuning.learning import widened
from napari_morse.training.finetuning.plan import check_apart
from napari_morse.training.finetuning.round import TuningRun
from napari_morse.training.finetuning.selection import grown
from napari_morse.training.finetuning.verdict import CaseVerdict, Figures, Verdict, sentence
from napari_morse.training.sampling import Sampler
from napari_morse.training.source import CODE_UNREVIEWED, Source, digests
from napari_morse.types import Grid, Mask
from tests.nets import awake, small_net
from tests.training.finetuning.test_round import make, run
from tests.tuning_cases import plan_of, save_small_model


def test_of_a_large_scan_the_part_that_was_looked_at_is_trained_on(tmp_path: Path):
    shape = (90, 100, 90)
    grid = Grid(shape, np.eye(4))
    rng = np.random.default_rng(0)
    labels, codes = np.zeros(shape, np.uint8), np.full(shape, CODE_UNREVIEWED, np.uint8)
    labels[60:68, 20:28, 70:78], labels[10:30, 60:90, 10:30] = 1, 2  # the second where nobody looked
    codes[56:72, 16:32, 66:82] = 0
    scan = save_image(rng.random(shape).astype(np.float32) + labels, grid, tmp_path / "scan.nii.gz")
    mask = save_mask(Mask(labels, grid, ()), tmp_path / "labels.nii.gz")
    marks = save_mask(Mask(codes, grid, ()), tmp_path / "codes.nii.gz")
    card = cards.read_card(save_small_model(tmp_path / "base"))
    found = load_example(Source(name="x", scan=scan, labels=mask, codes=marks), card)
    assert (found.case.labels == 1).sum() == 512 and (found.codes == 0).sum() == 16**3
    drawer = Sampler([found], card.recipe, None, 0, 2)
    drawn = [drawer._draw(number) for number in range(30)]
    assert np.mean([bool(((labels == 1) & (codes == 0)).any()) for _, labels, codes in drawn]) > 0.6
    assert widened(card.recipe, awake(small_net()), [found], card).render.uncertain_below >= 4


def test_a_case_nobody_looked_at_and_a_single_slice_are_refused(tmp_path: Path):
    plan = plan_of(tmp_path)
    grid = Grid((14, 20, 15), np.eye(4))
    codes = save_mask(Mask(np.full(grid.shape, CODE_UNREVIEWED, np.uint8), grid, ()), tmp_path / "codes.nii.gz")
    with pytest.raises(InputError, match="Nobody looked"):
        load_example(plan.train[0].model_copy(update={"codes": codes}), cards.read_card(Path(plan.model)))
    flat = Grid((30, 24, 1), np.eye(4))
    scan = save_image(np.random.default_rng(0).random(flat.shape).astype(np.float32), flat, tmp_path / "flat.nii.gz")
    mask = save_mask(Mask(np.ones(flat.shape, np.uint8), flat, ()), tmp_path / "flat_mask.nii.gz")
    card = cards.read_card(save_small_model(tmp_path / "two", dims=2))
    with pytest.raises(InputError, match="single slice"):
        load_example(Source(name="flat", scan=scan, labels=mask), card)


def test_who_was_trained_on_before_cannot_judge_by_being_left_out(tmp_path: Path):
    plan = plan_of(tmp_path).model_copy(update={"leave_one_out": True})
    card = cards.read_card(Path(plan.model))
    check_apart(plan, card)
    tuned = Tuned(parent="x", settings={}, trained=digests(plan.train[:1]))
    with pytest.raises(InputError, match="by being left out"):
        check_apart(plan, card.model_copy(update={"tuned": tuned}))


def test_a_left_out_patient_is_not_replayed_either(tmp_path: Path):
    plan = plan_of(tmp_path, train=4, held=0)
    first, second, third, fourth = (
        source.model_copy(update={"patient": patient})
        for source, patient in zip(plan.train, ("P0", "P1", "P2", "P0"), strict=True)
    )
    told = {"train": (first, second, third), "earlier": (fourth,), "leave_one_out": True}
    run(plan.model_copy(update=told), tmp_path / "run")
    card = zoo.find(tmp_path / "run" / "left-out" / first.name / "model").card
    assert set(card.tuned.trained) == {digests([s])[0] for s in (second, third)}
    assert not list((tmp_path / "run").rglob("*-training.safetensors"))


def test_a_truth_beside_its_scan_is_refused_before_anything_is_trained(tmp_path: Path):
    plan = plan_of(tmp_path, train=2, held=6)
    last = plan.held_out[-1]
    mask = open_mask(last.labels)
    moved = mask.grid.affine.copy()
    moved[0, 3] += 5
    last.labels.unlink()
    save_mask(Mask(mask.data, Grid(mask.data.shape, moved), ()), last.labels)
    told: list[dict] = []
    with pytest.raises(GeometryError, match=last.name):
        TuningRun(plan, tmp_path / "run", told.append).run()
    assert not told


def test_what_is_frozen_keeps_its_running_statistics_and_drops_nothing_out(tmp_path: Path):
    tuned = make(tmp_path, what="decoder")
    frozen, learned = (torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout()) for _ in range(2))
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    tuned.net.backbone.extra = torch.nn.ModuleList([frozen, learned])
    tuned._train_mode()
    assert not any(module.training for module in frozen.modules())
    assert all(module.training for module in learned.modules()) and tuned.net.renderer.training


def figures(dice: float, asd: float) -> Figures:
    return Figures(dice=dice, hd95=1.0, asd=asd, nsd=0.9)


@pytest.mark.parametrize("count", [2, 8])
def test_a_model_that_changed_nothing_is_said_to_be_no_better(count: int):
    same = {f"{when} {stage}": figures(0.8, 1.0) for when in ("before", "after") for stage in ("coarse", "rendered")}
    cases = [CaseVerdict(case=str(n), truth="", figures=same) for n in range(count)]
    assert sentence(cases, verdicts.tested(cases)).startswith("The new model is not better")


def test_the_warning_stands_however_sure_it_is():
    cases = [
        CaseVerdict(
            case=str(n), truth="", figures={
                f"{when} {stage}": figures(0.8 + gain + n / 1000 * gain, 1 + off) for stage in ("coarse", "rendered")
                for when, gain, off in (("before", 0.0, 0.0), ("after", 0.06, 0.4 + n / 1000))
            },
        )
        for n in range(24)
    ]  # fmt: skip
    p = verdicts.tested(cases)
    assert 0 < p["dice rendered"] < 1e-6
    assert "covers more but lies further off" in sentence(cases, p)


def test_a_network_whose_classes_lie_inside_is_refused_a_new_label(tmp_path: Path):
    backbone = BackboneConfig(name="unet", filters=(8, 16), classes=3, stem_stride=1)
    render = RenderConfig(points=64, width=8, head_width=8)
    recipe = Recipe(name="u", backbone=backbone, render=render, train=TrainConfig(window=(16, 24, 16)))
    fields = cards.read_card(save_small_model(tmp_path / "base")).model_dump() | {"recipe": recipe}
    save_model(tmp_path / "unet", fields, Morse(recipe).tensors())
    with pytest.raises(InputError, match="can't be added to this network"):
        grown(zoo.load(tmp_path / "unet"), [LabelEntry(id=9, name="new", color="#009e73")])


def test_a_run_that_was_over_is_not_trained_again(tmp_path: Path, monkeypatch):
    plan = plan_of(tmp_path)
    verdict, _ = run(plan, tmp_path / "run")
    monkeypatch.setattr(TuningRun, "train", lambda *_: pytest.fail("trained again"))
    assert TuningRun(plan, tmp_path / "run").run(resume=True) == verdict == Verdict.read(tmp_path / "run")
