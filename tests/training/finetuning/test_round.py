"""Tuning: the same from the same seed, resumed as if never stopped, held-out cases never touched, the base kept."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_morse import zoo
from napari_morse.config import LabelEntry, Tuned
from napari_morse.errors import CancelledError, InputError, WeightsError
from napari_morse.inference import Predictor
from napari_morse.io import cards, open_mask, open_scan, save_mask
from napari_morse.training import ways
from napari_morse.training.engine import Engine, Judge
from napari_morse.training.examples import load_example
from napari_morse.training.finetuning import learning, process
from napari_morse.training.finetuning.judging import rederived
from napari_morse.training.finetuning.plan import Plan, check_apart
from napari_morse.training.finetuning.round import TuningRun
from napari_morse.training.finetuning.selection import grown
from napari_morse.training.finetuning.verdict import Verdict
from napari_morse.training.objective import FromCorrections
from napari_morse.training.settings import ROUND_WARMUP, TuneSettings
from napari_morse.training.source import CODE_CORRECTED, CODE_UNREVIEWED, digests
from napari_morse.training.validation import dice_or_one
from napari_morse.training.ways import from_corrections
from tests.nets import awake, small_net
from tests.tuning_cases import example, plan_of


def make(folder: Path, dims: int = 3, examples: int = 3, looks: Judge | None = None, **changes: object) -> Engine:
    settings = TuneSettings.model_validate({"steps": 25, "what": "all", **changes})
    net = awake(small_net(dims))
    cases = [example(n) for n in range(examples)]
    return from_corrections(net, cases, "A" if dims == 2 else None, settings, folder, None, looks)


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("what", "dims", "stop"), [("all", 3, 13), ("head", 3, 17), ("decoder", 2, 21)])
def test_a_run_stopped_and_resumed_equals_the_uninterrupted_one(tmp_path: Path, what: str, dims: int, stop: int):
    whole = make(tmp_path / "whole", dims, what=what).run()
    part = make(tmp_path / "part", dims, what=what)
    done: list[int] = []
    with pytest.raises(CancelledError):
        part.run(lambda report: done.append(report.iteration), stop=lambda: len(done) == stop)
    again = make(tmp_path / "part", dims, what=what)
    torch.manual_seed(12345)
    again.resume()
    assert 0 < again.progress.iteration <= stop
    assert same(whole, again.run())


def test_the_seed_decides(tmp_path: Path):
    first, second, other = (make(tmp_path / n, seed=s, steps=4).run() for n, s in (("a", 0), ("b", 0), ("c", 1)))
    assert same(first, second) and not same(first, other)


@pytest.mark.parametrize("what", ["head", "decoder", "all"])
def test_what_is_not_trained_stays_bit_for_bit(tmp_path: Path, what: str):
    tuned = make(tmp_path, what=what, steps=6)
    net = tuned.run()
    before, after = tuned.objective.base.state_dict(), net.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("renderer") for name in changed)
    assert any("upsamples" in name for name in changed) == (what != "head")
    assert any("input_block" in name for name in changed) == (what == "all")


def test_voxels_that_nobody_reviewed_teach_nothing(tmp_path: Path):
    def run(folder: str, noise: int) -> torch.nn.Module:
        found = example(0)
        found.codes[:, 10:] = CODE_UNREVIEWED
        found.case.labels[:, 10:] = np.random.default_rng(noise).integers(0, 3, found.case.labels[:, 10:].shape)
        settings = TuneSettings(steps=3, what="all", distil=0)
        return from_corrections(awake(small_net()), [found], None, settings, tmp_path / folder).run()

    # Points are drawn by the coarse map alone; samples are moved the same way: only the labels differ.
    assert same(run("a", 1), run("b", 2))


def test_what_was_corrected_weighs_more(tmp_path: Path):
    def run(folder: str, code: int) -> torch.nn.Module:
        found = example(0)
        found.codes[4:8] = code
        settings = TuneSettings(steps=3, what="all")
        return from_corrections(awake(small_net()), [found], None, settings, tmp_path / folder).run()

    assert not same(run("a", 0), run("b", CODE_CORRECTED))


def no_number(_, net, *rest):
    return next(net.renderer.parameters()).sum() * float("nan")


def test_single_steps_without_a_number_change_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tuned = make(tmp_path, steps=2)
    monkeypatch.setattr(FromCorrections, "loss", no_number)
    assert same(tuned.run(), tuned.objective.base.cpu())


@pytest.mark.parametrize("what", ["head", "all"])
def test_steps_are_timed_until_the_time_is_up_or_it_is_stopped(tmp_path: Path, what: str):
    tuned, asked = make(tmp_path, what=what), []
    seconds = tuned.timed(0.0, lambda: bool(asked.append(1)))
    assert 0 < seconds < 60 and len(asked) == 4
    with pytest.raises(CancelledError):
        make(tmp_path, what=what).timed(60.0, lambda: True)
    assert not list(tmp_path.iterdir())


def test_what_gives_no_number_can_be_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FromCorrections, "loss", no_number)
    assert make(tmp_path).timed(60.0) > 0


def test_resuming_with_other_settings_or_a_damaged_state_is_refused(tmp_path: Path):
    make(tmp_path, steps=2).run()
    with pytest.raises(WeightsError, match="other settings"):
        make(tmp_path, steps=3).resume()
    (state,) = tmp_path.glob("*-training.safetensors")
    state.write_bytes(state.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        make(tmp_path, steps=2).resume()


def test_earlier_cases_are_replayed_by_their_share(tmp_path: Path):
    settings = TuneSettings(steps=1, replay=0.3)
    two = [example(0), example(1, replay=True)]
    drawer = from_corrections(awake(small_net()), two, None, settings, tmp_path).source
    rng = [np.random.default_rng((0, 11, n)) for n in range(400)]
    share = np.mean([drawer._example(n, r).replay for n, r in enumerate(rng)])
    assert 0.22 < share < 0.38


# A whole round


def run(plan: Plan, folder: Path, **more: object) -> tuple[Verdict, list[dict]]:
    told: list[dict] = []
    plan.write(folder)
    verdict = TuningRun(plan, folder, told.append, **more).run()  # type: ignore[arg-type]
    return verdict, told


def test_a_round_ends_with_a_model_that_knows_where_it_comes_from(tmp_path: Path):
    plan = plan_of(tmp_path)
    before = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(plan.model).iterdir()}
    verdict, told = run(plan, tmp_path / "run")
    assert {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(plan.model).iterdir()} == before
    model = zoo.load(tmp_path / "run" / "model")
    tuned = model.card.tuned
    assert isinstance(tuned, Tuned) and tuned.by == "AB" and tuned.verdict == verdict.sentence
    assert tuned.trained == digests(plan.train) and tuned.held_out == digests(plan.held_out)
    assert model.card.lineage == (cards.model_digest(Path(plan.model)),) and model.digest == verdict.digest
    assert model.card.version == 2
    assert [case.case for case in verdict.cases] == ["case3", "case4"]
    kinds = [event["event"] for event in told]
    assert kinds[-1] == "done" and kinds.count("step") == 4 and kinds.count("check") == 5
    assert not list((tmp_path / "run").glob("*-training.safetensors"))


def test_a_tuned_model_knows_how_large_its_new_cases_are(tmp_path: Path):
    """What is larger than anything that a model has seen is refused for `--coarse`."""
    plan = plan_of(tmp_path)
    base = json.loads((Path(plan.model) / "model.json").read_text())
    (Path(plan.model) / "model.json").write_text(json.dumps({**base, "field_of_view": [[15, 15.5], [9, 10], [2, 30]]}))
    plan.write(tmp_path / "run")
    TuningRun(plan, tmp_path / "run").train()
    assert zoo.load(tmp_path / "run" / "model").card.field_of_view == ((14, 15.5), (9, 20), (2, 30))


def test_the_verdict_can_be_worked_out_again_and_shows_what_was_changed(tmp_path: Path):
    plan = plan_of(tmp_path)
    verdict, _ = run(plan, tmp_path / "run")
    assert rederived(tmp_path / "run") == verdict == Verdict.read(tmp_path / "run")
    mask = tmp_path / "run" / "predictions" / "case3_after_rendered.nii.gz"
    mask.write_bytes((tmp_path / "labels" / "case3.nii.gz").read_bytes())
    again = rederived(tmp_path / "run")
    assert again != verdict and again.cases[0].figures["after rendered"].dice == 1.0


def test_the_better_moment_is_kept_when_the_run_was_killed_in_between(tmp_path: Path):
    plan = plan_of(tmp_path, steps=24, checks=4)
    whole, _ = run(plan, tmp_path / "whole")
    plan.write(tmp_path / "part")
    seen: list[dict] = []
    with pytest.raises(CancelledError):
        TuningRun(plan, tmp_path / "part", seen.append, lambda: any(e.get("step") == 15 for e in seen)).run()
    again = TuningRun(plan, tmp_path / "part").run(resume=True)
    assert again.cases == whole.cases and again.digest == whole.digest


@pytest.mark.parametrize("side", ["scan", "patient", "earlier round judged", "earlier round trained"])
def test_nobody_is_on_both_sides(tmp_path: Path, side: str):
    plan = plan_of(tmp_path)
    card = cards.read_card(Path(plan.model))
    if side == "scan":  # under another name
        copy = plan.train[0].model_copy(update={"name": "other"})
        plan = plan.model_copy(update={"held_out": (*plan.held_out, copy)})
    elif side == "patient":
        train, held = (s.model_copy(update={"patient": "P1"}) for s in (plan.train[0], plan.held_out[0]))
        plan = plan.model_copy(update={"train": (train,), "held_out": (held,)})
    else:
        judged = side.endswith("judged")
        sources = plan.train if judged else plan.held_out
        told = {"trained": (), "held_out": ()} | {"held_out" if judged else "trained": digests(sources)}
        card = card.model_copy(update={"tuned": Tuned(parent="x", settings={}, **told)})
    with pytest.raises(InputError, match=r"both sides|held-out case|cannot judge|cannot be trained on"):
        check_apart(plan, card)


def test_no_held_out_case_reaches_the_tuner_over_two_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Follows every file that is opened while cases to train on are read, and what the tuner is given."""
    opened: list[str] = []
    reading = [False]

    def watch(event: str, arguments: tuple) -> None:
        if reading[0] and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.append(os.fsdecode(arguments[0]))

    sys.addaudithook(watch)
    plan = plan_of(tmp_path, checks=2)
    real_read, real_make = TuningRun._read, ways.from_corrections
    given: list[tuple[int, float]] = []

    def read(self, sources, replay):
        reading[0] = True
        try:
            return real_read(self, sources, replay)
        finally:
            reading[0] = False

    def make_engine(base, examples, *rest, **more):
        given.extend((e.case.labels.size, float(e.case.image.sum())) for e in examples)
        return real_make(base, examples, *rest, **more)

    monkeypatch.setattr(TuningRun, "_read", read)
    monkeypatch.setattr(learning, "from_corrections", make_engine)
    run(plan, tmp_path / "one")
    second = plan.model_copy(update={"model": str(tmp_path / "one" / "model"), "earlier": plan.train[:1],
                                     "train": plan.train[1:]})  # fmt: skip
    run(second, tmp_path / "two")
    cases = {Path(name).name for name in opened if Path(name).name.startswith("case")}
    assert cases == {"case0.nii.gz", "case1.nii.gz", "case2.nii.gz"}
    card = cards.read_card(Path(plan.model))
    held = {float(load_example(source, card).case.image.sum()) for source in plan.held_out}
    assert given and not held & {total for _, total in given}


def test_what_a_person_changed_is_marked_and_regions_nobody_saw_are_not(tmp_path: Path):
    from napari_morse.training.examples import marked
    from napari_morse.types import Grid, Mask

    plan = plan_of(tmp_path)
    codes = np.zeros((14, 20, 15), np.uint8)
    codes[:, :5] = CODE_UNREVIEWED
    path = save_mask(Mask(codes, Grid(codes.shape, np.eye(4)), ()), tmp_path / "codes.nii.gz")
    found = load_example(plan.train[0].model_copy(update={"codes": path}), cards.read_card(Path(plan.model)))
    assert (found.codes[:, :5] == CODE_UNREVIEWED).all() and not found.codes[:, 5:].any()
    base = found.case.labels.copy()
    base[7, :, 7] = 2 - base[7, :, 7]
    again = marked(found, base)
    assert (again.codes[:, :5] == CODE_UNREVIEWED).all()
    np.testing.assert_array_equal(again.codes[:, 5:] == CODE_CORRECTED, base[:, 5:] != found.case.labels[:, 5:])


def test_a_shipped_model_with_a_new_label_marks_what_it_did():
    base = zoo.load("hippocampus-3d")
    scan = open_scan(Path(__file__).parents[3] / "sample_data" / "colin27_left_hippocampus.nii.gz")
    masks = []
    for model in (base, grown(base, [LabelEntry(id=9, name="new", color="#009e73")]),
                  grown(base, [LabelEntry(id=9, name="new", color="#009e73")], [2])):  # fmt: skip
        predictor = Predictor(model, "cpu")
        predictor.set_scan(scan)
        masks.append(predictor.predict())
    for found in masks[1:]:
        assert (found.rendered.data != masks[0].rendered.data).mean() < 1e-3 and 9 not in found.rendered.data
        np.testing.assert_array_equal(found.coarse.data, masks[0].coarse.data)


def test_a_new_label_is_learned_and_at_first_changes_nothing(tmp_path: Path):
    plan = plan_of(tmp_path)
    base = zoo.load(plan.model)
    entry = LabelEntry(id=9, name="new", color="#009e73")
    more = grown(base, [entry])
    scan = open_scan(plan.train[0].scan)
    masks = []
    for model in (base, more):
        predictor = Predictor(model, "cpu")
        predictor.set_scan(scan)
        masks.append(predictor.predict())
    for stage in ("coarse", "rendered"):
        np.testing.assert_array_equal(getattr(masks[0], stage).data, getattr(masks[1], stage).data)
    for source in (*plan.train, *plan.held_out):
        mask, bright = open_mask(source.labels), open_scan(source.scan).data > 1.6
        save_mask(replace(mask, data=np.where(bright, 9, mask.data).astype(np.uint8)), source.labels)
    told = plan.settings.model_copy(update={"steps": 250, "rate": 5e-3, "distil": 0, "anchor": 0, "checks": 1})
    verdict, _ = run(plan.model_copy(update={"new_labels": (entry,), "settings": told}), tmp_path / "run")
    new = zoo.load(tmp_path / "run" / "model")
    assert [e.id for e in new.card.labels] == [1, 2, 9] and verdict.ids == (1, 2, 9)
    predictor = Predictor(new, "cpu")
    predictor.set_scan(scan)
    found = predictor.predict().rendered.data
    truth = open_mask(plan.train[0].labels).data
    assert dice_or_one(found == 9, truth == 9) > 0.6
    with pytest.raises(InputError, match="there already"):
        grown(base, [LabelEntry(id=2, name="b", color="#009e73")])


# The process


def begin(folder: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "napari_morse.training.finetuning.process", str(folder)]
    return subprocess.Popen([*words, "--resume"], stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})


def wait_for_step(folder: Path, step: int, running: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 300
    while time.monotonic() < limit and running.poll() is None:
        events = folder / process.EVENTS
        if events.exists() and f'"step": {step},' in events.read_text():
            return
        time.sleep(0.01)
    raise AssertionError("the run did not come so far")


@pytest.mark.slow
def test_killed_at_ten_random_steps_and_resumed_it_equals_the_uninterrupted_run(tmp_path: Path):
    plan = plan_of(tmp_path, steps=40, checks=2)
    plan.write(tmp_path / "whole")
    assert begin(tmp_path / "whole").wait(600) == 0
    plan.write(tmp_path / "part")
    for step in sorted(np.random.default_rng(5).choice(np.arange(2, 38), 10, replace=False).tolist()):
        running = begin(tmp_path / "part")
        wait_for_step(tmp_path / "part", step, running)
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert begin(tmp_path / "part").wait(600) == 0
    first, second = (Verdict.read(tmp_path / n) for n in ("whole", "part"))
    assert first.digest == second.digest and first.cases == second.cases


@pytest.mark.alone
def test_pause_waits_and_cancel_ends_within_two_seconds(tmp_path: Path):
    plan_of(tmp_path, steps=5000).write(tmp_path / "run")
    running = begin(tmp_path / "run")
    wait_for_step(tmp_path / "run", 3, running)
    process.want(tmp_path / "run", "pause")
    limit = time.monotonic() + 20
    while '"paused"' not in (tmp_path / "run" / process.EVENTS).read_text() and time.monotonic() < limit:
        time.sleep(0.05)
    steps = (tmp_path / "run" / process.EVENTS).read_text().count('"step"')
    time.sleep(0.5)
    assert (tmp_path / "run" / process.EVENTS).read_text().count('"step"') == steps
    asked = time.monotonic()
    process.want(tmp_path / "run", "cancel")
    assert running.wait(20) == 130 and time.monotonic() - asked < 2.0
    assert '"cancelled"' in (tmp_path / "run" / process.EVENTS).read_text().splitlines()[-1]


def test_a_run_that_cannot_read_its_cases_says_so(tmp_path: Path):
    plan = plan_of(tmp_path)
    plan.train[0].scan.unlink()
    plan.write(tmp_path / "run")
    assert process.main([str(tmp_path / "run")]) == 2
    assert '"failed"' in (tmp_path / "run" / process.EVENTS).read_text().splitlines()[-1]


def test_warm_up_and_checks_are_where_they_shall_be(tmp_path: Path):
    tuned = make(tmp_path, steps=100, checks=4)
    assert tuned.schedule.moments() == {25, 50, 75, 100}
    assert tuned.schedule.rates(0, 0) == pytest.approx((1e-3 / ROUND_WARMUP,) * 2)
