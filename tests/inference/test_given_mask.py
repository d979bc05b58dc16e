"""``predict --coarse``: a mask that cannot be the model's structure is refused; whatever can be one is rendered."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from napari_morse import zoo
from napari_morse.cli.main import main
from napari_morse.errors import InputError
from napari_morse.inference import Predictor
from napari_morse.inference.given import FOUND_SHARE, not_found, piece_extent, too_large
from napari_morse.io import open_mask, open_scan
from napari_morse.io.pictures import picture_grid
from napari_morse.io.weights import save_model
from napari_morse.types import Grid, Mask, Roi, Scan
from tests.inference.test_inference import model
from tests.nets import blob

SHAPE = (44, 40, 36)
SEEN = ((15.0, 20.0), (15.0, 24.0), (15.0, 20.0))
"""mm; what the small model says that it was trained on."""
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for dims in (2, 3):
        small = model(dims, name=f"small-{dims}d", field_of_view=SEEN[:dims])
        save_model(folder / f"small-{dims}d", small.card, small.net.tensors())
    blind = model(3, name="blind-3d", field_of_view=SEEN)
    with torch.no_grad():
        blind.net.backbone.net.output_block.conv.conv.bias[0] += 1000  # background, wherever it looks
    save_model(folder / "blind-3d", blind.card, blind.net.tensors())
    return folder


@pytest.fixture
def run(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def predict(*words: object, model: str = "small-3d") -> tuple[int, str]:
        command = ["napari-morse", "predict", str(tmp_path / "scans"), "--coarse", str(tmp_path / "masks")]
        command += ["--model", str(models / model), "--out", str(tmp_path / "out"), *map(str, words)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), capsys.readouterr().err

    return predict


def ball(shape: tuple[int, ...], radius: float, centre: tuple[float, ...] | None = None) -> np.ndarray:
    """A ball of class 1, voxels of 1 mm."""
    middle = centre or tuple((n - 1) / 2 for n in shape)
    far = sum((axis - m) ** 2 for axis, m in zip(np.indices(shape), middle, strict=True))
    return (far <= radius**2).astype(np.uint8)


def put(folder: Path, name: str, mask: np.ndarray, image: np.ndarray | None = None) -> None:
    """A scan that is bright in the mask, and the mask."""
    pixels = 2.0 * mask + 0.3 * np.random.default_rng(0).standard_normal(mask.shape) if image is None else image
    for place, data in (("scans", pixels.astype(np.float32)), ("masks", mask)):
        (folder / place).mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), folder / place / f"{name}.nii.gz")


def test_a_mask_larger_than_anything_that_was_trained_on_is_refused(tmp_path: Path, run: Run) -> None:
    put(tmp_path, "a", ball(SHAPE, 16))
    code, said = run()
    assert code == 2 and not (tmp_path / "out").exists()
    refusal = said.splitlines()[-1]
    assert refusal.startswith("Error: a.nii.gz: The given mask spans 32 × 32 × 32 mm in one piece")
    assert "20 × 24 × 20 mm at most" in refusal and "--anyway" in refusal
    assert said.count("Error:") == 1


def test_who_insists_gets_it_with_the_sentence(tmp_path: Path, run: Run) -> None:
    put(tmp_path, "a", ball(SHAPE, 16))
    code, said = run("--anyway", "--json", tmp_path / "run.json")
    assert code == 0 and "a: The given mask spans 32 × 32 × 32 mm" in said
    assert any(
        "spans 32" in warning for warning in json.loads((tmp_path / "run.json").read_text())["cases"][0]["warnings"]
    )
    assert (open_mask(tmp_path / "out" / "a_coarse.nii.gz").data == ball(SHAPE, 16)).all()


def test_one_refused_among_many_leaves_the_others(tmp_path: Path, run: Run) -> None:
    for name, radius in (("a", 8), ("b", 16), ("c", 9)):
        put(tmp_path, name, ball(SHAPE, radius))
    code, said = run()
    assert code == 1 and said.count("Error:") == 1 and "Error: b.nii.gz:" in said
    assert {p.name[0] for p in (tmp_path / "out").iterdir()} == {"a", "c"}


def test_a_mask_where_the_model_finds_nothing_is_refused(tmp_path: Path, run: Run, models: Path) -> None:
    """A scan of another contrast, or another structure of the same size."""
    put(tmp_path, "a", ball(SHAPE, 8))
    code, said = run(model="blind-3d")
    assert code == 2 and not (tmp_path / "out").exists()
    refusal = said.splitlines()[-1]
    assert refusal.startswith(
        "Error: a.nii.gz: The model 'blind-3d' itself finds its structures in no voxel of the given"
    )
    assert "--anyway" in refusal and said.count("Error:") == 1
    code, said = run("--anyway", model="blind-3d")
    assert code == 0 and "a: The model 'blind-3d' itself finds" in said
    assert run("--replace")[0] == 0


def specks(mask: np.ndarray) -> np.ndarray:
    mask = mask.copy()
    mask[::11, ::11, ::11] = 1
    return mask


def both_sides(mask: np.ndarray) -> np.ndarray:
    aside = mask.shape[0] // 4
    return np.maximum(np.roll(mask, -aside, 0), np.roll(mask, aside, 0))


def half(mask: np.ndarray) -> np.ndarray:
    return np.where(np.arange(mask.shape[1])[:, None] < mask.shape[1] // 2, mask, 0).astype(np.uint8)


def slices(mask: np.ndarray) -> np.ndarray:
    return np.where(np.arange(mask.shape[2]) % 5 == 0, mask, 0).astype(np.uint8)


def one_slice(mask: np.ndarray) -> np.ndarray:
    return np.where(np.arange(mask.shape[2]) == mask.shape[2] // 2, mask, 0).astype(np.uint8)


def other_structure(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 300, 0).astype(np.uint16)


@pytest.mark.parametrize(
    "rough", [specks, both_sides, half, slices, one_slice, other_structure], ids=lambda f: f.__name__
)
def test_rough_masks_are_rendered(rough: Callable[[np.ndarray], np.ndarray], models: Path) -> None:
    """In a field of view of any size, turned, of other voxels, painted roughly."""
    predictor = Predictor(zoo.load(models / "small-3d"))
    spacing = (0.8, 1.4, 2.0)
    shape = tuple(int(n / s) for n, s in zip(SHAPE, spacing, strict=True))
    at = [axis * s - n / 2 for axis, s, n in zip(np.indices(shape), spacing, SHAPE, strict=True)]
    mask = (sum(a**2 for a in at) <= 81).astype(np.uint8)
    given = rough(mask)
    order, affine = (2, 0, 1), np.zeros((4, 4))
    affine[3, 3] = 1
    for new, old in enumerate(order):
        affine[old, new] = -spacing[old] if new == 0 else spacing[old]
    image = (2.0 * (given > 0) + 1.0 * mask).astype(np.float32)
    data, turned = (np.ascontiguousarray(x.transpose(order)) for x in (image, given))
    grid = Grid(data.shape, affine)
    predictor.set_scan(Scan(data, grid, "a"))
    found = predictor.predict(coarse=Mask(turned, grid), strict=True)
    assert (found.coarse.data == turned).all()


def test_a_mask_outside_of_the_region_and_an_empty_one_are_said_and_not_refused(models: Path) -> None:
    predictor = Predictor(zoo.load(models / "small-3d"))
    mask = ball(SHAPE, 6, (10, 10, 10))
    grid = Grid(SHAPE, np.eye(4))
    predictor.set_scan(Scan(blob(SHAPE), grid, "a"), Roi((24, 20, 18), (44, 40, 36)))
    assert any("is empty" in w for w in predictor.predict(coarse=Mask(mask, grid), strict=True).warnings)
    predictor.set_scan(Scan(blob(SHAPE), grid, "a"))
    warnings = predictor.predict(coarse=Mask(mask * 0, grid), strict=True).warnings
    assert any("is empty" in warning for warning in warnings)
    inside = Mask(ball(SHAPE, 6), grid)
    assert any("does not hold “b”" in warning for warning in predictor.predict(coarse=inside, strict=True).warnings)


def test_without_contrast_nothing_is_said_of_what_the_model_finds(models: Path) -> None:
    predictor = Predictor(zoo.load(models / "small-3d"))
    grid = Grid(SHAPE, np.eye(4))
    predictor.set_scan(Scan(np.full(SHAPE, 5, np.int16), grid, "a"))
    found = predictor.predict(coarse=Mask(ball(SHAPE, 8), grid), strict=True)
    assert (found.rendered.data == ball(SHAPE, 8)).all() and not any("finds" in w for w in found.warnings)


def test_slices_and_pictures_are_measured_in_their_plane(models: Path) -> None:
    predictor = Predictor(zoo.load(models / "small-2d"))
    disc = ball((60, 60), 9)
    for radius, refused in ((9, False), (20, True)):
        disc = ball((60, 60), radius)
        scan = Scan(2.0 * disc[:, :, None], picture_grid(60, 60, (1.0, 1.0)), "a", is_picture=True, size_known=False)
        predictor.set_scan(scan)
        mask = Mask(disc[:, :, None], scan.grid)
        if not refused:
            predictor.predict(coarse=mask, strict=True)
            continue
        with pytest.raises(InputError, match="spans 40 × 40 pixels in one piece"):
            predictor.predict(coarse=mask, strict=True)
    # along the slices a structure may be as long as it likes
    tube = np.repeat(ball((40, 40), 8)[:, None, :], 50, axis=1)
    scan = Scan(2.0 * tube, Grid(tube.shape, np.eye(4)), "a")
    predictor.set_scan(scan)
    predictor.predict(coarse=Mask(tube, scan.grid), strict=True)


def test_extents_are_those_of_the_largest_piece() -> None:
    stack = np.zeros((1, 20, 20, 20), int)
    stack[0, 2:8, 3:5, 4:14] = 1
    stack[0, 8:10, 4:5, 13:18] = 2  # touches
    stack[0, 12:20, 19, 0] = 1
    assert piece_extent(stack, (1.0, 2.0, 0.5)) == (8.0, 4.0, 7.0)
    flat = np.zeros((3, 20, 20), int)
    flat[0, 2:8, 3] = flat[2, 4, 3:12] = 1
    assert piece_extent(flat, (1.0, 2.0)) == (6.0, 18.0)
    assert piece_extent(flat * 0, (1.0, 2.0)) == (0.0, 0.0)


def test_a_card_that_does_not_tell_its_field_of_view_refuses_nothing() -> None:
    card = model(3).card
    assert too_large(card, np.ones((1, 200, 200, 200), int), (1.0,) * 3, False) == ""
    assert not_found(card, None) == not_found(card, FOUND_SHARE) == "" and "0.1 %" in not_found(card, 0.0001)


# On real scans, with the shipped models


def masks_of(folder: Path) -> list[Path]:
    found = sorted((folder / "labels").glob("*.nii.gz"))
    if not found:
        pytest.skip(f"there is no {folder.name} among the real scans")
    return found


def test_left_atria_are_refused_by_the_shipped_model(real_scans: Path) -> None:
    """Rendered as hippocampi they fell from Dice 0.93–0.95 to 0.44–0.55."""
    predictor = Predictor(zoo.load("hippocampus-3d"))
    for path in masks_of(real_scans / "left_atrium")[::9]:
        mask = open_mask(path)
        predictor.set_scan(Scan(mask.data.astype(np.float32), mask.grid, path.name))
        with pytest.raises(InputError, match="in one piece"):
            predictor.predict(coarse=mask, strict=True)


def test_hippocampi_are_not_refused_by_the_shipped_model(hippocampus: Path) -> None:
    predictor = Predictor(zoo.load("hippocampus-3d"))
    for path in masks_of(hippocampus)[::5]:
        mask = open_mask(path)
        assert too_large(predictor.card, mask.data[None], mask.grid.spacing, False) == ""
    for path in masks_of(hippocampus)[:2]:
        mask, scan = open_mask(path), open_scan(hippocampus / "images" / path.name)
        predictor.set_scan(scan)
        assert predictor.predict(coarse=mask, strict=True).warnings == predictor.ready.warnings


def test_walls_of_the_heart_are_refused_by_the_shipped_model(real_scans: Path) -> None:
    """They are small enough; but the model does not find its structure there."""
    folder = real_scans / "myocardium2d"
    if not folder.is_dir():
        pytest.skip("there is no myocardium2d among the real scans")
    predictor, refused = Predictor(zoo.load("hippocampus-2d")), 0
    paths = sorted((folder / "labels").glob("*.png"))[::20]
    for path in paths:
        scan, mask = open_scan(folder / "images" / path.name), open_mask(path)
        predictor.set_scan(scan)
        try:
            predictor.predict(coarse=Mask((mask.data > 0).astype(np.uint8), scan.grid), strict=True)
        except InputError:
            refused += 1
    assert refused > 0.7 * len(paths)
