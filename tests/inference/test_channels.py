"""Several images per case: read, augmented, trained on and predicted from together."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from napari_morse import zoo
from napari_morse.cli.main import main
from napari_morse.config import Intensity, Recipe
from napari_morse.errors import GeometryError, InputError
from napari_morse.inference import Predictor
from napari_morse.inference.rendering import segment
from napari_morse.io import open_mask, open_scan
from napari_morse.io.channels import case_files, open_case
from napari_morse.model.morse import Morse
from napari_morse.training.card import Purpose
from napari_morse.training.cases import load_case, pair_files
from napari_morse.training.examples import whole
from napari_morse.training.from_folders import TrainingRun
from napari_morse.training.sampling import Sampler
from tests.nets import awake, blob, small_recipe

SHAPE = (14, 20, 15)
AFFINE = np.array([[-1.0, 0, 0, 5], [0, 0, 1.5, -3], [0, 1.0, 0, 8], [0, 0, 0, 1]])


def two_channels(recipe: Recipe, **train: object) -> Recipe:
    backbone = recipe.backbone.model_copy(update={"in_channels": 2})
    return recipe.model_copy(update={"backbone": backbone, "train": recipe.train.model_copy(update=train)})


def write(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


def write_case(folder: Path, name: str, seed: int, joined: bool = False) -> None:
    first, second = blob(SHAPE, seed), 100 - 40 * blob(SHAPE, seed + 100)
    if joined:
        write(folder / "images" / f"{name}.nii.gz", np.stack([first, second], axis=-1))
    else:
        write(folder / "images" / f"{name}_0000.nii.gz", first)
        write(folder / "images" / f"{name}_0001.nii.gz", second)
    write(folder / "labels" / f"{name}.nii.gz", (blob(SHAPE, seed) > 1).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_case(tmp_path, f"p{number}", number, joined=number == 1)
    return tmp_path


def test_channels_are_found_by_number_or_in_a_4d_file(folder: Path) -> None:
    for name in ("p0_0000", "p0_0001", "p1"):
        scan = open_case(folder / "images" / f"{name}.nii.gz", 2)
        seed = int(name[1])
        assert scan.stem == name[:2] and len(scan.channels) == 2
        assert np.array_equal(scan.data, blob(SHAPE, seed))
        assert np.array_equal(scan.others[0], (100 - 40 * blob(SHAPE, seed + 100)).astype(np.float32))
        assert not scan.others[0].flags.writeable
    files = case_files(sorted((folder / "images").iterdir()), 2)
    assert [f.name for f in files] == ["p0_0000.nii.gz", "p1.nii.gz", "p2_0000.nii.gz"]
    assert list(pair_files(folder / "images", folder / "labels", 2)) == ["p0", "p1", "p2"]


def test_what_is_missing_or_elsewhere_is_one_sentence(folder: Path) -> None:
    images = folder / "images"
    with pytest.raises(InputError, match=r"Channel 2 of the case 'p0' is missing \(p0_0002.nii.gz\).*_0000"):
        open_case(images / "p0_0000.nii.gz", 3)
    with pytest.raises(InputError, match="holds 2 images; 3 are read"):
        open_case(images / "p1.nii.gz", 3)
    with pytest.raises(InputError, match="holds one image; 2 are read"):
        open_case(folder / "labels" / "p1.nii.gz", 2)
    with pytest.raises(InputError, match="frames are the channels"):
        open_case(images / "p1.nii.gz", 2, frame=1)
    shutil.copy(images / "p0_0001.nii.gz", images / "p0_0001.nii")
    with pytest.raises(InputError, match="is there twice"):
        open_case(images / "p0_0000.nii.gz", 2)
    shifted = AFFINE.copy()
    shifted[0, 3] += 2
    write(images / "p2_0001.nii.gz", blob(SHAPE, 1), shifted)
    with pytest.raises(GeometryError, match="do not lie on one grid"):
        open_case(images / "p2_0000.nii.gz", 2)


@pytest.mark.parametrize("axis", [None, "R", "S"])
def test_channels_are_normalised_apart_and_moved_together(folder: Path, axis: str | None) -> None:
    pairs = pair_files(folder / "images", folder / "labels", 2)
    case = load_case(*pairs["p0"], (1,), Intensity(), channels=2)
    single = load_case(folder / "images" / "p0_0000.nii.gz", pairs["p0"][1], (1,), Intensity())
    assert np.array_equal(case.image, single.image) and np.array_equal(case.pixels[0], single.image)
    assert abs(float(np.median(case.others[0]))) < 2 and case.others[0].shape == case.image.shape
    assert len(case.resampled((2.0, 2.0, 2.0)).others) == 1
    twin = type(case)("twin", case.image, case.labels, case.spacing, 0.0, (case.image,))
    recipe = two_channels(small_recipe(3 if axis is None else 2))
    both, one = (Sampler([whole(c)], recipe, axis, 0, recipe.train.batch).batch(0) for c in (twin, single))
    images, labels, alone, same = both.images, both.labels, one.images, one.labels
    assert images.shape == (2, 2, *recipe.train.window) and torch.equal(labels, same)
    assert alone.shape[1] == 1 and images.abs().sum() > 0
    for sample in images:  # a place is moved alike in both channels; noise is drawn for each
        assert np.corrcoef(sample.flatten(1).numpy())[0, 1] > 0.8


@pytest.mark.parametrize("dims", [2, 3], ids=lambda d: f"{d}d")
def test_a_channel_without_weight_changes_nothing(dims: int) -> None:
    recipe = small_recipe(dims, looks=2)
    torch.manual_seed(0)
    one, two = awake(Morse(recipe)), awake(Morse(two_channels(recipe)))
    given = one.state_dict()
    wide = {k: v.clone().zero_() if v.shape != given[k].shape else given[k] for k, v in two.state_dict().items()}
    changed = [k for k, v in wide.items() if v.shape != given[k].shape]
    assert len(changed) == 2
    for name in changed:  # the input of the network, and of the expert that reads around the point: channels innermost
        if name.startswith("backbone"):
            wide[name][:, :1] = given[name]
        else:
            wide[name][:, 0::2] = given[name]
    two.load_state_dict(wide)
    stack = blob((3, 27, 33) if dims == 2 else (1, 21, 27, 19))
    pair = np.stack([stack, np.random.default_rng(0).standard_normal(stack.shape).astype(np.float32)], axis=1)
    spacing, target = (0.8,) * dims, (1.0,) * dims
    narrow, both = segment(one, stack, spacing, target), segment(two, pair, spacing, target)
    assert len(narrow.voxel_stack) > 100
    assert np.allclose(narrow.logits, both.logits, atol=1e-4)
    assert np.allclose(narrow.weights.sum(1), both.weights.sum(1), atol=1e-5)


def run_of(folder: Path, dims: int, channels: tuple[str, ...] = ()) -> TrainingRun:
    recipe = two_channels(small_recipe(dims), iterations=4, validate_every=4)
    return TrainingRun(
        (folder / "images", folder / "labels"), None, recipe, 0, None, None, None if dims == 3 else "A", None,
        Purpose("two", "", "blobs", "none", "", channels), folder / "two.run",
    )  # fmt: skip


@pytest.mark.parametrize("dims", [2, 3], ids=lambda d: f"{d}d")
def test_from_folders_to_masks(folder: Path, dims: int, monkeypatch, capsys) -> None:
    run = run_of(folder, dims, ("T1", "FLAIR"))
    card = run.finish(run.engine(resume=False).run(), folder / "two")
    assert card.channels == ("T1", "FLAIR") and card.recipe.backbone.in_channels == 2

    def predict(*inputs: Path) -> int:
        words = ["napari-morse", "predict", *map(str, inputs), "--model", str(folder / "two")]
        monkeypatch.setattr(sys, "argv", [*words, "--out", str(folder / "masks")])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0)

    assert predict(folder / "images") == 0
    masks = sorted(p.name for p in (folder / "masks").glob("*_rendered.nii.gz"))
    assert masks == [f"p{n}_rendered.nii.gz" for n in range(3)]
    joined = np.stack([blob(SHAPE, 0), 100 - 40 * blob(SHAPE, 100)], axis=-1)
    assert predict(write(folder / "again" / "q0.nii.gz", joined)) == 0
    numbered, whole = (open_mask(folder / "masks" / f"{n}0_rendered.nii.gz") for n in "pq")
    assert np.array_equal(numbered.data, whole.data) and numbered.grid.same_as(whole.grid)

    (folder / "images" / "p2_0001.nii.gz").unlink()
    capsys.readouterr()
    assert predict(folder / "images") == 1
    said = capsys.readouterr().err
    assert "Channel 1 of the case 'p2' is missing" in said and said.count("Error:") == 1


def test_a_model_of_two_channels_refuses_one(folder: Path) -> None:
    run = run_of(folder, 3)
    run.finish(run.engine(resume=False).run(), folder / "two")
    predictor = Predictor(zoo.load(folder / "two"), "cpu")
    with pytest.raises(InputError, match=r"reads 2 images \(image 0, image 1\) per case, and 'p0_0000' has 1"):
        predictor.set_scan(open_scan(folder / "images" / "p0_0000.nii.gz"))
    flat = write(folder / "images" / "p0_0001.nii.gz", np.full(SHAPE, 3.0, np.float32))
    warnings = predictor.set_scan(open_case(flat, 2))
    assert any("“image 1” has no contrast" in sentence for sentence in warnings)


def test_names_must_be_as_many_as_channels(folder: Path) -> None:
    with pytest.raises(InputError, match="does not name 2 channels"):
        run_of(folder, 3, ("T1",)).engine(resume=False)
    assert not (folder / "two.run").exists()


def test_a_side_car_beside_the_channels_is_none_of_them(folder: Path) -> None:
    (folder / "images" / "p0_0000.json").write_text("{}")
    assert len(open_case(folder / "images" / "p0_0000.nii.gz", 2).channels) == 2
