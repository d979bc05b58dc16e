"""Scans whose grey levels are the other way round."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_morse import zoo
from napari_morse.inference import Predictor
from napari_morse.inference import predictor as predictor_module
from napari_morse.inference.engine import coarse_bytes, coarse_pass, frame_of
from napari_morse.inference.local import LocalRenderer
from napari_morse.inference.polarity import PolarityCache, choose_polarity, confidence
from napari_morse.inference.predictor import INVERTED_NOTICE
from napari_morse.io import open_scan, save_image, save_mask
from napari_morse.io.weights import save_model
from napari_morse.session.run.engine import LocalEngine
from napari_morse.training.cases import TrainingCase, load_case
from napari_morse.training.finetuning.contrast import either_contrast, reading_either
from napari_morse.training.finetuning.plan import Plan
from napari_morse.training.finetuning.round import OTHER_CONTRAST, TuningRun
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import Source
from napari_morse.training.validation import dice_or_one, inverted
from napari_morse.types import Roi, Scan
from napari_morse.zoo import LoadedModel
from tests.nets import awake, blob, small_net
from tests.tuning_cases import save_small_model

SAMPLES = Path(__file__).parents[2] / "sample_data"
NAMES = ("colin27_left_hippocampus", "colin27_right_hippocampus")
SPACING = (1.0, 1.0, 1.0)


def turned(scan: Scan) -> Scan:
    """The same scan with inverted grey levels."""
    data = scan.data.astype(np.float32)
    return replace(scan, data=data.max() + data.min() - data)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return zoo.load("hippocampus-3d")


@pytest.fixture(scope="module")
def cases(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """Inverted sample scans, with what the model says of them as they were."""
    folder = tmp_path_factory.mktemp("inverted")
    predictor, found = Predictor(model, "cpu"), []
    for name in NAMES:
        scan = open_scan(SAMPLES / f"{name}.nii.gz")
        predictor.set_scan(scan)
        labels = save_mask(predictor.predict().rendered, folder / f"{name}_labels.nii.gz")
        image = save_image(turned(scan).data, scan.grid, folder / f"{name}.nii.gz")
        found.append(Source(name=name, scan=image, labels=labels, patient=name))
    return found


def read(source: Source, model: LoadedModel) -> TrainingCase:
    return load_case(source.scan, source.labels, (1, 2), model.card.intensity)


def test_a_stack_and_its_inverse_are_read_alike():
    net = awake(small_net())
    net.recipe = net.recipe.model_copy(update={"contrast": "either"})
    stack = blob((16, 24, 16))[None]
    frame = frame_of(stack, SPACING, SPACING, net)
    (first, one), (second, other) = (choose_polarity(net, each, frame) for each in (stack, -stack))
    assert first is not second
    np.testing.assert_array_equal(one.logits.numpy(), other.logits.numpy())
    np.testing.assert_array_equal(one.native.pixels.numpy(), other.native.pixels.numpy())
    (sure, marked), (less, fewer) = sorted(
        (confidence(coarse_pass(net, s, frame)) for s in (stack, -stack)), reverse=True
    )
    assert confidence(one) == (sure, marked) and sure > less and marked > fewer


def test_a_few_cells_of_which_it_is_sure_are_no_reason_to_turn_a_scan(monkeypatch: pytest.MonkeyPatch):
    net = awake(small_net())
    net.recipe = net.recipe.model_copy(update={"contrast": "either"})
    stack = blob((16, 24, 16))[None]
    frame = frame_of(stack, SPACING, SPACING, net)
    for second, inverse in (((0.9, 3), False), ((0.9, 200), True), ((0.7, 200), False), ((0.0, 0), False)):
        said = iter([(0.8, 100), second])
        monkeypatch.setattr("napari_morse.inference.polarity.confidence", lambda _, said=said: next(said))
        assert choose_polarity(net, stack, frame)[0] is inverse


def test_other_models_read_a_scan_as_it_is_and_once(monkeypatch: pytest.MonkeyPatch):
    net, calls = awake(small_net()), []
    stack = -blob((16, 24, 16))[None]
    frame = frame_of(stack, SPACING, SPACING, net)
    monkeypatch.setattr(
        "napari_morse.inference.polarity.coarse_pass", lambda *given: calls.append(given[1]) or coarse_pass(*given)
    )
    turned_over, _ = choose_polarity(net, stack, frame)
    assert not turned_over and len(calls) == 1 and calls[0] is stack


def test_nothing_marked_is_no_certainty_and_the_inverse_is_in_the_budget():
    net = awake(small_net(), 1)
    stack = blob((16, 24, 16))[None]
    frame = frame_of(stack, SPACING, SPACING, net)
    done = coarse_pass(net, stack, frame)
    logits = done.maps.logits.clone()
    logits[:, 0] = 100.0
    assert confidence(replace(done, maps=replace(done.maps, logits=logits))) == (0.0, 0)
    before = coarse_bytes(net, frame, 1)
    net.recipe = net.recipe.model_copy(update={"contrast": "either"})
    assert coarse_bytes(net, frame, 1) == (2 if net.recipe.render.looks == 1 else 1) * before


def test_progress_of_both_readings_only_grows():
    net = awake(small_net())
    net.recipe = net.recipe.model_copy(update={"contrast": "either"})
    stack, told = blob((16, 24, 16))[None], []
    choose_polarity(net, stack, frame_of(stack, SPACING, SPACING, net), lambda done, total: told.append(done / total))
    assert told == sorted(told) and told[-1] == 1.0 and any(0.4 < share < 0.6 for share in told)


@pytest.mark.parametrize("name", NAMES)
def test_an_inverted_scan_gets_the_masks_of_the_scan(model: LoadedModel, name: str):
    scan = open_scan(SAMPLES / f"{name}.nii.gz")
    plain, either = Predictor(model, "cpu"), Predictor(reading_either(model), "cpu")
    plain.set_scan(scan)
    as_it_is = plain.predict()
    either.set_scan(scan)
    np.testing.assert_array_equal(either.predict().rendered.data, as_it_is.rendered.data)
    either.set_scan(turned(scan))
    for _ in range(2):  # the second time it is known which contrast it is
        found = either.predict()
        assert found.warnings.count(INVERTED_NOTICE) == 1
        assert dice_or_one(found.rendered.data == 1, as_it_is.rendered.data == 1) > 0.97
        assert dice_or_one(found.coarse.data > 0, as_it_is.coarse.data > 0) > 0.97
    plain.set_scan(turned(scan))
    assert dice_or_one(plain.predict().rendered.data > 0, as_it_is.rendered.data > 0) < 0.5
    again = either.predict(coarse=as_it_is.coarse)
    assert dice_or_one(again.rendered.data > 0, as_it_is.rendered.data > 0) > 0.95


def test_a_stroke_is_sharpened_on_an_inverted_scan_as_on_the_scan(model: LoadedModel):
    scan = open_scan(SAMPLES / f"{NAMES[0]}.nii.gz")
    predictor = Predictor(model, "cpu")
    predictor.set_scan(scan)
    rough = predictor.predict().rendered.data.copy()
    rough[:, :, 1:] = rough[:, :, :-1]
    box, sharp = Roi((0, 0, 0), scan.grid.shape), []
    for each in (scan, turned(scan)):
        predictor = Predictor(reading_either(model), "cpu")
        predictor.set_scan(each)
        sharp.append(LocalRenderer(predictor).sharpen(rough, box) > 0)  # without a run before
    assert dice_or_one(*sharp) > 0.97 and dice_or_one(sharp[0], rough > 0) < 0.97


def test_a_scan_that_was_predicted_is_not_read_twice_again(model: LoadedModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(predictor_module, "polarity_cache", PolarityCache())
    either, scan = reading_either(model), turned(open_scan(SAMPLES / f"{NAMES[0]}.nii.gz"))
    predictor = Predictor(either, "cpu")
    predictor.set_scan(scan)
    first = predictor.predict()
    monkeypatch.setattr(predictor_module, "choose_polarity", lambda *_: pytest.fail("read twice"))
    again = Predictor(either, "cpu")
    again.set_scan(scan)
    stroke = LocalRenderer(again).sharpen(first.rendered.data, Roi((0, 0, 0), scan.grid.shape))
    assert dice_or_one(stroke > 0, first.rendered.data > 0) > 0.9
    again.set_scan(scan)
    found = again.predict()
    np.testing.assert_array_equal(found.rendered.data, first.rendered.data)
    assert found.warnings.count(INVERTED_NOTICE) == 1
    again.set_scan(turned(scan))
    with pytest.raises(pytest.fail.Exception):
        again.predict()  # another scan


def test_only_the_last_scans_are_remembered():
    polarity_cache = PolarityCache(most=2)
    for number in range(3):
        polarity_cache.put(str(number), bool(number % 2))
    assert [polarity_cache.get(str(number)) for number in range(3)] == [None, True, False]


def test_the_other_contrast_is_noticed_and_the_known_one_left(model: LoadedModel, cases: list[Source]):
    loaded = [read(source, model) for source in cases]
    either = either_contrast(model, loaded)
    assert either.card.recipe.contrast == either.net.recipe.contrast == "either"
    assert model.card.recipe.contrast == model.net.recipe.contrast == "as_is"
    assert either_contrast(model, [inverted(case) for case in loaded]) is model
    assert either_contrast(model, []) is model


def test_a_base_that_cannot_tell_the_contrast_learns_from_the_scans_as_they_are(
    model: LoadedModel, cases: list[Source], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("napari_morse.training.finetuning.contrast.upright", lambda net, case, *_: case)
    assert either_contrast(model, [read(source, model) for source in cases]) is model


def test_a_round_on_inverted_scans_keeps_both_contrasts(model: LoadedModel, cases: list[Source], tmp_path: Path):
    settings = TuneSettings(what="head", steps=4, checks=1)
    plan = Plan(
        model="hippocampus-3d", name="both", train=tuple(cases[:1]), held_out=tuple(cases[1:]), settings=settings
    )
    told: list[dict] = []
    verdict = TuningRun(plan, tmp_path / "run", told.append).run()
    assert any(event.get("text") == OTHER_CONTRAST for event in told)
    (case,) = verdict.cases
    assert case.figures["before rendered"].dice < 0.5 and case.figures["after rendered"].dice > 0.9
    assert min(verdict.samples.values()) > 0.9  # the scans that ship have the contrast of the base
    new = zoo.load(tmp_path / "run" / "model")
    assert new.card.recipe.contrast == "either"
    once_more = plan.model_copy(update={"model": str(tmp_path / "run" / "model"), "name": "more"})
    told.clear()
    TuningRun(once_more, tmp_path / "more", told.append).train()
    assert not any(event.get("text") == OTHER_CONTRAST for event in told)
    assert zoo.load(tmp_path / "more" / "model").card.recipe.contrast == "either"


def test_a_model_with_its_base_s_weights_is_not_taken_for_it(tmp_path: Path):
    base = save_small_model(tmp_path / "base")
    found = zoo.load(base)
    fields = found.card.model_dump() | {
        "name": "tuned", "recipe": found.card.recipe.model_copy(update={"contrast": "either"}),
    }  # fmt: skip
    save_model(tmp_path / "tuned", fields, found.net.tensors())
    engine = LocalEngine()
    for name, contrast in (("base", "as_is"), ("tuned", "either"), ("base", "as_is")):
        predictor = engine.predictor(str(tmp_path / name), "cpu")
        assert predictor.card.name == name and predictor.net.recipe.contrast == contrast
