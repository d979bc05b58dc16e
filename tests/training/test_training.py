"""Training: the same from the same seed, resumed as if never stopped, judged by its rendered masks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_morse.config import Intensity, Recipe
from napari_morse.errors import GeometryError, InputError, WeightsError
from napari_morse.inference import Predictor
from napari_morse.io import open_scan, save_image, save_mask
from napari_morse.model.losses import point_weight
from napari_morse.training.augmentation import Augmenter
from napari_morse.training.card import Purpose, parse_labels
from napari_morse.training.cases import TrainingCase, load_case, pair_files, split_cases
from napari_morse.training.engine import Engine, StepReport
from napari_morse.training.examples import whole
from napari_morse.training.from_folders import TrainingRun
from napari_morse.training.recipes import recipe_named
from napari_morse.training.sampling import Sampler, Samples
from napari_morse.training.sound import DivergedError
from napari_morse.training.ways import from_labels
from napari_morse.types import Grid, Mask
from napari_morse.zoo import load
from tests.nets import blob, small_recipe
from tests.recipe_cases import rate_of


def case(seed: int, shape: tuple[int, int, int] = (14, 20, 15)) -> TrainingCase:
    image = blob(shape, seed)
    labels = (image > 1).astype(np.uint8)
    labels[: shape[0] // 2] *= 2
    return TrainingCase(f"case{seed}", image, labels, (1.0, 1.0, 1.0), 0.5)


def trainer(folder: Path, dims: int = 3, seed: int = 0, **changes: object) -> Engine:
    recipe = small_recipe(dims)
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update=changes)})
    axis = "A" if dims == 2 else None
    cases = [case(n) for n in range(4)]
    return from_labels(recipe, cases[:3], cases[3:], (1.0,) * dims, axis, seed, folder, None, {})


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class StopHereError(Exception):
    """What a kill is to the loop."""


@pytest.mark.parametrize(("dims", "stop"), [(3, 5), (3, 9), (2, 9)])
def test_a_run_killed_and_resumed_equals_the_uninterrupted_one(tmp_path: Path, dims: int, stop: int) -> None:
    whole = trainer(tmp_path / "whole", dims).run()

    def kill(report: StepReport) -> None:
        if report.iteration == stop:
            raise StopHereError

    with pytest.raises(StopHereError):
        trainer(tmp_path / "part", dims).run(kill)
    again = trainer(tmp_path / "part", dims)
    torch.manual_seed(12345)
    again.resume()
    assert again.progress.iteration == 4 * (stop // 4)
    assert same(whole, again.run())


def test_the_seed_decides(tmp_path: Path) -> None:
    first, second, other = (trainer(tmp_path / n, seed=s).run() for n, s in (("a", 0), ("b", 0), ("c", 1)))
    assert same(first, second) and not same(first, other)


def test_resuming_with_other_settings_or_a_damaged_state_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    with pytest.raises(WeightsError, match="another recipe"):
        trainer(tmp_path, learning_rate=0.5).resume()
    (state,) = tmp_path.glob("*-training.safetensors")
    state.write_bytes(state.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        trainer(tmp_path).resume()
    with pytest.raises(WeightsError, match="no run to resume"):
        trainer(tmp_path / "elsewhere").resume()


def test_stage_one_leaves_the_head_at_zero_and_stage_two_moves_it(tmp_path: Path) -> None:
    alone = trainer(tmp_path / "alone", stage_one=1.0).run()
    assert not alone.renderer.head.last.weight.any()
    both = trainer(tmp_path / "both", stage_one=0.5, iterations=24).run()
    assert both.renderer.head.last.weight.any()


def test_a_renderer_that_begins_anew_has_a_schedule_of_its_own(tmp_path: Path) -> None:
    run = trainer(tmp_path / "own", stage_one=0.6, warmup=0, restart=True, renderer_rate=3.0, learning_rate=1e-3)
    assert rate_of(run, 0, 0.6, 1) == 0 and rate_of(run, 0, 0.604, 1) == pytest.approx(1.5e-3, rel=1e-3)
    assert rate_of(run, 0, 0.608, 1) == pytest.approx(3e-3, rel=1e-2), "full when the second stage is 2 % old"
    assert rate_of(run, 0, 0.8, 1) == pytest.approx(3 * rate_of(run, 0, 0.5)), "half way through that stage"
    assert rate_of(run, 0, 1.0, 1) == pytest.approx(3 * rate_of(run, 0, 1.0))
    shared = trainer(tmp_path / "shared", stage_one=0.6, warmup=0, renderer_rate=2.0)
    assert rate_of(shared, 0, 0.8, 1) == pytest.approx(2 * rate_of(shared, 0, 0.8))
    backbone, renderer = run.optimizer.param_groups
    assert len(backbone["params"]) == len(list(run.net.backbone.parameters()))
    assert len(backbone["params"]) + len(renderer["params"]) == len(list(run.net.parameters()))
    run.step(0, batch_of(run), 0.7)
    assert renderer["lr"] == rate_of(run, 0, 0.7, 1) and backbone["lr"] == rate_of(run, 0, 0.7)


def batch_of(run: Engine) -> Samples:
    _, samples = next(iter(run.source.stream(0, 1)))
    return samples


def test_the_best_weights_by_rendered_dice_are_kept(tmp_path: Path) -> None:
    reports: list[StepReport] = []
    run = trainer(tmp_path, iterations=16)
    run.run(reports.append)
    verdicts = [r for r in reports if r.verdict is not None]
    assert [r.iteration for r in verdicts] == [4, 8, 12, 16]
    assert run.progress.best_dice == max(r.verdict.dice for r in verdicts if r.verdict)
    first_best = max(verdicts, key=lambda r: (r.verdict.dice if r.verdict else -1, -r.iteration))
    assert run.progress.best_iteration == first_best.iteration


def test_minutes_bound_the_run(tmp_path: Path) -> None:
    run = trainer(tmp_path, iterations=10**6)
    run.schedule = replace(run.schedule, minutes=0.05)
    reports: list[StepReport] = []
    run.run(reports.append)
    assert 2.5 < run.progress.seconds < 10
    assert reports[-1].verdict is not None


def test_lambda_waits_for_the_second_stage_and_may_rise() -> None:
    assert point_weight(49, 100, 50, 2.0, False) == 0
    assert point_weight(50, 100, 50, 2.0, False) == 2.0
    assert [point_weight(t, 100, 50, 1.0, True) for t in (0, 50, 75, 100)] == [0, 0, 0.25, 0.5]


@pytest.mark.parametrize("dims", [2, 3])
def test_samples_have_the_windows_size_and_keep_image_and_labels_together(dims: int) -> None:
    augment = Augmenter((24, 20, 28)[:dims])
    image = blob((30, 22, 26)[:dims])
    labels = (image > 1).astype(np.uint8)
    for seed in range(8):
        sample, truth = augment(image, labels, (seed,))
        assert sample.shape == (1, *(24, 20, 28)[:dims]) and truth.shape == sample.shape[1:]
        assert torch.isfinite(sample).all() and set(truth.unique().tolist()) <= {0, 1}
        assert sample[0][truth == 1].mean() > sample[0][truth == 0].mean() + 0.5
    first, again, other = (
        augment(image, labels, (1,))[0],
        augment(image, labels, (1,))[0],
        augment(image, labels, (2,))[0],
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_scan_larger_than_the_window_is_cropped_around_what_it_shows() -> None:
    image = blob((90, 80, 70))
    labels = np.zeros(image.shape, np.uint8)
    labels[80:84, 70:74, 60:64] = 1
    augment = Augmenter((16, 16, 16))
    shown = [bool(augment(image, labels, (s,))[1].any()) for s in range(12)]
    assert 4 <= sum(shown) < 12


def sampler(recipe: Recipe, *cases: TrainingCase, axis: str | None = None) -> Sampler:
    return Sampler([whole(one) for one in cases], recipe, axis, 0, recipe.train.batch)


def test_batches_do_not_depend_on_when_they_are_asked_for() -> None:
    batches = sampler(small_recipe(), *(case(n) for n in range(3)))
    streamed = {i: samples.images for i, samples in batches.stream(0, 5)}
    assert torch.equal(streamed[3], batches.batch(3).images)
    epoch = [batches.batch(i).images for i in range(3)]
    assert not torch.equal(epoch[0], epoch[1])


def write_pair(folder: Path, name: str, seed: int, shift: float = 0.0) -> None:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    one = case(seed)
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    save_image(one.image, Grid(one.image.shape, affine), folder / "images" / f"{name}.nii.gz")
    moved = affine.copy()
    moved[0, 3] = shift
    save_mask(Mask(one.labels * 7, Grid(one.labels.shape, moved)), folder / "labels" / f"{name}.nii.gz")


def test_cases_are_read_in_patient_axes_with_their_ids_mapped(tmp_path: Path) -> None:
    write_pair(tmp_path, "p1", 1)
    pairs = pair_files(tmp_path / "images", tmp_path / "labels")
    read = load_case(*pairs["p1"], (7, 14), Intensity())
    assert np.array_equal(read.labels, case(1).labels[::-1])
    assert abs(float(read.image.mean())) < 0.2
    with pytest.raises(InputError, match="label 14"):
        load_case(*pairs["p1"], (7,), Intensity())
    write_pair(tmp_path, "p2", 2, shift=3.0)
    pairs = pair_files(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(GeometryError, match="p2"):
        load_case(*pairs["p2"], (7, 14), Intensity())


def test_splits_are_taken_as_written_or_drawn_by_seed(tmp_path: Path) -> None:
    for n in range(6):
        write_pair(tmp_path, f"p{n}", n)
    pairs = pair_files(tmp_path / "images", tmp_path / "labels")
    drawn = split_cases(pairs, None, 0)
    assert len(drawn.val) == 1 and not set(drawn.train) & set(drawn.val) and drawn == split_cases(pairs, None, 0)
    written = tmp_path / "splits.json"
    written.write_text(json.dumps({"train": ["p0.nii.gz", "p1"], "val": ["p5.nii.gz"]}))
    assert [p.name for p, _ in split_cases(pairs, written, 0).train] == ["p0.nii.gz", "p1.nii.gz"]
    written.write_text(json.dumps({"train": ["p0", "p9"], "val": ["p5"]}))
    with pytest.raises(InputError, match="p9"):
        split_cases(pairs, written, 0)
    for wrong, why in [("no json", "no list"), ('{"train": 5, "val": []}', "no list"), ('{"train": null}', "no list"),
                       ('{"train": ["p0"], "val": []}', "no case"), ('{"train": ["p0", "p1"], "val": ["p1"]}', "twice"),
                       ('{"train": ["p0", "p0.nii.gz"], "val": ["p1"]}', "twice")]:  # fmt: skip
        written.write_text(wrong)
        with pytest.raises(InputError, match=why):
            split_cases(pairs, written, 0)


def test_hidden_files_are_no_cases_and_one_case_twice_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "p0", 0)
    for part in ("images", "labels"):
        (tmp_path / part / "._p0.nii.gz").write_bytes(b"macOS")
        (tmp_path / part / ".hidden.nii.gz").write_bytes(b"")
    assert list(pair_files(tmp_path / "images", tmp_path / "labels")) == ["p0"]
    (tmp_path / "images" / "p0.nii").write_bytes(b"")
    with pytest.raises(InputError, match="one case twice"):
        pair_files(tmp_path / "images", tmp_path / "labels")


def test_names_with_dots_are_found(tmp_path: Path) -> None:
    for n in range(2):
        write_pair(tmp_path, f"site.1.case{n}", n)
    written = tmp_path / "splits.json"
    written.write_text(json.dumps({"train": ["site.1.case0"], "val": ["site.1.case1.nii.gz"]}))
    split = split_cases(pair_files(tmp_path / "images", tmp_path / "labels"), written, 0)
    assert [p.name for p, _ in (*split.train, *split.val)] == ["site.1.case0.nii.gz", "site.1.case1.nii.gz"]


def begun(folder: Path, splits: dict[str, list[str]]) -> TrainingRun:
    (folder / "splits.json").write_text(json.dumps(splits))
    return TrainingRun(
        (folder / "images", folder / "labels"), folder / "splits.json", small_recipe(), 0, None, None, None, None,
        Purpose("tiny", "", "blobs", "CC0-1.0", ""), folder / "tiny.run",
    )  # fmt: skip


def test_a_run_is_not_resumed_with_other_cases(tmp_path: Path) -> None:
    for n in range(4):
        write_pair(tmp_path, f"p{n}", n)
    begun(tmp_path, {"train": ["p0", "p1"], "val": ["p2"]}).engine(resume=False).run()
    for train, val in ((["p0", "p1"], ["p3"]), (["p0", "p3"], ["p2"])):
        with pytest.raises(WeightsError, match="another data"):
            begun(tmp_path, {"train": train, "val": val}).engine(resume=True)
    with pytest.raises(WeightsError, match="not finished"):
        begun(tmp_path, {"train": ["p0", "p1"], "val": ["p2"]}).engine(resume=False)


@pytest.mark.parametrize(("axis", "mirrored"), [("R", False), ("A", True), ("S", True)])
def test_slices_are_mirrored_left_to_right_only(axis: str, mirrored: bool) -> None:
    rising = np.broadcast_to(np.linspace(-1, 1, 24)[:, None, None], (24, 24, 24)).astype(np.float32)
    image = np.moveaxis(rising, 0, 1 if axis == "R" else 0)
    one = TrainingCase("one", np.ascontiguousarray(image), np.ones(image.shape, np.uint8), (1.0, 1.0, 1.0), 0.0)
    batches = sampler(small_recipe(2), one, axis=axis)
    # Turned by 23 degrees at most, the first axis of a slice still rises, or falls where it was mirrored.
    falls = [float(s[0, -4:].mean() - s[0, :4].mean()) < 0 for i in range(12) for s in batches.batch(i).images]
    assert any(falls) == mirrored and not all(falls)


def test_no_sample_is_mirrored_where_the_recipe_says_so() -> None:
    rising = np.broadcast_to(np.linspace(-1, 1, 24)[:, None, None], (24, 24, 24)).astype(np.float32).copy()
    one = TrainingCase("one", rising, np.ones(rising.shape, np.uint8), (1.0, 1.0, 1.0), 0.0)
    recipe = small_recipe(3)
    sided = recipe.model_copy(update={"train": recipe.train.model_copy(update={"mirror": False})})
    falls = {
        r.train.mirror: [
            float(s[0, -4:].mean() - s[0, :4].mean()) < 0 for i in range(6) for s in sampler(r, one).batch(i).images
        ]
        for r in (recipe, sided)
    }
    assert any(falls[True]) and not any(falls[False])


def test_a_label_that_no_training_case_has_is_refused(tmp_path: Path) -> None:
    for n in range(2):
        write_pair(tmp_path, f"p{n}", n)
    only = Mask(np.full((14, 20, 15), 9, np.uint8), Grid((14, 20, 15), np.diag([-1.0, 1.0, 1.0, 1.0])))
    save_mask(only, tmp_path / "labels" / "p1.nii.gz")
    with pytest.raises(InputError, match="label 9, which no training case has"):
        begun(tmp_path, {"train": ["p0"], "val": ["p1"]}).engine(resume=False)


def test_from_folders_to_a_model_that_predicts(tmp_path: Path) -> None:
    for n in range(5):
        write_pair(tmp_path, f"p{n}", n)
    run = TrainingRun(
        (tmp_path / "images", tmp_path / "labels"), None, small_recipe(), 0, None, None, None, "7=front,14=back",
        Purpose("tiny", "A test.", "blobs", "CC0-1.0", "", (), True, 2.5), tmp_path / "tiny.run",
    )  # fmt: skip
    card = run.finish(run.engine(resume=False).run(), tmp_path / "tiny")
    assert [(e.id, e.name) for e in card.labels] == [(7, "front"), (14, "back")]
    assert card.largest_component and card.minimum_volume_mm3 == 2.5
    assert card.spacing == (1.0, 1.0, 1.0) and card.data.cases == 4 and len(card.data.digest) == 64
    assert not (tmp_path / "tiny.run").exists()
    model = load(tmp_path / "tiny")
    predictor = Predictor(model)
    assert predictor.set_scan(open_scan(tmp_path / "images" / "p1.nii.gz")) == ()
    assert set(np.unique(predictor.predict().rendered.data)) <= {0, 7, 14}


def test_a_case_at_another_spacing_keeps_its_place() -> None:
    one = case(3)
    finer = one.resampled((0.5, 1.0, 1.0))
    assert finer.labels.shape == (28, 20, 15) == finer.image.shape
    assert np.array_equal(finer.labels[::2], one.labels) and np.array_equal(finer.labels[1::2], one.labels)
    assert one.resampled((1.001, 1.0, 1.0)) is one


def test_label_names() -> None:
    assert [e.name for e in parse_labels("2=left", (1, 2))] == ["label 1", "left"]
    assert len({e.color for e in parse_labels(None, tuple(range(1, 9)))}) == 8
    with pytest.raises(InputError, match="3=x"):
        parse_labels("3=x", (1, 2))
    with pytest.raises(InputError, match="names no label"):
        parse_labels("²=x", (1, 2))
    for ids in ((), (1, 70000), tuple(range(1, 300))):
        with pytest.raises(InputError, match="hold"):
            parse_labels(None, ids)


def test_recipes_change_by_knob() -> None:
    assert recipe_named("default-3d", ("train.batch=4", "render.native_rings=[1]")).train.batch == 4
    for wrong, why in [("train.batch", "no knob"), ("train.batsch=4", "no knob"), ("train.batch=zero", "train.batch")]:
        with pytest.raises(InputError, match=why):
            recipe_named("default-3d", (wrong,))
    for wrong, why in [("train.window=[50,64,48]", "multiples of 8"), ("train.window=[48,64]", "2 lengths"),
                       ("train.window=[0,64,48]", "multiples"), ("backbone.in_channels=0", "in_channels"),
                       ("backbone.spatial_dims=2", "3 lengths"), ("backbone.filters=[]", "cannot be built"),
                       ("backbone.name=basicunet", "6 filters")]:  # fmt: skip
        with pytest.raises(InputError, match=why):
            recipe_named("default-3d", (wrong,))
    with pytest.raises(InputError, match="default-2d"):
        recipe_named("best-ever")


def test_a_step_without_a_number_is_skipped_and_the_third_goes_back(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    good = run.source.batch(0)
    bad = replace(good, images=good.images * float("nan"))
    run.step(0, good, 0.0)
    before = {k: v.clone() for k, v in run.net.state_dict().items()}
    run.step(1, bad, 0.1)
    assert all(torch.equal(v, before[k]) for k, v in run.net.state_dict().items())
    run.step(2, good, 0.2)
    for iteration in (3, 4):
        run.step(iteration, bad, 0.3)
    with pytest.raises(DivergedError):
        run.step(5, bad, 0.4)
