"""The demonstration, as a command, in a process of its own."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import numpy as np
import pytest

from napari_morse import zoo

COMMAND = [sys.executable, "-c", "from napari_morse.cli.main import main; main()"]


def run(*arguments, **environment):
    env = {k: v for k, v in os.environ.items() if k not in environment} | {k: v for k, v in environment.items() if v}
    return subprocess.run(
        [*COMMAND, "demo", *arguments], capture_output=True, text=True, check=False, env=env, timeout=240
    )


def test_needs_a_folder_when_the_window_closes():
    done = run("--headless")
    assert done.returncode == 2 and "--out" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there always is a screen")
def test_says_when_there_is_no_screen(tmp_path):
    done = run("--headless", "--out", str(tmp_path), DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    assert done.returncode == 2 and "no screen" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_is_a_sentence(tmp_path):
    done = run("--headless", "--out", str(tmp_path), "--model", "nobody")
    assert done.returncode == 2 and "nobody" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    not any(m.name == "hippocampus-3d" for m in zoo.available()), reason="the model is not shipped here"
)
def test_leaves_masks_points_table_and_picture(tmp_path):
    from napari_morse.io import open_mask, open_scan

    done = run("--headless", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    names = {path.name.removeprefix("colin27_left_hippocampus_") for path in tmp_path.iterdir()}
    assert names == {
        "coarse.nii.gz",
        "rendered.nii.gz",
        "points.csv",
        "patches.csv",
        "written.json",
        "table.csv",
        "side_by_side.png",
        "contour.png",
    }
    scan = open_scan("sample_data/colin27_left_hippocampus.nii.gz")
    for kind in ("coarse", "rendered"):
        mask = open_mask(tmp_path / f"colin27_left_hippocampus_{kind}.nii.gz")
        assert mask.grid.same_as(scan.grid)
        found = np.argwhere(mask.data > 0)
        assert 2000 < len(found) < 6500, "a hippocampus has 2 to 6.5 ml"
        middle = found.mean(axis=0) @ scan.grid.affine[:3, :3].T + scan.grid.affine[:3, 3]
        assert np.linalg.norm(middle - (-27, -20, -14)) < 8, "where Colin27 has its left hippocampus"
    with (tmp_path / "colin27_left_hippocampus_table.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 2 and all(float(row["rendered_ml"]) > 0.3 for row in rows)
    for kind in ("side_by_side", "contour"):
        assert (tmp_path / f"colin27_left_hippocampus_{kind}.png").stat().st_size > 20_000
