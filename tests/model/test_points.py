"""Laws of the points: where they are drawn, and how maps are read there."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_morse.model.points import (
    nearest_labels,
    neighbourhood,
    ring_offsets,
    sample,
    snap,
    to_cells,
    training_points,
    uncertainty,
)


def grid_sample_at(maps: torch.Tensor, voxel: torch.Tensor) -> torch.Tensor:
    """torch's own sampler as the oracle: unit frame, last axis first, border padding."""
    size = torch.tensor(maps.shape[2:])
    unit = (voxel + 0.5) / size * 2 - 1
    grid = unit.flip(-1).view(1, *([1] * (len(size) - 1)), -1, len(size))
    read = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return read.view(maps.shape[1], -1).T


@pytest.mark.parametrize("space", [(5, 7, 9), (6, 11)])
def test_sampling_equals_torchs_own(space: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, *space, generator=generator)
    voxel = torch.rand(40, len(space), generator=generator) * torch.tensor(space) * 1.4 - 2
    for image in (0, 1):
        read = sample(maps, torch.full((40,), image), voxel)
        assert torch.allclose(read, grid_sample_at(maps[image : image + 1], voxel), atol=1e-5)


@pytest.mark.parametrize("space", [(5, 7, 9), (6, 11)])
def test_sampling_at_a_voxel_centre_reads_that_voxel(space: tuple[int, ...]) -> None:
    maps = torch.arange(torch.tensor(space).prod()).float().view(1, 1, *space)
    index = torch.arange(maps.numel())
    voxel = torch.stack(torch.unravel_index(index, space), dim=1).float()
    assert torch.equal(sample(maps, torch.zeros(len(index), dtype=torch.long), voxel)[:, 0], index.float())


def test_uncertainty_is_second_minus_largest() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.5]])
    assert uncertainty(logits).item() == pytest.approx(-0.5)


@pytest.mark.parametrize(("count", "oversample", "importance"), [(64, 3.0, 0.75), (37, 2.5, 0.6), (10, 1.0, 1.0)])
def test_the_most_uncertain_of_the_candidates_are_kept(count: int, oversample: float, importance: float) -> None:
    size = (6, 10, 14)
    logits = torch.randn(2, 3, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    image, voxel = training_points(logits, 2, size, count, oversample, importance, torch.Generator().manual_seed(2))
    # The same generator draws the same candidates: they are judged here one image at a time, by torch's own sampler.
    drawn = torch.rand(2, int(oversample * count), 3, generator=torch.Generator().manual_seed(2))
    candidates = drawn * torch.tensor(size) - 0.5
    kept = int(importance * count)
    for number in (0, 1):
        mine = voxel[image == number]
        assert len(mine) == count
        doubt = uncertainty(grid_sample_at(logits[number : number + 1], to_cells(candidates[number], 2)))
        best = doubt.sort(descending=True).values[:kept]
        found = uncertainty(grid_sample_at(logits[number : number + 1], to_cells(mine[:kept], 2)))
        assert torch.allclose(found.sort(descending=True).values, best, atol=1e-5)


def test_points_stay_inside_the_image_and_reach_its_far_end() -> None:
    size = (4, 9, 20)
    _, voxel = training_points(torch.randn(1, 2, 2, 5, 10), 2, size, 4000, 1.0, 0.0, torch.Generator().manual_seed(0))
    assert (voxel >= -0.5).all() and (voxel <= torch.tensor(size) - 0.5).all()
    assert (voxel.max(dim=0).values > torch.tensor(size) - 1).all()


def test_labels_are_read_in_the_voxel_that_holds_the_point() -> None:
    labels = torch.arange(3 * 4 * 5).view(1, 3, 4, 5)
    voxel = torch.tensor([[0.4, 2.6, 3.49], [-0.5, 3.5, 4.5]])
    assert nearest_labels(labels, torch.tensor([0, 0]), voxel).tolist() == [0 * 20 + 3 * 5 + 3, 0 * 20 + 3 * 5 + 4]


@pytest.mark.parametrize("dims", [2, 3])
def test_a_neighbourhood_is_the_box_around_the_point(dims: int) -> None:
    size = (5, 6, 7)[:dims]
    native = torch.randn(1, 1, *size)
    offsets = ring_offsets(dims, (1,))
    assert len(offsets) == 3**dims
    centre = tuple(n // 2 for n in size)
    read = neighbourhood(native, torch.tensor([0]), torch.tensor([centre]).float(), offsets)[0]
    box = native[(0, 0, *(slice(c - 1, c + 2) for c in centre))]
    assert torch.equal(read.sort().values, box.flatten().sort().values)
    between = neighbourhood(native, torch.tensor([0]), torch.tensor([centre]).float() + 1e-4, offsets)[0]
    assert torch.allclose(read, between, atol=1e-2) and not torch.equal(read, between)


def test_snap_takes_the_nearest_centre() -> None:
    assert snap(torch.tensor([[-0.5, 2.4], [3.4, 9.5]]), (4, 10)).tolist() == [[0, 2], [3, 9]]
