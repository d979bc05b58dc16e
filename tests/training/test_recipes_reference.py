"""The recipes as published: their numbers, their schedules, and that each trains, saves, loads and renders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_morse import zoo
from napari_morse.config import Recipe
from napari_morse.errors import InputError
from napari_morse.inference.engine import coarse_pass, frame_of
from napari_morse.inference.rendering import Rendering, render, render_voxels
from napari_morse.inference.selection import count_of, most_uncertain
from napari_morse.io.weights import save_model
from napari_morse.model.losses import point_weight
from napari_morse.model.points import uncertainty
from napari_morse.training.recipes import RECIPES, load_recipe, recipe_named, save_recipe
from tests.nets import blob
from tests.recipe_cases import rate_of, tiny, tiny_net, trainer

SHAPES = {2: (3, 13, 21), 3: (1, 13, 21, 7)}
NAMES = sorted(RECIPES)


def passed(net):
    dims = net.recipe.backbone.spatial_dims
    stack, ones = blob(SHAPES[dims]), (1.0,) * dims
    return coarse_pass(net, stack, frame_of(stack, ones, ones, net))


def test_the_published_numbers() -> None:
    two, three = (RECIPES[f"reference-{d}"] for d in ("2d", "3d"))
    for recipe in (two, three):
        render, train = recipe.render, recipe.train
        assert (render.points, render.oversample, render.importance) == (2048, 3.0, 0.75)
        assert (render.width, render.head_width, render.fourier_features, render.dropout) == (256, 512, 128, 0.1)
        assert render.dense and render.silencing == 1.0 and render.rescale == "none" and render.steps == 2
        assert not (render.native or render.residual or render.detach or render.voxel_centres)
        assert (train.optimizer, train.iterations, train.weight_decay, train.ema) == ("sgd", 30_000, 1e-4, 0.0)
        assert train.point_dice == 0
    assert (two.train.window, two.train.batch, two.render.scales) == ((256, 256), 4, 5)
    assert (three.train.window, three.train.batch, three.render.scales) == ((112, 112, 80), 2, 3)
    assert count_of(two.render, 256 * 256) == 8192
    assert count_of(three.render, 112 * 112 * 80) == 112 * 112 * 10


def test_lambda_is_nothing_for_half_of_the_time_then_rises_to_a_half_in_2d_and_is_one_in_3d() -> None:
    def weights(name: str, steps: tuple[int, ...]) -> list[float]:
        config = RECIPES[name].train
        total = config.iterations
        start = round(config.stage_one * total)
        return [point_weight(t, total, start, config.point_weight, config.point_ramp) for t in steps]

    assert weights("reference-2d", (0, 7_500, 15_000, 22_500, 30_000)) == [0, 0, 0, 0.25, 0.5]
    for name in ("reference-3d", "pointrend-2d", "pointrend-3d"):
        assert weights(name, (0, 3_000)) == [1, 1]


def test_the_learning_rate_falls_from_a_hundredth_to_a_thousandth_as_a_power(tmp_path: Path) -> None:
    run = trainer(tiny("reference-2d"), tmp_path)
    assert [group["momentum"] for group in run.optimizer.param_groups] == [0.9, 0.9]
    assert rate_of(run, 4, 0.5, 1) == rate_of(run, 4, 0.5), "one schedule for all, as published"
    assert rate_of(run, 0, 0.0) == pytest.approx(0.01) and rate_of(run, 9, 1.0) == pytest.approx(0.001)
    assert rate_of(run, 4, 0.5) == pytest.approx(0.001 + 0.009 * 0.5**0.9)
    ours = trainer(tiny("default-2d"), tmp_path)
    assert rate_of(ours, 999, 1.0) == pytest.approx(2e-5)
    assert rate_of(ours, 999, 0.5) == pytest.approx(2e-3 * 0.505)


def test_pointrend_shares_backbone_and_schedule_with_ours() -> None:
    for dims in ("2d", "3d"):
        peer, ours = RECIPES[f"pointrend-{dims}"], RECIPES[f"default-{dims}"]
        same = {"stage_one": 0.0, "point_dice": 0.0, "rough": 0.0, "restart": False, "renderer_rate": 1.0}
        assert peer.backbone == ours.backbone and peer.train == ours.train.model_copy(update=same)
        render = peer.render
        assert (render.scales, render.mixture, render.encoding, render.native) == (1, "none", "none", False)
        net = tiny_net(f"pointrend-{dims}")
        assert {key.split(".")[1] for key in net.state_dict() if key.startswith("renderer")} == {"head"}
        assert net.renderer.head.layers[0].in_features == net.backbone.channels[-1] + 3


def test_every_batch_trains_on_n_points_an_image_between_the_voxels_too(tmp_path: Path) -> None:
    for name in ("reference-2d", "reference-3d"):
        run = trainer(tiny(name), tmp_path)
        seen: list[torch.Tensor] = []
        run.net.renderer.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[1]))
        run.step(0, run.source.batch(0), 0.75)
        assert [len(v) for v in seen] == [2 * 64]
        assert (seen[0] != seen[0].round()).any()
        assert all(p.grad is not None for p in run.net.renderer.parameters())


def test_without_averaging_the_judged_weights_are_the_networks_own(tmp_path: Path) -> None:
    run = trainer(tiny("reference-2d"), tmp_path)
    for iteration in range(2):
        run.step(iteration, run.source.batch(iteration), 0.75)
    kept, own = run.average.state_dict(), run.net.state_dict()
    assert all(torch.equal(kept[key], own[key]) for key in own)
    assert int(own["renderer.mixture.gate.1.num_batches_tracked"]) == 2


@pytest.mark.parametrize("name", NAMES)
def test_each_recipe_trains_saves_loads_and_renders(name: str, tmp_path: Path) -> None:
    recipe = tiny(name)
    dims = recipe.backbone.spatial_dims
    net = trainer(recipe, tmp_path / "run").run()
    fields = {
        "name": "tiny", "recipe": recipe, "spacing": (1.0,) * dims, "slice_axis": "A" if dims == 2 else None,
        "labels": [{"id": n, "name": str(n), "color": "#e69f00"} for n in (1, 2)],
        "data": {"name": "none", "cases": 2, "licence": "none"},
    }  # fmt: skip
    save_model(tmp_path / "tiny", fields, net.tensors())
    again = zoo.load(tmp_path / "tiny")
    assert again.card.recipe == recipe
    first, second = render(net, passed(net)), render(again.net, passed(again.net))
    assert len(first.voxel_stack) and np.array_equal(first.logits, second.logits)
    assert first.weights.shape == (len(first.voxel_stack), len(net.experts))


def test_a_reference_run_killed_and_resumed_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    recipe = tiny("reference-2d", "train.iterations=6", "train.validate_every=2")
    whole = trainer(recipe, tmp_path / "whole").run()

    def kill(report) -> None:
        if report.iteration == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(recipe, tmp_path / "part").run(kill)
    again = trainer(recipe, tmp_path / "part", seed=0)
    again.resume()
    assert again.progress.iteration == 4
    resumed = again.run().state_dict()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.state_dict().items())


@pytest.mark.parametrize(
    "change",
    [
        "render.mixture=none", "render.mixture=deterministic", "render.rescale=renorm", "render.encoding=cell_relative",
        "render.encoding=none", "render.fourier_draw=normal", "render.experts=pointwise", "render.residual=true",
        "render.detach=true", "render.steps=3", "render.test_points=50", "render.points=32", "render.selection=margin",
        "render.scales=2", "render.gate_norm=group", "train.point_weight=0.5", "train.point_ramp=false",
        "train.stage_one=0.25", "train.schedule=cosine", "render.oversample=1",
    ],
)  # fmt: skip
def test_every_knob_of_the_ablation_works_from_the_command_line(change: str, tmp_path: Path) -> None:
    recipe = tiny("reference-2d", change)
    assert recipe != tiny("reference-2d")
    run = trainer(recipe, tmp_path)
    assert np.isfinite(run.step(0, run.source.batch(0), 0.75))
    net = run.net.eval()
    result = render(net, passed(net))
    assert np.isfinite(result.logits).all() and result.weights.shape[1] == len(net.experts)


def test_native_neighbourhoods_and_rings_are_knobs_of_the_point_wise_form() -> None:
    recipe = tiny("reference-3d", "render.experts=pointwise", "render.native=true", "render.native_rings=[1,3]")
    assert recipe.render.native_rings == (1, 3)
    with pytest.raises(InputError, match=r"render\.native=false"):
        tiny("reference-3d", "render.native=true")
    with pytest.raises(InputError, match="decoder has 4 maps"):
        tiny("reference-3d", "render.scales=5")


@pytest.mark.parametrize("name", ["reference-2d", "reference-3d", "pointrend-3d"])
def test_further_steps_choose_from_the_rendered_map_and_read_the_original_one(name: str) -> None:
    """Against the published loop, in which a voxel chosen twice is predicted twice."""
    net = tiny_net(name)
    done = passed(net)
    seen: list[torch.Tensor] = []
    net.renderer.register_forward_pre_hook(lambda _, args: seen.append(args[3]))
    result = render(net, done)
    flat, original = done.logits.flatten(1).clone(), done.logits.flatten(1)
    places = [np.ravel_multi_index(tuple(result.voxel_stack.T), done.logits.shape[1:])]
    read, expected = torch.cat(seen), original[:, torch.from_numpy(places[0])].T  # read in another order
    assert torch.equal(read.sort(dim=0).values, expected.sort(dim=0).values)
    touched = set()
    for _ in range(2):
        current = flat.view(done.logits.shape)
        found = most_uncertain(current, count_of(net.recipe.render, current[0, 0].numel()))
        flat[:, found] = render_voxels(net, done, found)[0].T
        touched |= set(found.tolist())
    assert set(places[0].tolist()) == touched and len(places[0]) == len(touched)
    assert len(touched) > count_of(net.recipe.render, done.logits[0, 0].numel()) * len(done.logits[0])
    assert np.allclose(result.logits, flat.view(done.logits.shape).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["reference-2d", "reference-3d"])
def test_the_m_most_uncertain_voxels_of_every_image_are_written_where_they_were_read(name: str) -> None:
    net = tiny_net(name, "render.steps=1")
    done = passed(net)
    result: Rendering = render(net, done)
    voxels = done.logits[0, 0].numel()
    images = np.bincount(result.voxel_stack[:, 0])
    assert (images == voxels // 8).all() and len(images) == len(done.logits[0])
    doubt = uncertainty(done.logits, dim=0)
    for image in range(len(images)):
        taken = np.zeros(done.logits.shape[2:], bool)
        taken[tuple(result.voxel_stack[result.voxel_stack[:, 0] == image, 1:].T)] = True
        mask = torch.from_numpy(taken)
        assert doubt[image][mask].min() >= doubt[image][~mask].max()
    changed = (torch.from_numpy(result.logits) != done.logits).any(0).numpy()
    assert changed.sum() == len(result.voxel_stack) and changed[tuple(result.voxel_stack.T)].all()
    for place in result.voxel_stack[:: max(1, len(result.voxel_stack) // 15)]:
        index = np.ravel_multi_index(tuple(place), changed.shape)
        alone, _ = render_voxels(net, done, torch.tensor([index]))
        assert np.allclose(result.logits[(slice(None), *place)], alone[0].numpy(), atol=1e-5)


def test_progress_over_two_steps_rises_to_the_end() -> None:
    net = tiny_net("reference-2d")
    told: list[float] = []
    render(net, passed(net), lambda done, total: told.append(done / total))
    assert len(told) == 2 and told == sorted(told) and told[-1] == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_recipe_comes_back_equal(name: str, tmp_path: Path) -> None:
    recipe = recipe_named(name, ("train.batch=3", "render.importance=0.7"))
    save_recipe(recipe, tmp_path / "my.json")
    assert load_recipe(tmp_path / "my.json") == recipe == recipe_named(str(tmp_path / "my.json"))
    assert recipe_named(str(tmp_path / "my.json"), ("train.batch=5",)).train.batch == 5
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "no recipe"), (b"[1]", "no recipe"), (b'{"name": "x", "train": {"batsch": 4}}', "train.batsch"),
        (b'{"name": "x", "train": {"batch": 0}}', "train.batch"), (b'{"train": {}}', "name"),
        (b'{"name": "x", "render": {"experts": "dense"}}', "native"), (b"\xff\xfe", "no recipe"),
        (b" " * 200_000, "too large"),
    ],
)  # fmt: skip
def test_what_is_no_recipe_is_refused_in_one_sentence(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "my.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=why) as told:
        recipe_named(str(path))
    assert len(str(told.value)) < 400 and "\n" not in str(told.value)
    with pytest.raises(InputError, match="cannot be read"):
        recipe_named(str(tmp_path / "other.json"))
