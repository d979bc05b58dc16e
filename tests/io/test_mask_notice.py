"""An image with the grey levels of a mask is told of; a scan never is."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_morse.io import open_scan
from napari_morse.io.labels import mask_notice
from tests.fakes import make_scan
from tests.layer_cases import affine_of, write_nifti
from tests.widgets.hands import oblique_scan

SHAPE = (20, 24, 16)


def labels(*values, shape=SHAPE):
    """Zeros, with a block of each value far from the others."""
    found = np.zeros(shape, np.float64)
    for n, value in enumerate(values):
        found[2 * n : 2 * n + 2, 5:9] = value
    return found


@pytest.mark.parametrize(
    ("data", "levels"),
    [
        (labels(1).astype(np.uint8), 2),
        (labels(1, 2, 4).astype(np.int16), 4),
        (labels(255).astype(np.float32), 2),
        (labels(*range(1, 8)).astype(np.uint16), 8),
        (labels(1000, 2000).astype(np.float64), 3),
        (labels(1).astype(bool), 2),
        (np.asfortranarray(labels(1, 2).astype(np.uint8))[::-1].transpose(2, 0, 1), 3),
        (labels(1, shape=(8, 8, 1)), 2),
    ],
)
def test_few_whole_levels_are_told_of(data, levels):
    assert mask_notice(data, "x") == (f"“x” has only {levels} grey levels: it may be a mask.",)


@pytest.mark.parametrize(
    "data",
    [
        labels(),
        labels() + 7,
        labels(1) + 1,  # no background
        labels(*range(1, 9)),  # nine
        labels(0.5, 1),
        labels(-1, 1),
        labels(np.nan, 1),
        labels(np.inf, 1),
        labels(1, shape=(2, 24, 1))[:, :10],  # a few pixels
        make_scan().data,
        oblique_scan()[0].data,
    ],
)
def test_what_is_no_mask_is_not(data):
    assert mask_notice(data, "x") == ()


@pytest.mark.parametrize("seed", range(20))
def test_one_voxel_of_another_kind_is_found_wherever_it_is(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(6, 90, 3))
    data = np.asarray(labels(1, 2, shape=shape).astype(np.float32), order=rng.choice(["C", "F"]))
    data = data.transpose(rng.permutation(3))
    assert len(mask_notice(data, "x")) == 1
    data[tuple(rng.integers(0, data.shape))] = 1.5
    assert mask_notice(data, "x") == ()


def test_files_say_it_when_they_are_opened(tmp_path):
    data = labels(1, 2).astype(np.uint8)
    write_nifti(tmp_path / "expert.nii.gz", data, affine_of("LPS"))
    told = open_scan(tmp_path / "expert.nii.gz").notices
    assert told == ("“expert.nii.gz” has only 3 grey levels: it may be a mask.",)
    Image.fromarray((data[:, :, 0] > 0).astype(np.uint8) * 255).save(tmp_path / "p.png")
    assert "“p.png” has only 2 grey levels: it may be a mask." in open_scan(tmp_path / "p.png").notices
    scaled = nib.Nifti1Image(data, np.eye(4))
    scaled.header.set_slope_inter(0.5, 0)
    nib.save(scaled, tmp_path / "scaled.nii")
    assert not any("mask" in notice for notice in open_scan(tmp_path / "scaled.nii").notices)


@pytest.mark.parametrize("name", ["hippocampus", "acdc", "left_atrium", "ct_totalseg", "myocardium2d"])
def test_no_real_scan_is_taken_for_a_mask_and_masks_are(real_scans, name):
    if not (real_scans / name).is_dir():
        pytest.skip(f"no {name}")
    found = sorted(path for path in (real_scans / name / "images").iterdir() if path.is_file())
    for path in found[:: max(1, len(found) // 3)]:
        assert not any("mask" in notice for notice in open_scan(path).notices), path
    truth = next(path for path in sorted((real_scans / name / "labels").iterdir()) if path.is_file())
    told = any("may be a mask" in notice for notice in open_scan(truth).notices)
    assert told == (name != "ct_totalseg")  # has more structures than eight
