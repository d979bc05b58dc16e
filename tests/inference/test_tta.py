"""The second look: the same voxels, read through cells that lie half a cell beside the first ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_morse.errors import CancelledError
from napari_morse.inference.engine import coarse_bytes, coarse_pass, frame_of
from napari_morse.inference.rendering import _over_views, render, render_voxels
from napari_morse.inference.tta import TtaView, extra_views, tta_box
from napari_morse.inference.voxel_scan import scan_margins
from napari_morse.model.morse import Morse
from tests.nets import awake, blob, small_net, small_recipe

SHAPES = {3: (1, 13, 21, 9), 2: (3, 13, 21)}
LARGE = {3: (1, 41, 33, 35), 2: (5, 41, 33)}


def passed(net: Morse, stack: np.ndarray, spacing: float = 1.0):
    dims = stack.ndim - 1
    return coarse_pass(net, stack, frame_of(stack, (spacing,) * dims, (1.0,) * dims, net))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("spacing", [1.0, 0.7])
@pytest.mark.parametrize("look", [TtaView(True, True), TtaView(False, True), TtaView(True, False)])
def test_a_view_reads_the_voxels_that_were_chosen(dims: int, large: bool, spacing: float, look: TtaView) -> None:
    """The value at a voxel, found again in the box by the index that the view gives."""
    net = small_net(dims)
    stack = blob((LARGE if large else SHAPES)[dims])
    done = passed(net, stack, spacing)
    chosen = scan_margins(done.logits, 0.2).doubtful(int(0.02 * stack.size))
    view = tta_box(net, done, chosen, look)
    box = view.of(done.native.pixels)
    assert np.array_equal(box.ravel()[view.index(chosen, stack.shape).numpy()], stack.ravel()[chosen.numpy()])
    assert all(
        p >= 0 and p + n <= s for p, n, s in zip(view.frame.pad, view.frame.inner, view.frame.shape, strict=True)
    )
    assert all(s % net.backbone.divisor == 0 for s in view.frame.shape)


@pytest.mark.parametrize(
    ("look", "beside"), [(TtaView(True, True), True), (TtaView(False, True), True), (TtaView(True, False), False)]
)
@pytest.mark.parametrize("shape", [(13, 21, 9), (16, 24, 16), (41, 33, 35)])
def test_cells_lie_half_a_cell_beside_the_first_ones(look: TtaView, beside: bool, shape: tuple[int, ...]) -> None:
    """Which voxels share a cell: with half a cell between, no cell of two voxels is the same in both looks."""
    net = small_net(3)
    done = passed(net, blob((1, *shape)))
    view = tta_box(net, done, torch.arange(done.logits[0].numel())[::97], look)
    for axis in range(3):
        first = (np.arange(shape[axis]) + done.frame.pad[axis]) // 2
        place = np.arange(view.start[axis + 1], view.stop[axis + 1]) - view.start[axis + 1]
        if look.mirrored and axis == 0:
            place = place[::-1]
        again = (place + view.frame.pad[axis]) // 2
        inside = slice(view.start[axis + 1], view.stop[axis + 1])
        together, apart = np.diff(first[inside]) == 0, np.diff(again) != 0
        assert np.array_equal(together, apart) if beside else np.array_equal(together, ~apart)


@pytest.mark.parametrize("dims", [2, 3])
def test_two_looks_are_the_mean_of_two_renderings_made_apart(dims: int) -> None:
    stack = blob(SHAPES[dims])
    net = awake(small_net(dims, looks=2))
    done = passed(net, stack)
    result = render(net, done)
    chosen = torch.from_numpy(np.ravel_multi_index(tuple(result.voxel_stack.T), stack.shape))
    first, weights = render_voxels(net, done, chosen)
    # By hand: the mirrored image with its cells moved by one voxel, rendered everywhere, mirrored back.
    view = tta_box(net, done, chosen, TtaView(True, True))
    slices = result.voxel_stack[:, 0]
    assert view.start == tuple(int(slices.min()) if a == 0 else 0 for a in range(dims + 1))
    assert view.stop == (int(slices.max()) + 1, *stack.shape[1:])
    flipped = np.ascontiguousarray(stack[:, ::-1])
    again = coarse_pass(net, flipped, view.frame)
    everywhere, their_weights = render_voxels(net, again, torch.arange(stack.size))
    back = everywhere.T.reshape(-1, *stack.shape).flip(2).flatten(1)[:, chosen]
    weights_back = their_weights.T.reshape(-1, *stack.shape).flip(2).flatten(1)[:, chosen]
    expected = (first.T + back) / 2
    got = torch.from_numpy(result.logits).flatten(1)[:, chosen]
    assert torch.allclose(got, expected, atol=1e-4)
    assert torch.allclose(torch.from_numpy(result.weights).T, (weights.T + weights_back) / 2, atol=1e-4)
    assert not torch.allclose(got, first.T, atol=1e-2)


@pytest.mark.parametrize("looks", [2, 4])
def test_looking_again_changes_no_other_voxel(looks: int) -> None:
    net = awake(small_net(3, looks=looks))
    done = passed(net, blob(LARGE[3]))
    result = render(net, done)
    changed = (torch.from_numpy(result.logits) != done.logits).any(dim=0).numpy()
    chosen = np.zeros(changed.shape, bool)
    chosen[tuple(result.voxel_stack.T)] = True
    assert changed.any() and not (changed & ~chosen).any()


def test_a_small_doubt_in_a_large_scan_costs_a_small_box() -> None:
    net = small_net(3)
    done = passed(net, np.zeros((1, 90, 90, 90), np.float32))
    spot = torch.tensor([np.ravel_multi_index((0, 70, 20, 45), (1, 90, 90, 90))])
    view = tta_box(net, done, spot, TtaView(True, True))
    lengths = [b - a for a, b in zip(view.start, view.stop, strict=True)][1:]
    assert all(w <= n <= 2 * w for n, w in zip(lengths, net.recipe.train.window, strict=True))
    assert all(a <= p < b for a, p, b in zip(view.start, (0, 70, 20, 45), view.stop, strict=True))


def test_maps_of_a_further_look_are_counted_in_the_memory_that_is_asked_for() -> None:
    once, twice = small_net(3), small_net(3, looks=2)
    frame = frame_of(blob(LARGE[3]), (1.0,) * 3, (1.0,) * 3, once)
    assert coarse_bytes(twice, frame, 1) == 2 * coarse_bytes(once, frame, 1)


def test_where_nothing_is_in_doubt_nothing_is_looked_at() -> None:
    net = awake(small_net(3, looks=2, uncertain_below=1e-9))
    done = passed(net, blob(SHAPES[3]))
    result = render(net, done)
    assert len(result.voxel_stack) == 0 and np.array_equal(result.rendered, result.coarse)


def test_models_that_saw_no_mirrored_sample_are_shown_none() -> None:
    recipe = small_recipe(looks=4)
    sided = recipe.model_copy(update={"train": recipe.train.model_copy(update={"mirror": False})})
    assert any(look.mirrored for look in extra_views(recipe))
    assert extra_views(sided) == (TtaView(mirrored=False, shifted=True),)
    assert extra_views(small_recipe()) == ()


def test_cancel_and_progress_reach_into_the_second_look() -> None:
    net = awake(small_net(3, looks=2))
    done = passed(net, blob(LARGE[3]))
    told: list[tuple[int, int]] = []
    render(net, done, lambda *t: told.append(t))
    steps = [d for d, _ in told]
    assert len({total for _, total in told}) == 1 and steps == sorted(steps) and steps[-1] == told[-1][1]
    assert len(told) > 3
    asked = iter([False] * 3)
    with pytest.raises(CancelledError):
        render(net, done, None, lambda: next(asked, True))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("more", [0, 8])
def test_a_look_is_cut_into_windows_where_the_first_pass_is(dims: int, more: int) -> None:
    """On these sizes windows lie at the same places however far they overlap; so do those of the look."""
    net = small_net(dims, looks=2)
    window = net.recipe.train.window
    stack = blob((2 if dims == 2 else 1, *(n + more for n in window)))
    found = []
    for overlap in (0.0, 0.5):
        train = net.recipe.train.model_copy(update={"overlap": overlap})
        net.recipe = net.recipe.model_copy(update={"train": train})
        done = passed(net, stack)
        chosen = torch.arange(done.logits[0].numel())
        assert all(tta_box(net, done, chosen, x).frame.shape > done.frame.shape for x in extra_views(net.recipe))
        found.append(_over_views(net, done, chosen, None, None)[0])
    assert torch.equal(*found)
