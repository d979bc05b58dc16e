"""A given mask as coarse logits, its rendering, and the damage that training shows the renderer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_morse.errors import GeometryError, InputError
from napari_morse.inference import Predictor
from napari_morse.inference.masks import SATURATION_DISTANCE, mask_logits, signed_distances
from napari_morse.training.rough import DAMAGE_REACH, damage, rough_logits
from napari_morse.types import Grid, Mask, Roi, Scan
from napari_morse.zoo import LoadedModel
from tests.inference.test_inference import model as make_model
from tests.inference.test_inference import scan_of
from tests.nets import blob


@pytest.fixture
def model() -> LoadedModel:
    return make_model()


def ball(shape: tuple[int, ...], radius: float) -> np.ndarray:
    lattice = np.indices(shape)
    far = sum((lattice[a] - (n - 1) / 2) ** 2 for a, n in enumerate(shape))
    return (far <= radius**2).astype(np.int64)


def test_logits_of_a_mask_give_the_mask_back_and_grow_with_the_distance() -> None:
    mask = np.zeros((20, 12), np.int64)
    mask[8:, :] = 1
    logits = mask_logits(mask, 3, (1.0, 1.0)).numpy()
    assert (logits.argmax(0) == mask).all()
    margin = np.abs(logits[1] - logits[0])[:, 0]
    assert margin[8:13] == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5])
    assert margin[7:2:-1] == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5])
    assert margin.max() == SATURATION_DISTANCE and (logits[2] == -SATURATION_DISTANCE / 2).all()


def test_distances_of_a_mask_are_in_working_voxels() -> None:
    mask = np.zeros((9, 9), np.int64)
    mask[:, 4:] = 1
    margin = np.diff(mask_logits(mask, 2, (3.0, 0.5)).numpy(), axis=0)[0]
    assert margin[4, 4:8] == pytest.approx([0.25, 0.75, 1.25, 1.75])


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_of_one_class_is_sure_of_itself(value: int) -> None:
    logits = mask_logits(np.full((4, 5), value), 2, (1.0, 1.0))
    assert (logits.argmax(0) == value).all() and bool((logits.diff(dim=0).abs() == SATURATION_DISTANCE).all())


@pytest.mark.parametrize("dims", [2, 3])
def test_damage_moves_borders_and_no_further_than_it_says(dims: int) -> None:
    truth = ball((30,) * dims, 9.0)
    other = [damage(truth, 2, np.random.default_rng(seed)) for seed in range(12)]
    again = damage(truth, 2, np.random.default_rng(0))
    assert (again == other[0]).all()
    assert sum((d != truth).any() for d in other) >= 9  # a third of the draws may be mild
    lattice = np.indices(truth.shape)
    far = np.sqrt(sum((lattice[a] - 14.5) ** 2 for a in range(dims)))
    # a border moves by waves, by swelling and by a shift: half of REACH each, and by stairs of up to four voxels
    assert all(not d[far > 9 + 3 * DAMAGE_REACH + 4].any() for d in other)


def test_damage_of_nothing_is_nothing_and_classes_stay_theirs() -> None:
    assert not damage(np.zeros((9, 9), np.int64), 3, np.random.default_rng(0)).any()
    truth = ball((20, 20, 20), 6.0) * 2
    assert set(np.unique(damage(truth, 3, np.random.default_rng(1)))) == {0, 2}


def test_rough_logits_are_the_damaged_mask() -> None:
    truth = torch.from_numpy(ball((16, 18), 5.0))
    logits = rough_logits(truth, 2, (3, 4))
    assert (logits.argmax(0).numpy() == damage(truth.numpy(), 2, np.random.default_rng((3, 4)))).all()


def test_a_given_mask_is_the_coarse_one_and_only_its_borders_may_change(model: LoadedModel) -> None:
    predictor = Predictor(model)
    scan = scan_of(blob((19, 23, 17)))
    predictor.set_scan(scan)
    ids = [entry.id for entry in model.card.labels]
    data = (ball((19, 23, 17), 6.0) * ids[0]).astype(np.uint16)
    found = predictor.predict(coarse=Mask(data, scan.grid))
    assert (found.coarse.data == data).all()
    inside = ball((19, 23, 17), 1.5).astype(bool)
    outside = ~ball((19, 23, 17), 11.5).astype(bool)
    assert (found.rendered.data[inside] == ids[0]).all() and not found.rendered.data[outside].any()
    at = tuple(found.points.voxel.T)
    assert len(found.points) and (found.points.before == data[at]).all()


def test_a_given_mask_is_cut_to_the_region(model: LoadedModel) -> None:
    predictor = Predictor(model)
    scan = scan_of(blob((19, 23, 17)))
    predictor.set_scan(scan, Roi((2, 3, 1), (17, 20, 16)))
    data = np.full((19, 23, 17), model.card.labels[0].id, np.uint16)
    found = predictor.predict(coarse=Mask(data, scan.grid))
    assert found.coarse.data.sum() == model.card.labels[0].id * 15 * 17 * 15


def test_a_mask_that_does_not_fit_is_refused(model: LoadedModel) -> None:
    predictor = Predictor(model)
    scan = scan_of(blob((19, 23, 17)))
    predictor.set_scan(scan)
    moved = scan.grid.affine.copy()
    moved[0, 3] += 1
    with pytest.raises(GeometryError, match="does not lie on the scan's grid"):
        predictor.predict(coarse=Mask(np.zeros(scan.grid.shape, np.uint8), Grid(scan.grid.shape, moved)))
    with pytest.raises(InputError, match="holds the label 77"):
        predictor.predict(coarse=Mask(np.full(scan.grid.shape, 77, np.uint8), scan.grid))


def test_a_border_between_thick_slices_lies_half_a_slice_away() -> None:
    mask = np.zeros((6, 5), np.int64)
    mask[3:] = 1
    margin = np.abs(np.diff(mask_logits(mask, 2, (5.0, 1.0)).numpy(), axis=0)[0])
    assert margin[2:4] == pytest.approx(2.5)
    assert (margin[[0, 1, 4, 5]] > 4).all()


def test_a_mask_of_the_same_voxels_in_another_order_is_the_same_mask(model: LoadedModel) -> None:
    predictor = Predictor(model)
    scan = scan_of(blob((19, 23, 17)))
    predictor.set_scan(scan)
    data = (ball((19, 23, 17), 6.0) * model.card.labels[0].id).astype(np.uint16)
    data[3, 4, 5] = model.card.labels[1].id
    affine = np.eye(4)[:, [1, 0, 2, 3]]
    affine[:, 2] *= -1
    affine[2, 3] = 16
    turned = Mask(np.ascontiguousarray(data.transpose(1, 0, 2)[:, :, ::-1]), Grid((23, 19, 17), affine))
    straight, other = (predictor.predict(coarse=m) for m in (Mask(data, scan.grid), turned))
    assert (straight.coarse.data == data).all() and (other.coarse.data == data).all()
    assert (straight.rendered.data == other.rendered.data).all()


def test_a_picture_takes_a_mask_that_does_not_say_how_large_its_pixels_are() -> None:
    predictor = Predictor(make_model(2))
    image = blob((24, 30, 1))
    scan = Scan(image, Grid(image.shape, np.diag([0.8, 0.8, 1, 1])), "p", is_picture=True)
    predictor.set_scan(scan)
    data = (ball((24, 30), 6.0)[..., None]).astype(np.uint8)
    assert (predictor.predict(coarse=Mask(data, Grid(data.shape, np.eye(4)))).coarse.data == data).all()


def test_nothing_is_taken_out_of_a_mask_that_was_given() -> None:
    predictor = Predictor(make_model(largest_component=True, minimum_volume_mm3=50.0))
    data = (ball((19, 23, 17), 5.0)).astype(np.uint16)
    data[1, 1, 1] = 300
    for image in (blob((19, 23, 17)), np.zeros((19, 23, 17), np.float32)):
        scan = scan_of(image)
        predictor.set_scan(scan)
        assert (predictor.predict(coarse=Mask(data, scan.grid)).coarse.data == data).all()
    assert (predictor.predict(coarse=Mask(data, scan.grid)).rendered.data == data).all()  # nothing to see: as it was


@pytest.mark.parametrize("seed", range(6))
def test_distances_around_the_border_are_those_of_the_whole_image(seed):
    rng = np.random.default_rng(seed)
    shape = (40, 33, 28)[: 2 + seed % 2]
    steps = tuple(rng.uniform(0.4, 1.6, len(shape)).tolist())
    mask = np.zeros(shape, np.int64)
    for label in (1, 2):
        low = rng.integers(0, np.array(shape) - 6)
        mask[tuple(slice(a, a + n) for a, n in zip(low, rng.integers(1, 9, len(shape)), strict=True))] = label
    whole = signed_distances(mask, 4, steps).clip(-SATURATION_DISTANCE, SATURATION_DISTANCE) / 2
    np.testing.assert_array_equal(mask_logits(mask, 4, steps).numpy(), whole)
