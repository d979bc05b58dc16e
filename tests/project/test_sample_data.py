"""The sample scans are the ones that were made, and lie where they say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

SAMPLES = Path(__file__).parents[2] / "sample_data"
WHOLE = SAMPLES / "colin27_t1.nii.gz"
SIDES = ("left", "right")


def entries() -> dict[str, dict]:
    return {entry["key"]: entry for entry in json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))}


def crop_of(side: str) -> nib.Nifti1Image:
    return nib.load(SAMPLES / f"colin27_{side}_hippocampus.nii.gz")


def test_digests():
    lines = (SAMPLES / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    assert set(sums) == {entry["file"] for entry in entries().values()} | {"samples.json"}
    found = {name: hashlib.sha256((SAMPLES / name).read_bytes()).hexdigest() for name in sums}
    assert found == sums


@pytest.mark.parametrize("side", SIDES)
def test_crop_is_the_region_of_the_whole_head(side):
    region = entries()["colin27_t1"]["regions"][f"{side} hippocampus"]
    box = tuple(slice(a, b) for a, b in zip(region["start"], region["stop"], strict=True))
    crop, whole = crop_of(side), nib.load(WHOLE)
    np.testing.assert_array_equal(np.asarray(crop.dataobj), np.asarray(whole.dataobj)[box])
    np.testing.assert_array_equal(crop.affine[:3, 3], nib.affines.apply_affine(whole.affine, region["start"]))


@pytest.mark.parametrize("side", SIDES)
def test_crop_holds_its_own_hippocampus(side):
    """Known centres in the MNI frame: 26 mm beside the midline, 20 mm behind and 14 mm below the origin."""
    crop = crop_of(side)
    centre = ((-26 if side == "left" else 26), -20, -14)
    voxel = nib.affines.apply_affine(np.linalg.inv(crop.affine), centre)
    assert (voxel > 10).all()
    assert (voxel < np.array(crop.shape) - 10).all()
    assert nib.aff2axcodes(crop.affine) == ("R", "A", "S")
    assert crop.get_data_dtype() == np.uint8


def test_headers_agree_and_carry_no_text():
    for path in sorted(SAMPLES.glob("*.nii.gz")):
        header = nib.load(path).header
        np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-5)
        assert header["sform_code"] == header["qform_code"] == 4
        assert all(bytes(header[field]).strip(b"\0") == b"" for field in ("descrip", "aux_file", "db_name"))


def test_picture_is_the_coronal_slice():
    crop = np.asarray(crop_of("left").dataobj)
    picture = np.asarray(Image.open(SAMPLES / "colin27_coronal.png"))
    slice_of_18_mm = crop[:, 30, :]
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, slice_of_18_mm[::-1, ::-1].T)


def test_small():
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 8_000_000
