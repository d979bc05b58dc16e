"""The native stem: the same answer in every block that reaches far enough, on the voxels that are asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_morse.inference import boundary_stem
from napari_morse.inference.boundary_stem import stem_at_points
from napari_morse.inference.engine import CoarsePass, coarse_pass, frame_of
from napari_morse.inference.rendering import on_work, render
from napari_morse.model.morse import Morse
from napari_morse.model.points import sample
from napari_morse.model.stem import NativeStem, folded, unfolded
from napari_morse.training.boxes import draw_box
from tests.nets import awake, blob, small_net

SIZES = {2: (21, 34), 3: (19, 23, 17)}


def stemmed(dims: int) -> Morse:
    return awake(small_net(dims, stem=6, stem_layers=1, stem_outputs=5))


def passed(net: Morse, spacing: float = 1.0) -> CoarsePass:
    dims = net.recipe.backbone.spatial_dims
    stack = blob(SIZES[3])[None] if dims == 3 else np.stack([blob(SIZES[2], s) for s in range(3)])
    return coarse_pass(net, stack, frame_of(stack, (spacing,) * dims, (1.0,) * dims, net))


@pytest.mark.parametrize("dims", [2, 3])
def test_folding_loses_nothing(dims: int) -> None:
    maps = torch.randn(2, 3, *(6, 4, 8)[:dims])
    assert folded(maps).shape == (2, 3 * 2**dims, *(3, 2, 4)[:dims])
    assert torch.equal(unfolded(folded(maps)), maps)
    assert torch.equal(folded(maps)[0, : 2**dims, *(0,) * dims].sort().values,
                       maps[0, 0][(slice(0, 2),) * dims].flatten().sort().values)  # fmt: skip


@pytest.mark.parametrize("size", [(12, 15, 9), (8, 8, 8), (11, 10)])
def test_a_stem_answers_at_every_voxel_of_any_size_and_sees_its_reach(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    stem = NativeStem(len(size), 1, 2, 4, 0, 3)
    pixels = torch.randn(1, 1, *size)
    logits = torch.randn(1, 2, *size)
    before = stem(pixels, logits)
    assert before.shape == (1, 3, *size)
    pixels[(0, 0, *(n - 1 for n in size))] += 5
    changed = (stem(pixels, logits) != before).any(dim=1)[0]
    far = torch.stack(torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")).sub(
        torch.tensor(size).sub(1).view(-1, *(1,) * len(size))
    )
    assert changed.any() and not changed[far.abs().max(dim=0).values > stem.reach].any()


@pytest.mark.parametrize("spacing", [1.0, 0.7, 1.3])
@pytest.mark.parametrize("dims", [2, 3])
def test_blocks_say_what_the_whole_grid_says(dims: int, spacing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    net = stemmed(dims)
    done = passed(net, spacing)
    shape = done.logits.shape[1:]
    chosen = torch.randperm(shape.numel(), generator=torch.Generator().manual_seed(1))[:400]
    image, *axes = torch.unravel_index(chosen, shape)
    work = on_work(torch.stack(axes, dim=1), done.frame)
    whole = sample(net.stem(done.work, done.maps.full_logits()), image, work)
    for block in (5, 8, 200):
        monkeypatch.setitem(boundary_stem.STEM_BLOCK, dims, block)
        assert torch.allclose(stem_at_points(net, done, image, work), whole, atol=1e-5)


def test_blocks_are_no_larger_than_the_points_need(monkeypatch: pytest.MonkeyPatch) -> None:
    net = stemmed(3)
    done = passed(net)
    seen = []
    monkeypatch.setattr(net.stem, "forward", lambda p, q: seen.append(p.shape) or NativeStem.forward(net.stem, p, q))
    stem_at_points(net, done, torch.zeros(1, dtype=torch.long), torch.tensor([[9.0, 9.0, 9.0]]))
    assert len(seen) == 1 and max(seen[0][2:]) <= 2 * (net.stem.reach + 1) + 3


@pytest.mark.parametrize("dims", [2, 3])
def test_rendering_reads_the_stem(dims: int) -> None:
    net = stemmed(dims)
    done = passed(net)
    before = render(net, done)
    with torch.no_grad():
        net.stem.last.bias.add_(1.0)
    assert (render(net, done).logits != before.logits).any()


def test_boxes_lie_inside_and_where_the_coarse_map_doubts() -> None:
    torch.manual_seed(3)
    net = small_net(3, stem=4)
    maps = net.coarse(torch.from_numpy(blob((32, 48, 32)))[None, None].repeat(4, 1, 1, 1, 1))
    boxes = draw_box(maps, 8, 2)
    assert boxes.size == (12, 12, 12) and boxes.inner_size == (8, 8, 8)
    assert torch.equal(boxes.inner_start, boxes.start + 2)
    whole = draw_box(maps, 40, 2)
    assert whole.size == (32, 44, 32) and whole.inner_size == (32, 40, 32)
    assert bool((boxes.start >= 0).all()) and bool((boxes.start + 12 <= torch.tensor([32, 48, 32])).all())
    assert not (boxes.start % 2).any()
    lattice = torch.arange(32 * 48 * 32).view(1, 1, 32, 48, 32).repeat(4, 1, 1, 1, 1)
    cut = boxes.of(lattice)
    assert cut.shape == (4, 1, 12, 12, 12)
    assert torch.equal(torch.stack(torch.unravel_index(cut[:, 0, 0, 0, 0], (32, 48, 32)), dim=1), boxes.start)
