"""A recipe fitted to scans: 2-D where slices are thick or few, coarser where scans are large."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_morse import zoo
from napari_morse.cli.main import main
from napari_morse.errors import InputError
from napari_morse.training.auto_recipe import VOXELS, fitted
from napari_morse.training.recipes import recipe_named
from napari_morse.types import Grid
from tests.tuning_cases import save_case


def grids(shape: tuple[int, int, int], spacing: tuple[float, float, float], count: int = 10) -> list[Grid]:
    return [Grid(shape, np.diag([*spacing, 1.0]))] * count


@pytest.mark.parametrize(
    ("shape", "spacing", "dims", "axis"),
    [
        ((35, 50, 35), (1.0, 1.0, 1.0), 3, None),
        ((256, 216, 10), (1.4, 1.4, 8.0), 2, "S"),
        ((12, 300, 300), (6.0, 0.5, 0.5), 2, "R"),
        ((200, 8, 200), (1.0, 1.0, 1.0), 2, "A"),
        ((512, 512, 300), (0.7, 0.7, 1.0), 3, None),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_chosen_fits_the_scans_and_can_be_built(shape, spacing, dims, axis, device):
    found = fitted(grids(shape, spacing), device)
    assert found.recipe.backbone.spatial_dims == dims and found.slice_axis == axis and len(found.spacing) == dims
    recipe_named("auto", (), found.recipe)  # raises when the network and the window do not go together
    window = found.recipe.train.window
    assert math.prod(window) <= VOXELS[dims][device] and min(window) >= 16
    kept = [a for a in range(3) if axis is None or a != "RAS".index(axis)]
    cells = [shape[a] * spacing[a] / s for a, s in zip(kept, found.spacing, strict=True)]
    assert max(cells) <= 225 and all(s >= spacing[a] - 1e-3 for a, s in zip(kept, found.spacing, strict=True))


def test_few_cases_train_for_less_and_none_is_refused():
    few, many = (fitted(grids((35, 50, 35), (1, 1, 1), n), "cpu").recipe.train.iterations for n in (3, 100))
    assert few == 1500 and many == 8000
    with pytest.raises(InputError, match="no case"):
        fitted([], "cpu")


def test_a_new_model_comes_from_labels_alone(tmp_path: Path, monkeypatch, capsys):
    for number in range(3):
        save_case(tmp_path, number)
    words = ["train", "--images", tmp_path / "images", "--labels", tmp_path / "labels", "--out", tmp_path / "new",
             "--recipe", "auto", "--set", "train.iterations=2", "--set", "backbone.filters=[8,12,16]"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["napari-morse", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code and "Fitted to 3 cases: volumes at 1 × 1 × 1 mm" in capsys.readouterr().out
    card = zoo.load(tmp_path / "new").card
    assert card.recipe.train.window == (16, 24, 16) and [entry.id for entry in card.labels] == [1, 2]
