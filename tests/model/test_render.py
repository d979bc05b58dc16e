"""Laws of rendering: the right voxels, no others, the right values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_morse.config import RenderConfig
from napari_morse.inference.engine import coarse_pass, frame_of
from napari_morse.inference.rendering import render, render_voxels, selected
from napari_morse.inference.voxel_scan import scan_margins
from napari_morse.model.experts import PointExperts, draw_survivors
from napari_morse.model.losses import coarse_loss, point_loss
from napari_morse.model.morse import Morse, NativeImage
from napari_morse.model.points import nearest_labels, training_points
from tests.nets import awake, blob, small_net, small_recipe

SHAPES = {3: (1, 13, 21, 9), 2: (3, 13, 21)}


def passed(net: Morse, dims: int):
    stack = blob(SHAPES[dims])
    ones = (1.0,) * dims
    return coarse_pass(net, stack, frame_of(stack, ones, ones, net))


@pytest.mark.parametrize("dims", [2, 3])
def test_an_untrained_residual_head_changes_nothing(dims: int) -> None:
    net = small_net(dims)
    result = render(net, passed(net, dims))
    assert len(result.voxel_stack) > 0
    assert np.array_equal(result.coarse, result.rendered)
    done = passed(net, dims)
    assert torch.equal(torch.from_numpy(result.logits), done.logits)


@pytest.mark.parametrize("dims", [2, 3])
def test_only_the_chosen_voxels_change_and_they_are_the_ones_that_were_read(dims: int) -> None:
    net = awake(small_net(dims))
    done = passed(net, dims)
    result = render(net, done)
    changed = (torch.from_numpy(result.logits) != done.logits).any(dim=0).numpy()
    chosen = np.zeros(changed.shape, bool)
    chosen[tuple(result.voxel_stack.T)] = True
    assert changed.any() and not (changed & ~chosen).any()
    for place in result.voxel_stack[:: max(1, len(result.voxel_stack) // 20)]:
        flat = torch.tensor([np.ravel_multi_index(tuple(place), changed.shape)])
        alone, _ = render_voxels(net, done, flat)
        assert np.allclose(result.logits[(slice(None), *place)], alone[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("encoding", ["fourier", "cell_relative", "none"])
def test_rendering_every_voxel_equals_a_dense_evaluation(dims: int, encoding: str) -> None:
    """All maps interpolated to full size, every Linear a 1×1 convolution, written apart from the renderer."""
    net = awake(small_net(dims, encoding=encoding))
    done = passed(net, dims)
    everything = torch.arange(done.logits[0].numel())
    logits, weights = render_voxels(net, done, everything)
    dense_logits, dense_weights = dense_evaluation(net, done)
    assert torch.allclose(logits.T, dense_logits.flatten(1), atol=1e-5)
    assert torch.allclose(weights.T, dense_weights.flatten(1), atol=1e-5)


def dense_evaluation(net: Morse, done) -> tuple[torch.Tensor, torch.Tensor]:
    size, native, pad = done.frame.shape, done.frame.native, done.frame.pad
    dims = len(size)
    crop = (slice(None), slice(None), *(slice(p, p + n) for p, n in zip(pad, native, strict=True)))
    mode = "trilinear" if dims == 3 else "bilinear"
    maps = [
        F.interpolate(f, scale_factor=s, mode=mode, align_corners=False)[crop]
        for f, s in zip(done.maps.features, done.maps.strides, strict=True)
    ]
    maps.append(_shifted_copies(net, done.native.pixels))
    coarse = F.interpolate(done.maps.logits, scale_factor=done.maps.logit_stride, mode=mode, align_corners=False)[crop]

    def linear(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        weight = layer.weight[(..., *[None] * dims)]
        return (F.conv3d if dims == 3 else F.conv2d)(x, weight, layer.bias)

    def mlp(layers: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            if isinstance(layer, torch.nn.Linear):
                x = linear(layer, x)
            elif isinstance(layer, torch.nn.LayerNorm):
                x = layer(x.movedim(1, -1)).movedim(-1, 1)
            else:
                x = layer(x)
        return x

    mixture = net.renderer.mixture
    spoken = [mlp(expert, m) for expert, m in zip(mixture.experts, maps, strict=True)]
    gate = mlp(mixture.gate, torch.cat(spoken, dim=1)).softmax(dim=1)
    mixed = sum(gate[:, s : s + 1] * e for s, e in enumerate(spoken))
    x = torch.cat(
        [_dense_encoding(net, size, pad, native, len(done.logits[0])), mlp(net.renderer.fusion, mixed)], dim=1
    )
    for layer in net.renderer.head.layers:
        x = linear(layer, torch.cat([x, coarse], dim=1)).relu()
    out = coarse + linear(net.renderer.head.last, torch.cat([x, coarse], dim=1))
    return out.movedim(1, 0), gate.movedim(1, 0)


def _shifted_copies(net: Morse, pixels: torch.Tensor) -> torch.Tensor:
    """The image moved by every offset of the native expert, its edge continued."""
    dims = pixels.ndim - 2
    reach = max(net.recipe.render.native_rings)
    padded = F.pad(pixels, [reach] * 2 * dims, mode="replicate")
    copies = []
    for offset in net.offsets.long().tolist():
        starts = [reach + o for o in offset]
        copies.append(
            padded[
                (slice(None), slice(None), *(slice(s, s + n) for s, n in zip(starts, pixels.shape[2:], strict=True)))
            ]
        )
    return torch.cat(copies, dim=1)


def _dense_encoding(net: Morse, size, pad, native, images: int) -> torch.Tensor:
    axes = [torch.arange(p, p + n).float() for p, n in zip(pad, native, strict=True)]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    name = net.recipe.render.encoding
    if name == "none":
        grid = place[:0]
    elif name == "fourier":
        unit = (place + 0.5) / torch.tensor(size).view(-1, *[1] * len(size))
        angle = 2 * torch.pi * torch.einsum("df,d...->f...", net.renderer.encoding.matrix, 2 * unit - 1)
        grid = torch.cat([angle.sin(), angle.cos()])
    else:
        angle = torch.cat([2 * torch.pi * (place + 0.5) / s for s in net.backbone.strides])
        grid = torch.cat([angle.sin(), angle.cos()])
    return grid[None].expand(images, *grid.shape)


def test_the_most_doubtful_voxels_are_taken_first_and_no_more_than_allowed() -> None:
    logits = torch.randn(3, 1, 7, 8, 9, generator=torch.Generator().manual_seed(3))
    top = logits.sort(dim=0, descending=True).values
    margin = (top[0] - top[1]).flatten()
    reading = scan_margins(logits, 0.5)
    chosen = selected(logits, reading, RenderConfig(uncertain_below=0.5, fraction=1.0))
    assert set(chosen.tolist()) == set(torch.nonzero(margin < 0.5).flatten().tolist())
    assert torch.equal(margin[chosen], margin[chosen].sort().values)
    few = selected(logits, reading, RenderConfig(uncertain_below=0.5, fraction=0.05))
    assert torch.equal(few, chosen[: int(0.05 * margin.numel())])


@pytest.mark.parametrize("protected", [None, 2])
def test_dropping_leaves_an_expert_and_never_the_protected_one(protected: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([draw_survivors(4, protected, generator) for _ in range(400)])
    assert drawn.any(dim=1).all()
    if protected is not None:
        assert drawn[:, protected].all()
    silenced = (~drawn).sum(dim=1)
    assert sorted(set(silenced.tolist())) == [0, 1, 2, 3]
    others = [s for s in range(4) if s != protected]
    assert all(not drawn[:, s].all() for s in others)


def test_experts_are_silenced_in_training_only() -> None:
    torch.manual_seed(0)
    experts = PointExperts((4, 6, 8), 8, stochastic=1.0)
    features = [torch.randn(5, c) for c in (4, 6, 8)]
    seen = [experts(features)[1] for _ in range(20)]
    assert any((w == 0).any() for w in seen)
    assert all(torch.allclose(w.sum(dim=1), torch.ones(5)) for w in seen)
    experts.eval()
    first, second = experts(features)[1], experts(features)[1]
    assert torch.equal(first, second) and (first > 0).all()


@pytest.mark.parametrize("detach", [True, False])
def test_the_point_loss_reaches_the_coarse_logits_where_the_recipe_says_so(detach: bool) -> None:
    torch.manual_seed(0)
    net = Morse(small_recipe(detach=detach)).train()
    images, labels = torch.randn(2, 1, 16, 24, 16), torch.randint(3, (2, 16, 24, 16))
    maps = net.coarse(images)
    image, voxel = training_points(maps.logits, maps.logit_stride, maps.size, 64, 3, 0.75)
    native = NativeImage(images, torch.ones(3))
    logits, _ = net.render(maps.detached() if detach else maps, image, voxel, native, voxel)
    point_loss(logits, nearest_labels(labels, image, voxel)).backward()
    reached = any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.backbone.parameters())
    assert reached is not detach
    assert net.renderer.head.last.weight.grad.abs().sum() > 0


def test_every_expert_reads_a_scale_of_its_own() -> None:
    net = small_net()
    maps = net.coarse(torch.randn(1, 1, 16, 24, 16))
    sizes = [tuple(f.shape[2:]) for f in maps.features]
    assert len(set(sizes)) == len(sizes) == len(net.experts) - 1
    assert net.experts[-1] == "native"


def test_the_coarse_loss_falls_when_the_labels_are_met() -> None:
    labels = torch.randint(3, (2, 6, 6, 6))
    right = 10 * F.one_hot(labels, 3).movedim(-1, 1).float()
    assert coarse_loss(right, labels) < 0.01 < coarse_loss(-right, labels)
    flat, points = labels.flatten(), torch.randn(2 * 216, 3)
    assert point_loss(10 * F.one_hot(flat, 3).float(), flat, 0.5) < 0.01 < point_loss(points, flat, 0.5)
