"""Steps that give no numbers, in every way to train: skipped, gone back from, never in a checkpoint or a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from napari_morse import zoo
from napari_morse.errors import InputError, MorseError, WeightsError
from napari_morse.io import open_scan, save_image
from napari_morse.training import objective
from napari_morse.training.engine import Engine, StepReport
from napari_morse.training.finetuning.from_scratch import NewRun
from napari_morse.training.finetuning.selection import Best
from napari_morse.training.validation import judge
from napari_morse.types import Grid
from tests import recipe_cases
from tests.nets import awake, small_net
from tests.training.finetuning.test_from_scratch import plan_of
from tests.training.finetuning.test_round import make
from tests.training.test_training import StopHereError, begun, case, same, trainer, write_pair
from tests.tuning_cases import save_small_model

Wrong = Callable[[Engine, int], bool]


class NoGradient(torch.autograd.Function):
    """A loss that is a number, and whose gradient is none."""

    @staticmethod
    def forward(_, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return gradient * float("nan")


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[Wrong], list[int]]:
    """Lets steps have gradients that are no numbers; gives the list of the steps that were begun."""

    def begin(wrong: Wrong) -> list[int]:
        steps: list[int] = []
        now: list[Engine] = []
        real_step, real_loss = Engine.step, objective.supervised_loss

        def step(self: Engine, iteration: int, *rest: object) -> float:
            steps.append(iteration)
            now[:] = [self]
            return real_step(self, iteration, *rest)

        def loss(*given: object) -> Tensor:
            found = real_loss(*given)
            return NoGradient.apply(found) if wrong(now[0], steps[-1]) else found

        monkeypatch.setattr(Engine, "step", step)
        monkeypatch.setattr(objective, "supervised_loss", loss)
        return steps

    return begin


def finite(net: nn.Module) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in net.state_dict().values())


def checkpoint(folder: Path) -> tuple[dict, dict[str, Tensor]]:
    numbers = json.loads((folder / "training.json").read_text())
    return numbers, load((folder / f"{numbers['sha256'][:16]}-training.safetensors").read_bytes())


def first_time(*steps: int) -> Wrong:
    """Wrong at these steps until the run has gone back."""
    return lambda run, step: step in steps and run.progress.backs == 0


def test_a_gradient_that_is_no_number_moves_nothing(tmp_path: Path, poison: Callable[[Wrong], list[int]]) -> None:
    poison(lambda _, step: step == 1)
    run = trainer(tmp_path)
    run.step(0, run.source.batch(0), 0.0)
    kept = [{k: v.clone() for k, v in net.state_dict().items()} for net in (run.net, run.average)]
    moments = [v.clone() for state in run.optimizer.state.values() for v in state.values()]
    assert np.isfinite(run.step(1, run.source.batch(1), 0.1))
    for net, before in zip((run.net, run.average), kept, strict=True):
        assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(map(torch.equal, [v for state in run.optimizer.state.values() for v in state.values()], moments))
    run.step(2, run.source.batch(2), 0.2)
    assert finite(run.net) and not same(run.net, run.average)


@pytest.mark.parametrize("wrong", [(5, 6, 7), (9, 10, 11), (0, 1, 2)])
def test_the_third_in_a_row_goes_back_to_the_last_checkpoint(
    tmp_path: Path, poison: Callable[[Wrong], list[int]], wrong: tuple[int, int, int]
) -> None:
    steps, reports, said = poison(first_time(*wrong)), [], []
    run = trainer(tmp_path)
    run.steps.say = said.append

    def watch(report: StepReport) -> None:
        reports.append(report)
        assert all(torch.isfinite(t).all() for t in checkpoint(tmp_path)[1].values())

    net = run.run(watch)
    back = 4 * (wrong[0] // 4)
    assert steps == [*range(wrong[2] + 1), *range(back, 12)] and run.progress.backs == 1
    assert finite(net) and finite(run.net) and checkpoint(tmp_path)[0]["backs"] == 1
    assert len(said) == 2 and "left out" in said[0] and f"step {back}, at half the rate" in said[1]
    usual = trainer(tmp_path / "usual")
    run.step(4, run.source.batch(4), 0.5)
    usual.step(4, usual.source.batch(4), 0.5)
    assert run.optimizer.param_groups[0]["lr"] == usual.optimizer.param_groups[0]["lr"] / 2


def test_no_checkpoint_is_written_between_steps_that_are_skipped(
    tmp_path: Path, poison: Callable[[Wrong], list[int]]
) -> None:
    poison(lambda _, step: step in (6, 7))

    def watch(report: StepReport) -> None:
        kept.append((report.iteration, checkpoint(tmp_path)[0]["iteration"]))

    run, kept = trainer(tmp_path), []
    run.run(watch)
    assert kept == [(n, 0 if n < 4 else 4 if n < 12 else 12) for n in range(1, 13)] and run.progress.backs == 0


@pytest.mark.parametrize("stop", [6, 8, 9, 10, 11])
def test_resumed_it_still_equals_the_uninterrupted_run(
    tmp_path: Path, poison: Callable[[Wrong], list[int]], stop: int
) -> None:
    wrong = first_time(5, 6, 7)
    steps = poison(lambda run, step: wrong(run, step) or step == 9)
    whole = trainer(tmp_path / "whole").run()
    assert steps == [*range(8), *range(4, 12)]
    seen: list[int] = []

    def kill(report: StepReport) -> None:
        seen.append(report.iteration)
        if len(seen) == stop:
            raise StopHereError

    with pytest.raises(StopHereError):
        trainer(tmp_path / "part").run(kill)
    again = trainer(tmp_path / "part")
    torch.manual_seed(12345)
    again.resume()
    assert same(whole, again.run())


@pytest.mark.parametrize("how", ["image", "gradient"])
def test_running_statistics_are_not_poisoned_either(
    tmp_path: Path, poison: Callable[[Wrong], list[int]], how: str
) -> None:
    poison(lambda _, step: how == "gradient" and step == 1)
    run = recipe_cases.trainer(recipe_cases.tiny("reference-2d", "train.stage_one=0.0"), tmp_path)
    assert any(name.endswith("running_mean") for name, _ in run.net.named_buffers())
    run.step(0, run.source.batch(0), 0.5)
    before = {k: v.clone() for k, v in run.net.state_dict().items()}
    samples = run.source.batch(1)
    run.step(1, replace(samples, images=samples.images * float("nan")) if how == "image" else samples, 0.6)
    assert all(torch.equal(v, before[k]) for k, v in run.net.state_dict().items())


def test_weights_that_a_step_makes_no_numbers_are_gone_back_from_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = trainer(tmp_path), torch.optim.AdamW.step
    calls: list[int] = []

    def step(self: torch.optim.AdamW, *rest: object) -> object:
        found = real(self, *rest)
        calls.append(1)
        if len(calls) == 6:
            next(iter(self.param_groups[0]["params"])).data.view(-1)[0] = float("inf")
        return found

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    net = run.run()
    assert finite(net) and finite(run.average) and run.progress.backs == 1 and len(calls) == 6 + 8


def test_a_rate_that_is_far_too_large_ends_in_a_sentence_and_a_sound_checkpoint(tmp_path: Path) -> None:
    run = trainer(tmp_path, learning_rate=1e30, optimizer="sgd", warmup=0)
    with pytest.raises(MorseError, match="diverged") as told:
        run.run()
    assert "train.learning_rate=1e+29" in str(told.value)
    assert all(torch.isfinite(t).all() for t in checkpoint(tmp_path)[1].values())


def older(folder: Path, poisoned: bool) -> None:
    """A checkpoint as an older version left it."""
    numbers, tensors = checkpoint(folder)
    if poisoned:
        tensors = {k: v * float("nan") if k.startswith(("net.", "average.")) else v for k, v in tensors.items()}
    blob = save(tensors)
    numbers["sha256"] = hashlib.sha256(blob).hexdigest()
    numbers.pop("backs", None)
    for old in folder.glob("*-training.safetensors"):
        old.unlink()
    (folder / f"{numbers['sha256'][:16]}-training.safetensors").write_bytes(blob)
    (folder / "training.json").write_text(json.dumps(numbers))


def test_a_checkpoint_of_an_older_version_goes_on(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole").run()
    with pytest.raises(StopHereError):
        trainer(tmp_path / "part").run(lambda report: stop_at(report, 9))
    older(tmp_path / "part", poisoned=False)
    again = trainer(tmp_path / "part")
    again.resume()
    assert again.progress.iteration == 8 and same(whole, again.run())


def stop_at(report: StepReport, iteration: int) -> None:
    if report.iteration == iteration:
        raise StopHereError


def test_a_checkpoint_that_an_older_version_poisoned_is_refused_with_a_way_out(tmp_path: Path) -> None:
    for n in range(4):
        write_pair(tmp_path, f"p{n}", n)
    splits = {"train": ["p0", "p1"], "val": ["p2"]}
    begun(tmp_path, splits).engine(resume=False).run()
    older(tmp_path / "tiny.run", poisoned=True)
    with pytest.raises(WeightsError, match=r"no numbers.*Delete the folder"):
        begun(tmp_path, splits).engine(resume=True)


# A new model from the labels alone


def test_a_new_model_that_never_gives_a_number_says_what_to_do_in_the_window(
    tmp_path: Path, poison: Callable[[Wrong], list[int]]
) -> None:
    poison(lambda *_: True)
    with pytest.raises(MorseError, match="diverged") as told:
        NewRun(plan_of(tmp_path, held=0), tmp_path / "run").run()
    assert "--set" not in str(told.value) and "another round" in str(told.value)


# Judging


def overflowing(net: nn.Module) -> nn.Module:
    """The same network with finite weights, whose logits are none."""
    with torch.no_grad():
        for parameter in net.backbone.parameters():
            parameter.fill_(1e30)
    return net.eval()


def test_a_network_whose_masks_are_of_no_numbers_is_never_the_best(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    empty = case(9)
    empty.labels[:] = 0  # a mask that finds nothing would be all right
    run.judge = lambda _, average: judge(average, [empty], (1.0, 1.0, 1.0), None)
    overflowing(run.average)
    verdict, best = run._looked()
    assert verdict.dice == 0.0 and not best and not run.best


def test_such_a_network_is_not_what_a_tuned_model_becomes(tmp_path: Path) -> None:
    base, told, empty = awake(small_net()), [], case(9)
    empty.labels[:] = 0
    best = Best([empty], zoo.load(save_small_model(tmp_path / "base")).card, told.append)
    best.look(0, base)
    assert not best.look(1, overflowing(small_net())).finite
    assert [e["dice"] for e in told if e["event"] == "check"][1] == 0.0
    run = make(tmp_path / "run", steps=2, looks=best.look)
    overflowing(run.net), overflowing(run.average)
    with pytest.raises(MorseError, match="diverged"):
        run.run()


# Cases


@pytest.mark.parametrize(("fill", "why"), [(np.nan, "no finite voxel"), (7.0, "p1 has no contrast")])
def test_a_case_without_anything_to_see_is_named_before_training(tmp_path: Path, fill: float, why: str) -> None:
    for n in range(4):
        write_pair(tmp_path, f"p{n}", n)
    path = tmp_path / "images" / "p1.nii.gz"
    grid = open_scan(path).grid
    path.unlink()
    save_image(np.full(grid.shape, fill, np.float32), Grid(grid.shape, grid.affine), path)
    with pytest.raises(InputError, match=why):
        begun(tmp_path, {"train": ["p0", "p1"], "val": ["p2"]}).engine(resume=False)
    assert not (tmp_path / "tiny.run").exists()


def test_voxels_that_are_no_numbers_give_a_sound_model(tmp_path: Path) -> None:
    for n in range(4):
        write_pair(tmp_path, f"p{n}", n)
    path = tmp_path / "images" / "p1.nii.gz"
    scan = open_scan(path)
    pixels = np.array(scan.data)
    pixels[3:6], pixels[8, 8, 8] = np.nan, np.inf
    path.unlink()
    save_image(pixels, scan.grid, path)
    run = begun(tmp_path, {"train": ["p0", "p1"], "val": ["p2"]}).engine(resume=False)
    assert finite(run.run()) and run.progress.backs == 0
