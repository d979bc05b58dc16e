"""Every fault of a file ends in its own typed error or opens with its own notice; quickly, and in little memory."""

from __future__ import annotations

import gzip
import os
import time
import tracemalloc
import warnings

import nibabel as nib
import numpy as np
import pytest

from napari_morse.errors import DamagedFileError, InputError, MorseError
from napari_morse.io import open_mask, open_scan, save_mask
from napari_morse.types import Mask
from tests.faults import BUDGET_GB, FAULTS, ODDITIES, SHAPE, Fault, Oddity, changed, healthy, voxels


@pytest.fixture(autouse=True)
def _budget(monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", BUDGET_GB)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("opener", [open_scan, open_mask], ids=["scan", "mask"])
def test_refused(fault: Fault, opener, tmp_path):
    path = fault.make(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    megabytes = path.stat().st_size / 1e6 if path.is_file() else 0.0
    tracemalloc.start()
    try:
        start = time.perf_counter()
        with pytest.raises(MorseError if opener is open_mask else fault.error) as caught:
            opener(path)
        seconds = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < 2 + 0.01 * megabytes
    assert peak < 64 * 2**20
    assert caught.value.message.endswith(".")
    assert caught.value.hint
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    if opener is open_scan:
        assert type(caught.value) is fault.error
        for word in fault.words:
            assert word in str(caught.value)


@pytest.mark.parametrize("odd", ODDITIES, ids=str)
def test_opened_and_said(odd: Oddity, tmp_path):
    scan = open_scan(odd.make(tmp_path))
    said = " ".join(scan.notices)
    for word in odd.words:
        assert word in said
    assert bool(odd.words) == bool(scan.notices)
    assert str(scan.data.dtype) == odd.dtype
    assert scan.data.dtype.isnative
    assert scan.orientation_known is odd.known
    assert scan.stem == "scan"
    assert scan.frame is None


@pytest.mark.parametrize("odd", ODDITIES, ids=str)
def test_mask_lies_on_an_odd_scan(odd: Oddity, tmp_path):
    scan = open_scan(odd.make(tmp_path))
    marked = np.zeros(scan.data.shape, np.uint8)
    marked[0, -1, 0] = 3
    again = open_mask(save_mask(Mask(marked, scan.grid, header=scan.header), tmp_path / "mask.nii.gz"))
    assert np.array_equal(again.grid.affine, scan.grid.affine)
    assert np.array_equal(again.data, marked)
    for field in ("sform_code", "qform_code", "xyzt_units", "srow_x", "quatern_b", "qoffset_z"):
        np.testing.assert_array_equal(again.header[field], scan.header[field])


@pytest.mark.parametrize(
    "name", ["slope_nan", "slope_zero", "slope_infinite", "intensities_1e300", "slope_3e38", "uint32_max"]
)
def test_odd_scales_stay_finite(name, tmp_path):
    odd = next(o for o in ODDITIES if o.name == name)
    data = open_scan(odd.make(tmp_path)).data
    assert np.isfinite(data).all()
    if name.startswith("slope") and name != "slope_3e38":
        np.testing.assert_array_equal(data, voxels())


def test_two_forms_take_the_sform_and_keep_both(tmp_path):
    scan = open_scan(next(o for o in ODDITIES if o.name == "two_forms").make(tmp_path))
    np.testing.assert_allclose(scan.grid.affine, scan.header.get_sform())
    assert not np.allclose(scan.header.get_qform(), scan.header.get_sform())


def test_volume_under_shear_is_the_determinant(tmp_path):
    scan = open_scan(next(o for o in ODDITIES if o.name == "sheared").make(tmp_path))
    assert scan.grid.voxel_volume == pytest.approx(1.5 * 2 * 3)
    assert np.prod(scan.grid.spacing) > scan.grid.voxel_volume * 1.01


def test_no_form_keeps_left_left(tmp_path):
    scan = open_scan(next(o for o in ODDITIES if o.name == "no_form").make(tmp_path))
    np.testing.assert_array_equal(scan.grid.affine, np.eye(4))


def test_micrometres_become_millimetres(tmp_path):
    scan = open_scan(next(o for o in ODDITIES if o.name == "micrometres").make(tmp_path))
    assert scan.grid.spacing == pytest.approx((0.0015, 0.002, 0.003))


def test_any_flipped_bit_is_found_or_harmless(tmp_path):
    data = voxels((3, 4, 2))
    path = healthy(tmp_path, data=data)
    content = path.read_bytes()
    harmless = 0
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            scan = open_scan(path)
        except InputError:
            continue
        harmless += 1
        assert np.array_equal(scan.data, data)
    assert harmless < 12 * 8  # the time and the name in the gzip header carry no voxels


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_every_cut_is_found(name, tmp_path):
    path = healthy(tmp_path, name, data=voxels((3, 4, 2)))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises((DamagedFileError, InputError)):
            open_scan(path)


def test_gzip_in_several_members_opens(tmp_path):
    data = voxels()
    path = healthy(tmp_path, "scan.nii", data=data)
    content = path.read_bytes()
    parts = [gzip.compress(content[start : start + 1000]) for start in range(0, len(content), 1000)]
    path = changed(path, lambda _: b"".join(parts)).rename(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(open_scan(path).data, data)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_frame_is_taken_and_recorded(suffix, tmp_path):
    series = voxels((5, 6, 7, 4))
    path = healthy(tmp_path, f"series{suffix}", data=series)
    for frame in range(4):
        scan = open_scan(path, frame=frame)
        assert scan.frame == frame
        np.testing.assert_array_equal(scan.data, series[..., frame])
    for frame in (-1, 4):
        with pytest.raises(InputError, match="no frame"):
            open_scan(path, frame=frame)
    mask = Mask(np.ones((5, 6, 7), np.uint8), scan.grid, header=scan.header)
    assert nib.load(save_mask(mask, tmp_path / "mask.nii.gz")).shape == (5, 6, 7)


@pytest.mark.parametrize("text", ["many", "-1", "0", "nan", "inf"])
def test_a_senseless_budget_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", text)
    with pytest.raises(InputError, match="NAPARI_MORSE_MEMORY_GB"):
        open_scan(healthy(tmp_path))


@pytest.mark.parametrize("name", ["a\0b.nii.gz", "x" * 300 + ".nii.gz", "../../none.nii.gz"])
def test_hostile_names_are_refused(name, tmp_path):
    with pytest.raises(InputError):
        open_scan(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "scan.nii.gz")
    with pytest.raises(InputError, match="not a regular file"):
        open_scan(tmp_path / "scan.nii.gz")


def test_nothing_is_warned(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for odd in ODDITIES:
            folder = tmp_path / odd.name
            folder.mkdir()
            open_scan(odd.make(folder))
    assert not caught


def test_healthy_scan_has_no_notice(tmp_path):
    scan = open_scan(healthy(tmp_path))
    assert scan.notices == ()
    assert scan.data.shape == SHAPE
    assert not scan.data.flags.writeable
