"""The published mixture of whole maps: its gate, its silencing, and the same numbers as written apart."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_morse.config import RenderConfig
from napari_morse.geometry.resampling import to_work_grid
from napari_morse.inference.engine import coarse_bytes, coarse_pass, frame_of
from napari_morse.inference.rendering import render_voxels
from napari_morse.model.dense import DenseMixture, MixedMaps
from napari_morse.model.encoding import FourierEncoding
from napari_morse.model.experts import PointExperts
from napari_morse.model.losses import point_loss
from napari_morse.model.points import nearest_labels, training_points
from tests.nets import blob
from tests.recipe_cases import tiny_net

SHAPES = {2: (3, 13, 21), 3: (1, 13, 21, 7)}


def mixture(experts: int = 3, **knobs: object) -> DenseMixture:
    config = RenderConfig.model_validate(
        {"experts": "dense", "native": False, "width": 8, "stochastic": 1.0, "rescale": "none", **knobs}
    )
    strides = tuple(2**level for level in reversed(range(experts)))
    return DenseMixture(config, 2, (5,) * experts, strides)


def maps_for(experts: int = 3, images: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [32 // 2**level for level in reversed(range(experts))]
    return tuple(torch.randn(images, 5, n, n, generator=generator) for n in sizes)


def passed(net):
    dims = net.recipe.backbone.spatial_dims
    stack, ones = blob(SHAPES[dims]), (1.0,) * dims
    return coarse_pass(net, stack, frame_of(stack, ones, ones, net))


@pytest.mark.parametrize("name", ["reference-2d", "reference-3d"])
def test_rendering_every_voxel_equals_an_evaluation_written_apart(name: str) -> None:
    net = tiny_net(name)
    done = passed(net)
    logits, weights = render_voxels(net, done, torch.arange(done.logits[0].numel()))
    dense_logits, dense_weights = written_apart(net, blob(SHAPES[len(done.frame.shape)]), done.frame)
    assert torch.allclose(logits.T, dense_logits.flatten(1), atol=1e-5)
    assert torch.allclose(weights.T, dense_weights.flatten(1), atol=1e-5)


@torch.no_grad()
def written_apart(net, stack, frame) -> tuple[torch.Tensor, torch.Tensor]:
    """Every layer by its parameters, on the working frame whole, then cropped to the image."""
    dims = stack.ndim - 1
    state = net.state_dict()
    conv = F.conv3d if dims == 3 else F.conv2d
    mode = "trilinear" if dims == 3 else "bilinear"
    image = torch.stack([torch.from_numpy(to_work_grid(one, frame)) for one in stack])[:, None]
    maps = net.coarse(image)
    count = net.recipe.render.scales

    def layer(x: torch.Tensor, key: str, padding: int = 0) -> torch.Tensor:
        return conv(x, state[f"renderer.{key}.weight"], state[f"renderer.{key}.bias"], padding=padding)

    def norm(x: torch.Tensor, key: str) -> torch.Tensor:
        mean, variance = x.flatten(2).mean(2), x.flatten(2).var(2, unbiased=False)
        if f"renderer.{key}.running_mean" in state:
            mean, variance = (state[f"renderer.{key}.running_{k}"][None] for k in ("mean", "var"))
        shape = (-1, x.shape[1], *[1] * dims)
        x = (x - mean.reshape(shape)) / (variance.reshape(shape) + 1e-5).sqrt()
        return x * state[f"renderer.{key}.weight"].view(shape) + state[f"renderer.{key}.bias"].view(shape)

    spoken = []
    for s, (cells, stride) in enumerate(zip(maps.features[-count:], maps.strides[-count:], strict=True)):
        said = layer(layer(cells, f"mixture.experts.{s}.0").relu(), f"mixture.experts.{s}.2").relu()
        spoken.append(said if stride == 1 else F.interpolate(said, size=frame.shape, mode=mode, align_corners=False))
    gate = norm(layer(torch.cat(spoken, 1), "mixture.gate.0", 1), "mixture.gate.1").relu()
    gate = norm(layer(gate, "mixture.gate.3", 1), "mixture.gate.4").relu().softmax(1)
    mixed = (torch.stack(spoken, 1) * gate[:, :, None]).sum(1)
    fused = layer(layer(mixed, "mixture.fusion.0").relu(), "mixture.fusion.2").relu()
    axes = [(torch.arange(n) + 0.5) / n for n in frame.shape]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    angle = 2 * torch.pi * torch.einsum("df,d...->f...", state["renderer.encoding.matrix"], 2 * place - 1)
    encoded = torch.cat([angle.sin(), angle.cos()]).expand(len(stack), *[-1] * (dims + 1))
    x = torch.cat([encoded, layer(fused, "mixture.fusion.5")], 1)
    for key in ("head.layers.0", "head.layers.1", "head.layers.2", "head.last"):
        weight = state[f"renderer.{key}.weight"].view(-1, x.shape[1] + maps.logits.shape[1], *[1] * dims)
        x = conv(torch.cat([x, maps.logits], 1), weight, state[f"renderer.{key}.bias"])
        x = x if key == "head.last" else x.relu()
    crop = (..., *(slice(p, p + n) for p, n in zip(frame.pad, frame.native, strict=True)))
    return x[crop].movedim(1, 0), gate[crop].movedim(1, 0)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_gate_weights_sum_to_one_and_are_the_same_twice_at_test(norm: str) -> None:
    torch.manual_seed(0)
    mixed = mixture(gate_norm=norm).eval()
    first, second = mixed(maps_for(), (32, 32))[1], mixed(maps_for(), (32, 32))[1]
    assert first.shape == (2, 3, 32, 32) and torch.allclose(first.sum(1), torch.ones(2, 32, 32), atol=1e-6)
    assert (first > 0).all() and torch.equal(first, second)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_only_batch_norm_lets_one_volume_see_another(norm: str) -> None:
    torch.manual_seed(0)
    mixed = mixture(gate_norm=norm, mixture="deterministic").train()
    together, alone = maps_for(), tuple(m[:1] for m in maps_for())
    assert torch.allclose(mixed.mix(together, (32, 32))[1][:1], mixed.mix(alone, (32, 32))[1], atol=1e-5) == (
        norm != "batch"
    )


def constant(experts: int, **knobs: object) -> DenseMixture:
    """Experts that all say 1, and a gate that prefers none."""
    mixed = mixture(experts, **knobs)
    with torch.no_grad():
        for parameter in mixed.parameters():
            parameter.zero_()
        for expert in mixed.experts:
            expert[2].bias.fill_(1.0)
    return mixed


@pytest.mark.parametrize("experts", [3, 5])
@torch.no_grad()
def test_without_rescaling_features_are_larger_at_test_by_the_published_ratio(experts: int) -> None:
    """r ~ U{0 … S−1} of S equal shares are missing in training: the mean is (S + 1) / 2S of what it is at test."""
    torch.manual_seed(0)
    size = (16, 16)
    maps = tuple(m[:1, :, : m.shape[2] // 2, : m.shape[3] // 2] for m in maps_for(experts))
    mixed = constant(experts)
    at_test = float(mixed.eval().mix(maps, size)[0].mean())
    mixed.train()
    drawn = torch.tensor([float(mixed.mix(maps, size)[0].mean()) for _ in range(600)])
    assert at_test == pytest.approx(1.0)
    assert float(at_test / drawn.mean()) == pytest.approx(2 * experts / (experts + 1), rel=0.06)
    left = (drawn * experts).round()
    assert set(left.tolist()) == set(range(1, experts + 1)) and torch.allclose(drawn * experts, left, atol=1e-4)
    renormed = constant(experts, rescale="renorm").train()
    assert all(float(renormed.mix(maps, size)[0].mean()) == pytest.approx(1.0, abs=1e-5) for _ in range(20))
    sure = constant(experts, mixture="deterministic").train()
    assert all(float(sure.mix(maps, size)[0].mean()) == pytest.approx(1.0) for _ in range(20))


@torch.no_grad()
def test_point_wise_experts_shrink_without_rescaling_too() -> None:
    torch.manual_seed(0)
    features = [torch.randn(7, 4) for _ in range(3)]
    bare = PointExperts((4, 4, 4), 8, 1.0, rescale="none")
    sums = torch.stack([bare(features)[1].sum(1) for _ in range(60)])
    assert (sums > 0).all() and float(sums.max()) == pytest.approx(1.0) and float(sums.min()) < 0.9
    assert torch.allclose(bare.eval()(features)[1].sum(1), torch.ones(7))


@pytest.mark.parametrize("name", ["reference-2d", "reference-3d"])
@pytest.mark.parametrize("detach", [True, False])
def test_the_point_loss_reaches_coarse_logits_and_features_unless_detached(name: str, detach: bool) -> None:
    net = tiny_net(name).train()
    window = net.recipe.train.window
    images, labels = torch.randn(2, 1, *window), torch.randint(3, (2, *window))
    maps = net.coarse(images)
    for part in (maps.logits, *maps.features):
        part.retain_grad()
    image, voxel = training_points(maps.logits, maps.logit_stride, maps.size, 64, 3, 0.75)
    logits, _ = net.render(maps.detached() if detach else maps, image, voxel, None, voxel)
    point_loss(logits, nearest_labels(labels, image, voxel)).backward()
    count = net.recipe.render.scales
    for part in (maps.logits, *maps.features[-count:]):
        reached = part.grad is not None and bool(part.grad.abs().sum() > 0)
        assert reached is not detach
    assert all(p.grad is not None for p in net.renderer.parameters())


def test_the_maps_are_mixed_once_per_coarse_pass() -> None:
    net = tiny_net("reference-2d")
    done = passed(net)
    assert isinstance(done.maps, MixedMaps) and net.mixed(done.maps) is done.maps
    assert len(done.maps.features[0]) == 3 and done.maps.features[0].shape[1] == net.recipe.render.width
    ran: list[int] = []
    net.renderer.mixture.register_forward_hook(lambda *_: ran.append(1))
    render_voxels(net, done, torch.arange(40))
    assert not ran
    coarse_pass(net, blob(SHAPES[2]), done.frame)
    assert len(ran) == 3


def test_the_memory_that_dense_experts_take_is_counted() -> None:
    dense, points = tiny_net("reference-3d"), tiny_net("reference-3d", "render.experts=pointwise")
    frame = passed(dense).frame
    voxels = frame.shape[0] * frame.shape[1] * frame.shape[2]
    width = dense.recipe.render.width
    more = (coarse_bytes(dense, frame, 2) - coarse_bytes(points, frame, 2)) / voxels
    assert more == pytest.approx(4 * (2 * (width + 3) + 8 * width))


def test_the_experts_read_the_finest_maps_of_as_many_scales() -> None:
    three, five = tiny_net("reference-3d"), tiny_net("reference-2d")
    assert three.experts == ("stride_4", "stride_2", "stride_1")
    assert five.experts == ("stride_16", "stride_8", "stride_4", "stride_2", "stride_1")
    assert tiny_net("pointrend-3d").read_strides == (2,)
    assert tiny_net("pointrend-3d").experts == ("features",)


@pytest.mark.parametrize(("draw", "mean", "spread"), [("uniform", 0.5, 12**-0.5), ("normal", 0.0, 1.0)])
def test_the_columns_of_b_are_drawn_as_the_recipe_says(draw: str, mean: float, spread: float) -> None:
    torch.manual_seed(0)
    matrix = FourierEncoding(3, 4000, draw).matrix
    assert float(matrix.mean()) == pytest.approx(mean, abs=0.02)
    assert float(matrix.std()) == pytest.approx(spread, rel=0.02)
    assert bool(((matrix >= 0) & (matrix <= 1)).all()) == (draw == "uniform")
