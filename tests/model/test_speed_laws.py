"""The quick forms give what the plain ones do: gather, selection, whole-grid passes, blocks of rows, bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.clock import alternate, ratio
from benchmarks.textbook import agreement, make_case
from napari_morse.inference import devices, rendering, voxel_scan
from napari_morse.inference.engine import CoarsePass, coarse_pass, frame_of
from napari_morse.inference.rendering import render, render_voxels
from napari_morse.model import points, renderer
from napari_morse.model.points import channels_last, corners, neighbourhood, ring_offsets, sample
from tests.nets import awake, blob, small_net

SPACES = [(5, 7, 9), (6, 11)]
SHAPES = {3: (1, 21, 33, 19), 2: (3, 21, 33)}


def passed(net, dims: int, spacing: float = 1.0) -> CoarsePass:
    stack = blob(SHAPES[dims])
    return coarse_pass(net, stack, frame_of(stack, (spacing,) * dims, (1.0,) * dims, net))


def plain_sample(maps: torch.Tensor, image: torch.Tensor, voxel: torch.Tensor) -> torch.Tensor:
    """The definition: every corner's value times its weight, one corner after the other."""
    index, weight = corners(voxel, tuple(maps.shape[2:]))
    flat = maps.flatten(2)
    return sum(flat[image, :, index[:, k].long()] * weight[:, k, None] for k in range(index.shape[1]))


def scattered(space: tuple[int, ...], count: int, spread: float = 1.4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    unit = torch.rand(count, len(space), generator=generator)
    return torch.randint(3, (count,), generator=generator), (unit - 0.5) * spread * torch.tensor(space) + torch.tensor(
        space
    ) / 2


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("layout", ["plain", "channels last", "one image", "needs gradient"])
def test_a_gather_equals_its_plain_definition(space: tuple[int, ...], layout: str) -> None:
    maps = torch.randn(1 if layout == "one image" else 3, 4, *space)
    image, voxel = scattered(space, 60)
    image = image % len(maps)
    expected = plain_sample(maps, image, voxel)
    read = channels_last(maps) if layout == "channels last" else maps.clone().requires_grad_(layout == "needs gradient")
    assert torch.allclose(sample(read, image, voxel), expected, atol=1e-6)


@pytest.mark.parametrize("space", [(40, 30, 50), (200, 300)])
def test_points_that_lie_apart_are_read_without_what_lies_between(
    space: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = torch.randn(1, 4, *space)
    far = torch.tensor([[-1.0] * len(space), [n + 1.0 for n in space], [n / 3 for n in space]])
    near = torch.rand(50, len(space)) * 4 + 3
    made: list[int] = []
    monkeypatch.setattr(points, "channels_last", lambda part: made.append(part[0, 0].numel()) or channels_last(part))
    for voxel, tables in ((far, 0), (near, 1)):
        image = torch.zeros(len(voxel), dtype=torch.long)
        assert torch.allclose(sample(maps, image, voxel), plain_sample(maps, image, voxel), atol=1e-6)
        assert len(made) == tables
    assert made[0] <= 6 ** len(space)


def test_gradients_reach_the_maps_through_a_gather() -> None:
    maps = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    image, voxel = scattered((4, 5, 6), 9)
    assert torch.autograd.gradcheck(lambda m: sample(m, image % 2, voxel.double()), (maps,))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_neighbourhood_equals_one_read_per_offset(space: tuple[int, ...], shift: float, channels: int) -> None:
    native = torch.randn(3, channels, *space)
    image, voxel = scattered(space, 50, 1.0)
    voxel = voxel.round() + shift
    offsets = ring_offsets(len(space), (1, 2))
    expected = torch.stack([plain_sample(native, image, voxel + o) for o in offsets], dim=1)
    assert torch.allclose(neighbourhood(native, image, voxel, offsets), expected.flatten(1), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 5, 300])
def test_one_pass_finds_labels_and_margins(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voxel_scan, "SLAB", 50)
    logits = torch.randn(classes, 7, 9, 4).mul_(4).round_()
    labels, margins = voxel_scan.labels_and_margins(logits)
    top = logits.flatten(1).sort(dim=0, descending=True).values
    assert np.array_equal(labels.numpy(), logits.flatten(1).numpy().argmax(axis=0))
    assert torch.equal(margins, top[0] - top[1])


@pytest.mark.parametrize("count", [1, 500, 4999, 20000, 60000])
@pytest.mark.parametrize("kind", ["random", "ties", "sorted"])
def test_the_smallest_are_those_of_a_full_sort(count: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voxel_scan, "THRESHOLD_SAMPLE", 512)
    values = torch.rand(20000, generator=torch.Generator().manual_seed(1))
    values = {"random": values, "ties": (values * 40).round(), "sorted": values.sort().values}[kind]
    expected = values.sort(stable=True).indices[:count].sort().values
    assert torch.equal(voxel_scan.smallest(values, count), expected)


def test_a_sample_that_misleads_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value that the sample sees is small, and fewer values than asked for are smaller than those."""
    monkeypatch.setattr(voxel_scan, "THRESHOLD_SAMPLE", 512)
    values = torch.rand(20000) + 1
    values[:: 20000 // 512] = 0
    assert torch.equal(voxel_scan.smallest(values, 5000), values.sort(stable=True).indices[:5000].sort().values)


@pytest.mark.parametrize("classes", [2, 4])
def test_doubts_are_those_of_a_softmax(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voxel_scan, "SLAB", 7)
    logits = 5 * torch.randn(classes, 6, 7)
    logits[1, :2] += 80
    top = (logits / 1.7).softmax(dim=0).topk(2, dim=0).values
    assert torch.allclose(voxel_scan.doubts(logits, 1.7).view(6, 7), 1 - (top[0] - top[1]), atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("looks", [1, 2])
def test_masks_equal_those_of_the_plain_selection(dims: int, looks: int) -> None:
    """Uncertainty by top-k over the whole grid, one voxel order, argmax of the whole map."""
    net = awake(small_net(dims, looks=looks, uncertain_below=0.5, fraction=0.2))
    done = passed(net, dims)
    result = render(net, done)
    top = done.logits.topk(2, dim=0).values
    margin = (top[0] - top[1]).flatten()
    order = margin.argsort(stable=True)
    chosen = order[margin[order] < 0.5][: int(0.2 * len(margin))]
    assert np.array_equal(np.ravel_multi_index(tuple(result.voxel_stack.T), done.logits.shape[1:]), chosen.numpy())
    flat = done.logits.flatten(1).clone()
    assert np.array_equal(result.coarse.ravel(), flat.argmax(dim=0).numpy())
    flat[:, chosen] = torch.from_numpy(result.again.T)
    if looks == 1:
        assert torch.allclose(flat[:, chosen], render_voxels(net, done, chosen)[0].T, atol=1e-5)
    assert np.array_equal(result.rendered.ravel(), flat.argmax(dim=0).numpy())
    assert np.array_equal(result.logits.reshape(flat.shape), flat.numpy())
    top = flat.topk(2, dim=0).values
    assert np.array_equal(result.margin.ravel(), (top[0] - top[1]).numpy())
    top = (flat / 2).softmax(dim=0).topk(2, dim=0).values
    assert np.allclose(result.doubt(2.0).ravel(), 1 - (top[0] - top[1]), atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("spacing", [1.0, 0.7])
def test_rendering_does_not_depend_on_how_the_points_are_split(
    dims: int, spacing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = awake(small_net(dims))
    done = passed(net, dims, spacing)
    chosen = torch.randperm(done.logits[0].numel())[:3000]
    logits, weights = render_voxels(net, done, chosen)
    for chunk, rows in ((16384, 7), (500, 2048), (97, 31)):
        monkeypatch.setattr(rendering, "POINTS_PER_BLOCK", chunk)
        monkeypatch.setattr(renderer, "POINTS_AT_ONCE", rows)
        again, their_weights = render_voxels(net, done, chosen)
        assert torch.allclose(again, logits, atol=1e-4) and torch.allclose(their_weights, weights, atol=1e-4)


def test_what_is_computed_without_a_gradient_equals_what_is_with_one() -> None:
    net = awake(small_net())
    done = passed(net, 3)
    flat = torch.arange(600)
    place = torch.stack(torch.unravel_index(flat, done.logits.shape[1:])[1:], dim=1).float()
    maps, native = done.maps, done.native
    where = (torch.zeros(600, dtype=torch.long), place + torch.tensor(done.frame.pad), native, place)
    with torch.no_grad():
        quick, _ = net.render(maps, *where)
    features = tuple(f.clone() for f in maps.features)
    slow, _ = net.render(type(maps)(maps.logits.clone(), features, maps.strides, maps.logit_stride, maps.size), *where)
    assert slow.requires_grad and not quick.requires_grad
    assert torch.allclose(quick, slow, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_bfloat16_layers_give_nearly_the_same_masks(dims: int) -> None:
    net = awake(small_net(dims))
    done = passed(net, dims)
    exact = render(net, done)
    net.renderer.precision = torch.bfloat16
    rounded = render(net, done)
    assert np.array_equal(exact.voxel_stack, rounded.voxel_stack)
    scale = np.abs(exact.again - done.logits.flatten(1).T.numpy()[:1]).max()
    error = np.abs(exact.again - rounded.again)
    assert 0 < error.max() < 0.05 * scale
    assert (exact.rendered == rounded.rendered).mean() > 0.99
    assert rounded.again.dtype == rounded.weights.dtype == np.float32


def test_the_processor_decides_about_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, kind in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(devices, "has_bfloat16", lambda _, able=able: able)
        assert devices.point_precision("cpu") is kind
    assert devices.point_precision("cuda") is torch.float32


def test_no_array_of_the_whole_grid_is_wider_than_the_logits() -> None:
    """Labels take a byte and margins four; nothing of the grid's size is float64 or int64."""
    net = awake(small_net(3, uncertain_below=0.05))
    done = passed(net, 3)
    voxels = done.logits[0].numel()
    wide: list[tuple[str, torch.dtype]] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made = [t for t in (out if isinstance(out, tuple | list) else [out]) if isinstance(t, torch.Tensor)]
            wide.extend((str(func), t.dtype) for t in made if t.numel() >= voxels and t.element_size() > 4)
            return out

    with torch.no_grad(), Watch():
        labels = voxel_scan.scan_margins(done.logits, 0.05).labels
        voxel_scan.doubts(done.logits, 2.0)
    assert labels.dtype == torch.uint8 and not wide
    result = render(net, done)
    assert (result.coarse.itemsize, result.rendered.itemsize, result.margin.itemsize) == (1, 1, 4)


@pytest.mark.parametrize("classes", [2, 4])
def test_one_reading_finds_what_is_in_doubt_and_skips_only_what_is_sure(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxel_scan, "SLAB", 40)
    logits = torch.randn(classes, 6, 7, 8)
    logits[1, :3] += 12
    logits[0, 4:] += 9
    labels, margins = voxel_scan.labels_and_margins(logits)
    looked: list[int] = []
    winners = voxel_scan._winners
    monkeypatch.setattr(voxel_scan, "_winners", lambda part, out: looked.append(1) or winners(part, out))
    reading = voxel_scan.scan_margins(logits, 0.7)
    assert torch.equal(reading.labels, labels) and reading.finite
    assert torch.equal(reading.indices, torch.nonzero(margins < 0.7).squeeze(1))
    assert torch.equal(reading.margins, margins[reading.indices])
    assert 0 < len(looked) < -(-len(labels) // 40) and len(reading.indices) > 0
    expected = margins.argsort(stable=True)[:11]
    assert torch.equal(reading.doubtful(11), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_seen_wherever_it_is(value: float) -> None:
    logits = torch.zeros(3, 4, 5, 6)
    logits[0] = 50
    assert voxel_scan.scan_margins(logits, 4.0).finite
    logits[2, 3, 4, 5] = value
    assert not voxel_scan.scan_margins(logits, 4.0).finite


@torch.inference_mode()
def test_the_benchmarks_contenders_choose_the_same_points_and_labels() -> None:
    case = make_case((48, 40), 4, 16, 4, steps=2, points=150, knots=6)
    assert agreement(case) == {"points": 1.0, "labels": 1.0, "labels_at_points": 1.0}
    volume = make_case((16, 24, 20), 3, 16, 4, steps=1, points=400, knots=4)
    assert agreement(volume) == {"points": 1.0, "labels": 1.0, "labels_at_points": 1.0}


def test_contenders_take_turns_and_the_first_round_is_not_counted() -> None:
    turns: list[str] = []
    times = alternate({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 3)
    assert turns == ["a", "b"] * 4 and times["a"]["rounds"] == 3
    assert ratio({"a": {"min": 6.0}, "b": {"min": 2.0}}, "a", "b") == 3.0
