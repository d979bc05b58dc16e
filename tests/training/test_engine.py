"""The law of the engine, for every way to train: what goes wrong in a step, with the power or the disk, ends alike.

A loss or a gradient that is no number: the step is left out; the third in a row goes back to the last checkpoint, at
half the rate; never in a checkpoint or a model; where nothing helps, a sentence. A kill, anywhere: the run that goes on
is the uninterrupted run, bit for bit. A full disk: a sentence, and the checkpoint before it as it was.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from napari_morse import zoo
from napari_morse.config import Recipe
from napari_morse.errors import InputError, MorseError
from napari_morse.io.cards import read_card
from napari_morse.training import checkpoint
from napari_morse.training.engine import Engine
from napari_morse.training.finetuning.from_scratch import NewRun
from napari_morse.training.finetuning.plan import Anew, Fit, Plan
from napari_morse.training.finetuning.round import LEFT_OUT_FOLDER, TuningRun
from napari_morse.training.sound import SoundSteps
from tests.nets import small_recipe
from tests.training.finetuning import test_from_scratch
from tests.training.finetuning.test_round import make
from tests.training.test_training import begun, same, write_pair
from tests.tuning_cases import plan_of

ROOT = Path(__file__).parents[2]
STEPS = 12
"""Of every run here; a checkpoint is written at its beginning, after every fourth step, and, of rounds, after ten."""


@dataclass(frozen=True)
class Way:
    """A way to train: ``go`` trains in a folder and gives the weights that came out; checkpoints are in ``place``."""

    go: Callable[[Path, bool, Callable[[str], None]], str]
    place: str


def two_stages() -> Recipe:
    """With all that is drawn at random from the fourth step on: points, silenced experts, damaged truths."""
    recipe = small_recipe()
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"stage_one": 0.25, "rough": 0.5})})


def train(folder: Path, resume: bool, say: Callable[[str], None]) -> str:
    for n in range(3):
        if not (folder / "images" / f"p{n}.nii.gz").exists():
            write_pair(folder, f"p{n}", n)
    run = begun(folder, {"train": ["p0", "p1"], "val": ["p2"]})
    run.recipe = two_stages()
    engine = run.engine(resume)
    engine.steps.say = say
    net = engine.run()
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in net.state_dict().values())).hexdigest()


def planned(folder: Path, make_plan: Callable[[Path], Plan]) -> Plan:
    if not (folder / "run" / "plan.json").exists():
        make_plan(folder).write(folder / "run")
    return Plan.read(folder / "run")


def texts(say: Callable[[str], None]) -> Callable[[dict], None]:
    return lambda event: say(event["text"]) if event["event"] == "log" else None


def tuning(held: int, **settings: object) -> Callable[[Path, bool, Callable[[str], None]], str]:
    def go(folder: Path, resume: bool, say: Callable[[str], None]) -> str:
        plan = planned(folder, lambda f: plan_of(f, train=2, held=held, steps=STEPS, checks=3, **settings))
        return TuningRun(plan, folder / "run", texts(say)).train(resume).weights_sha256

    return go


def new_model(folder: Path, resume: bool, say: Callable[[str], None]) -> str:
    fit = Fit(recipe=two_stages(), spacing=(1.0, 1.0, 1.0), why="small", seconds=(0.1, 0.2))
    plan = planned(folder, lambda f: test_from_scratch.plan_of(f, 2, 0).model_copy(update={"anew": Anew(fit=fit)}))
    return NewRun(plan, folder / "run", texts(say)).train(resume).weights_sha256


def leave_one_out(folder: Path, resume: bool, say: Callable[[str], None]) -> str:
    """As a round does that is judged so; the models that judge are what counts here."""
    told = {"leave_one_out": True}
    plan = planned(folder, lambda f: plan_of(f, 2, 0, steps=STEPS, checks=3).model_copy(update=told))
    run = TuningRun(plan, folder / "run", texts(say))
    run._leave_out(run.train(resume))
    models = sorted((folder / "run" / LEFT_OUT_FOLDER).glob("*/model"))
    return " ".join(read_card(model).weights_sha256 for model in models)


# With held-out cases the best moment comes out, or the base model itself; without, the last step, whatever went before.
WAYS = {
    "train": Way(train, "tiny.run"),
    "round": Way(tuning(1, what="all"), "run"),
    "round, head": Way(tuning(0, what="head"), "run"),
    "new model": Way(new_model, "run"),
    "leave one out": Way(leave_one_out, f"run/{LEFT_OUT_FOLDER}/case0"),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Way], str]:
    """The weights that a way gives when nothing happens."""
    known: dict[str, str] = {}

    def weights(way: Way) -> str:
        key = next(name for name, one in WAYS.items() if one is way)
        if key not in known:
            known[key] = way.go(tmp_path_factory.mktemp("whole"), False, silent)
        return known[key]

    return weights


class Watched:
    """What the engine of one folder does: its steps, and their learning rates; where it may be led astray."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
        self.steps: list[int] = []
        self.rates: list[float] = []
        self.engine: Engine | None = None
        self.wrong: Callable[[int], bool] = lambda _: False
        self.fault = "loss"
        real_step, real_take = Engine.step, SoundSteps.take

        def step(engine: Engine, number: int, *rest: object) -> float:
            if engine.folder == place and engine.schedule.steps == STEPS:
                self.engine = engine
                self.steps.append(number)
            loss = real_step(engine, number, *rest)
            if engine is self.engine:
                self.rates.append(engine.optimizer.param_groups[1]["lr"])
                assert all(torch.isfinite(v).all() for v in state_of(place)[1].values()), "a poisoned checkpoint"
            return loss

        def take(steps: SoundSteps, forward: Callable[[], Tensor]) -> tuple[float, bool]:
            if self.engine is None or steps is not self.engine.steps or not self.wrong(self.steps[-1]):
                return real_take(steps, forward)
            before = fingerprint(self.engine)
            try:
                return real_take(steps, lambda: FAULTS[self.fault](forward()))
            finally:
                assert fingerprint(self.engine) == before, "a step that gives no numbers moved something"

        monkeypatch.setattr(Engine, "step", step)
        monkeypatch.setattr(SoundSteps, "take", take)


class NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(_, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return gradient * float("nan")


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {"loss": lambda loss: loss * float("nan"), "gradient": NoGradient.apply}


def fingerprint(engine: Engine) -> str:
    found = hashlib.sha256()
    moments = [v for state in engine.optimizer.state.values() for v in state.values()]
    for tensor in (*engine.net.state_dict().values(), *engine.average.state_dict().values(), *moments):
        found.update(tensor.detach().numpy().tobytes())
    return found.hexdigest()


def state_of(place: Path) -> tuple[dict, dict[str, Tensor]]:
    numbers = json.loads((place / "training.json").read_text())
    return numbers, load((place / f"{numbers['sha256'][:16]}-training.safetensors").read_bytes())


# Losses and gradients that are no numbers


@ways
@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_is_left_out_and_the_third_in_a_row_goes_back_at_half_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way, fault: str
) -> None:
    said: list[str] = []
    seen = Watched(monkeypatch, tmp_path / way.place)
    seen.fault = fault
    seen.wrong = lambda step: step in (2, 5, 6, 7) and seen.engine.progress.backs == 0
    way.go(tmp_path, False, said.append)
    assert seen.steps == [*range(8), *range(4, STEPS)]
    assert seen.rates[7] == pytest.approx(seen.rates[4] / 2, rel=1e-12), "step 4, when it is done again"
    assert seen.engine.progress.backs == 1 and seen.engine.progress.iteration == STEPS
    about = [text for text in said if "left out" in text or "half the rate" in text]
    assert len(about) == 2 and "A step gave no numbers" in about[0] and "from step 4, at half the rate" in about[1]
    assert all(torch.isfinite(v).all() for v in seen.engine.average.state_dict().values())


@ways
def test_where_nothing_helps_it_ends_with_a_sentence_and_a_sound_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    seen = Watched(monkeypatch, tmp_path / way.place)
    seen.wrong = lambda step: step >= 5
    with pytest.raises(MorseError, match="diverged") as told:
        way.go(tmp_path, False, silent)
    assert told.value.hint.endswith(".") and seen.steps == [*range(8), *range(4, 8), *range(4, 8)]
    numbers, tensors = state_of(tmp_path / way.place)
    assert numbers["iteration"] == 4 and all(torch.isfinite(v).all() for v in tensors.values())


# Kills


def die_at(name: str, folder: str, step: int) -> None:
    """Train in this process until it is killed."""
    way, real = WAYS[name], Engine.step

    def fatal(engine: Engine, number: int, *rest: object) -> float:
        loss = real(engine, number, *rest)
        if engine.folder == Path(folder) / way.place and number == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    Engine.step = fatal
    way.go(Path(folder), False, silent)


@ways
def test_killed_and_resumed_it_is_the_uninterrupted_run(
    tmp_path: Path, way: Way, uninterrupted: Callable[[Way], str]
) -> None:
    name = next(name for name, one in WAYS.items() if one is way)
    step = int(np.random.default_rng(len(name)).integers(5, STEPS))
    words = f"from tests.training.test_engine import die_at; die_at({name!r}, {str(tmp_path)!r}, {step})"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", words], env=environment, timeout=200, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert step - 4 < state_of(tmp_path / way.place)[0]["iteration"] <= step
    torch.manual_seed(12345)
    assert way.go(tmp_path, True, silent) == uninterrupted(way)


@ways
def test_killed_between_the_two_files_of_a_checkpoint_it_goes_on_from_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way, uninterrupted: Callable[[Way], str]
) -> None:
    real = checkpoint.write_text

    def killed(path: Path, text: str) -> Path:
        if path.parent == tmp_path / way.place and json.loads(text)["iteration"] == 8:
            raise KeyboardInterrupt
        return real(path, text)

    monkeypatch.setattr(checkpoint, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        way.go(tmp_path, False, silent)
    monkeypatch.undo()
    place = tmp_path / way.place
    assert len(list(place.glob("*-training.safetensors"))) == 2 and state_of(place)[0]["iteration"] == 4
    assert way.go(tmp_path, True, silent) == uninterrupted(way)
    assert len(list(place.glob("*-training.safetensors"))) <= 1


# The disk


@ways
@pytest.mark.parametrize("file", ["training.safetensors", "training.json"])
def test_a_full_disk_is_said_and_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way, uninterrupted: Callable[[Way], str], file: str
) -> None:
    place, real, before = tmp_path / way.place, Path.write_bytes, {}

    def kept() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in place.iterdir() if "training" in p.name or "part" in p.name}

    def write(path: Path, data: bytes) -> int:
        begins = path.parent == place and path.suffix == ".safetensors" and (place / "training.json").exists()
        if begins and state_of(place)[0]["iteration"] == 4:  # the next checkpoint is not to come
            before.update(kept())
        if before and path.parent == place and path.suffix == Path(file).suffix:
            real(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(InputError, match="No checkpoint could be kept") as told:
        way.go(tmp_path, False, silent)
    monkeypatch.undo()
    assert "No space left" in str(told.value) and "make space" in told.value.hint
    assert kept() == before and len(before) == 2, "nothing half-written is in the way"
    assert way.go(tmp_path, True, silent) == uninterrupted(way)


# Rounds that older versions began


def as_an_older_version_left_it(folder: Path, engine: Engine) -> None:
    """A checkpoint in the form that rounds had: other names, and the renderer's moments before the backbone's."""
    numbers, tensors = state_of(folder)
    inside = {id(p) for p in engine.net.backbone.parameters()}
    now = [*engine.net.backbone.parameters(), *(p for p in engine.net.parameters() if id(p) not in inside)]
    older = [p for p in now if id(p) not in inside] + [p for p in now if id(p) in inside and p.requires_grad]
    moved = {k: v for k, v in tensors.items() if not k.startswith("optimizer.")}
    for number, parameter in enumerate(older):
        place = next(n for n, p in enumerate(now) if p is parameter)
        moved |= {f"optimizer.{number}.{k.split('.')[2]}": v for k, v in tensors.items()
                  if k.startswith(f"optimizer.{place}.")}  # fmt: skip
    assert len(moved) == len(tensors)
    blob = save(moved)
    digest = hashlib.sha256(blob).hexdigest()
    told = {"step": numbers["iteration"], "backs": numbers["backs"], "settings": numbers["settings"]}
    for path in folder.glob("*training*"):
        path.unlink()
    (folder / f"{digest[:16]}-tuning.safetensors").write_bytes(blob)
    (folder / "tuning.json").write_text(json.dumps({**told, "sha256": digest, "best": numbers["best_dice"]}))


class StopHereError(Exception):
    """What a kill is to the loop."""


@pytest.mark.parametrize("what", ["head", "decoder", "all"])
def test_a_round_that_an_older_version_began_goes_on_as_if_never_stopped(tmp_path: Path, what: str) -> None:
    whole = make(tmp_path / "whole", what=what).run()
    part = make(tmp_path / "part", what=what)

    def watch(report: object) -> None:
        if part.progress.iteration == 17:
            raise StopHereError

    with pytest.raises(StopHereError):
        part.run(watch)
    as_an_older_version_left_it(tmp_path / "part", part)
    again = make(tmp_path / "part", what=what)
    again.resume()
    assert again.progress.iteration == 12 and same(whole, again.run())
    assert sorted(p.name.partition("-")[2] or p.name for p in (tmp_path / "part").iterdir()) == [
        "training.json", "training.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["round", "new model"])
def test_a_checkpoint_that_an_older_version_poisoned_is_begun_again_and_said(tmp_path: Path, name: str) -> None:
    way, said = WAYS[name], []
    real = way.go(tmp_path, False, silent)
    place = tmp_path / way.place
    numbers, tensors = state_of(place)
    blob = save({k: v * float("nan") if v.is_floating_point() else v for k, v in tensors.items()})
    for path in place.glob("*-training.safetensors"):
        path.unlink()
    numbers["sha256"] = hashlib.sha256(blob).hexdigest()
    (place / f"{numbers['sha256'][:16]}-training.safetensors").write_bytes(blob)
    (place / "training.json").write_text(json.dumps(numbers))
    assert way.go(tmp_path, True, said.append) == real and zoo.load(place / "model")
    assert any("no numbers: the training begins again" in text for text in said)
