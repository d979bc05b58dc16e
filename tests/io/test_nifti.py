"""A saved mask lies exactly on its scan: affine, codes and places in mm survive the way through files."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import orientations

from napari_morse.errors import GeometryError, InputError, MorseError
from napari_morse.io import as_labels, case_stem, open_mask, open_scan, save_image, save_mask
from napari_morse.io.labels import mask_notice
from napari_morse.types import Grid, Mask
from tests.faults import AFFINE, MASK_FAULTS, SHAPE, Fault, healthy, image, patched, voxels

AXIS_ORDERS = [
    tuple(flipped) for order in itertools.permutations(("LR", "PA", "IS")) for flipped in itertools.product(*order)
]
BASES = {"isotropic": (1, 1, 1), "anisotropic": (0.5, 0.7, 7.0)}


def placed(codes: tuple[str, ...], zooms: tuple[float, ...], degrees: float, origin: float) -> np.ndarray:
    """An affine with these axis codes, voxel sizes, rotation about z and offset."""
    ornt = orientations.axcodes2ornt(codes)
    affine = np.zeros((4, 4))
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign * zooms[axis]
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3], affine[3, 3] = (origin, -origin, origin / 3), 1
    return affine


def check_mask_on(path: Path, folder: Path) -> None:
    """A corner marker, saved on the scan in ``path``, comes back at the same mm, in our reader and in nibabel's."""
    scan = open_scan(path)
    marked = np.zeros(scan.data.shape, np.uint8)
    marked[-1, 0, -1] = 9
    saved = save_mask(Mask(marked, scan.grid, header=scan.header), folder / "mask.nii.gz")
    again = open_mask(saved)
    assert np.array_equal(again.grid.affine, scan.grid.affine)
    assert np.array_equal(again.data, marked)
    theirs, original = nib.load(saved), nib.load(path)
    assert np.array_equal(theirs.affine, original.affine)
    assert nib.aff2axcodes(theirs.affine) == nib.aff2axcodes(original.affine)
    for field in ("sform_code", "qform_code", "xyzt_units"):
        assert theirs.header[field] == original.header[field]
    for form in ("get_sform", "get_qform"):
        assert np.array_equal(getattr(theirs.header, form)(), getattr(original.header, form)())
    corner = np.argwhere(np.asanyarray(theirs.dataobj) == 9)[0]
    np.testing.assert_array_equal(
        nib.affines.apply_affine(theirs.affine, corner), nib.affines.apply_affine(original.affine, corner)
    )


@pytest.mark.parametrize("codes", AXIS_ORDERS, ids="".join)
def test_all_axis_orders(codes, tmp_path):
    for zooms, degrees, origin in itertools.product(BASES.values(), (0, 17), (0, 1e5)):
        path = healthy(tmp_path, data=voxels((3, 4, 5)), affine=placed(codes, zooms, degrees, origin))
        check_mask_on(path, tmp_path)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (4, 1), (0, 0)])
def test_all_codes(sform, qform, version, tmp_path):
    forms = {"sform_code": sform, "qform_code": qform}
    affine = placed(("L", "A", "S"), (0.5, 0.7, 7), 17, 50)
    path = patched(tmp_path, forms, version=version, affine=affine)
    check_mask_on(path, tmp_path)
    assert open_scan(path).orientation_known is (sform + qform > 0)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    entries=st.lists(st.floats(-300, 300, width=32), min_size=12, max_size=12),
    labels=st.integers(0, 70_000),
)
def test_save_then_open_is_the_identity(shape, entries, labels, tmp_path_factory):
    affine = np.vstack([np.array(entries).reshape(3, 4), [0, 0, 0, 1]])
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if sides.min() < 1e-2 or abs(np.linalg.det(affine[:3, :3])) < 1e-3 * sides.prod():
        return
    data = np.full(shape, labels, np.uint32)
    path = save_mask(Mask(data, Grid(shape, affine)), tmp_path_factory.getbasetemp() / "any.nii")
    again = open_mask(path)
    assert np.array_equal(again.grid.affine, affine)
    assert np.array_equal(again.data, data)


def test_intensities_are_those_that_nibabel_reads(tmp_path):
    for dtype in (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64):
        for endian in "<>":
            header = image(data=voxels(dtype=dtype)).header.as_byteswapped(endian)
            made = nib.Nifti1Image(voxels(dtype=dtype), AFFINE, header)
            path = tmp_path / "scan.nii"
            path.write_bytes(made.to_bytes())
            scan = open_scan(path)
            np.testing.assert_array_equal(scan.data, nib.load(path).get_fdata())
            assert scan.data.dtype == (np.float32 if np.dtype(dtype).kind == "f" else dtype)


def test_scaled_integers_become_float32(tmp_path):
    made = image(data=np.linspace(-3.5, 1234.5, np.prod(SHAPE)).reshape(SHAPE))
    made.header.set_data_dtype(np.int16)
    path = tmp_path / "scan.nii.gz"
    made.to_filename(path)
    scan = open_scan(path)
    assert scan.data.dtype == np.float32
    np.testing.assert_allclose(scan.data, nib.load(path).get_fdata(), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "uint32"), (2**32 - 1, "uint32")],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_smallest_dtype_and_exact_ids(largest, dtype, suffix, tmp_path):
    scan = open_scan(healthy(tmp_path, data=voxels(dtype=np.uint8)))
    ids = np.zeros(SHAPE, np.int64)
    ids[1, 2, 3] = largest
    path = save_mask(Mask(ids, scan.grid, header=scan.header), tmp_path / f"mask{suffix}")
    theirs = nib.load(path)
    assert theirs.get_data_dtype() == dtype
    assert (theirs.dataobj.slope, theirs.dataobj.inter) == (1, 0)
    assert np.array_equal(np.asanyarray(theirs.dataobj), ids)
    again = open_mask(path).data
    assert again.dtype == dtype
    assert np.array_equal(again, ids)


@pytest.mark.parametrize("fault", MASK_FAULTS, ids=str)
def test_no_labels(fault: Fault, tmp_path):
    with pytest.raises(fault.error, match=fault.words[0]):
        open_mask(fault.make(tmp_path))


def test_labels_through_a_float_slope(tmp_path):
    made = image(data=np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE) % 7)
    path = tmp_path / "mask.nii"
    nib.Nifti1Image(np.asanyarray(made.dataobj).astype(np.float64) * 1.0000000012, AFFINE).to_filename(path)
    assert np.array_equal(open_mask(path).data, np.asanyarray(made.dataobj))


@pytest.mark.parametrize(
    "array", [np.array([-1]), np.array([0.5]), np.array([np.nan]), np.array([np.inf]), np.array([1j])]
)
def test_as_labels_refuses(array):
    with pytest.raises(InputError):
        as_labels(array)


def test_as_labels_keeps_the_memory_order():
    ids = np.asfortranarray(np.ones((3, 4, 5), np.int64))
    assert as_labels(ids).flags.f_contiguous
    assert as_labels(ids > 0).dtype == np.uint8


def test_a_mask_on_another_grid_is_placed_anew(tmp_path):
    scan = open_scan(healthy(tmp_path))
    moved = scan.grid.affine.copy()
    moved[:3, 3] += (3, 4, 5)
    mask = Mask(np.ones((4, 4, 4), np.uint8), Grid((4, 4, 4), moved), header=scan.header)
    path = save_mask(mask, tmp_path / "crop.nii.gz")
    np.testing.assert_allclose(nib.load(path).affine, moved, atol=1e-5)
    np.testing.assert_allclose(nib.load(path).get_qform(), moved, atol=1e-4)
    assert int(nib.load(path).header["sform_code"]) == 1
    assert open_scan(path).notices == ()


def test_sheared_grid_without_header_has_no_qform(tmp_path):
    sheared = AFFINE @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    path = save_mask(Mask(np.ones(SHAPE, np.uint8), Grid(SHAPE, sheared)), tmp_path / "m.nii")
    np.testing.assert_allclose(open_mask(path).grid.affine, sheared, atol=1e-6)
    assert int(nib.load(path).header["qform_code"]) == 0


def test_long_axes_are_written_as_nifti2(tmp_path):
    mask = Mask(np.ones((40_000, 1, 1), np.uint8), Grid((40_000, 1, 1), np.eye(4)))
    path = save_mask(mask, tmp_path / "long.nii.gz")
    assert isinstance(nib.load(path), nib.Nifti2Image)
    assert open_mask(path).data.shape == (40_000, 1, 1)


def test_no_text_of_the_scan_reaches_the_mask(tmp_path):
    made = image()
    made.header["descrip"], made.header["db_name"], made.header["aux_file"] = b"DOE^JANE", b"DOE^JANE", b"DOE^JANE"
    made.header["intent_name"] = b"DOE^JANE"
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    path = tmp_path / "scan.nii.gz"
    made.to_filename(path)
    scan = open_scan(path)
    mask = Mask(np.ones(SHAPE, np.uint8), scan.grid, header=scan.header)
    assert b"DOE" not in save_mask(mask, tmp_path / "mask.nii").read_bytes()
    assert b"DOE" not in save_image(scan.data, scan.grid, tmp_path / "image.nii", header=scan.header).read_bytes()
    assert "DOE" not in " ".join(scan.notices)


def test_same_mask_same_bytes(tmp_path):
    scan = open_scan(healthy(tmp_path))
    mask = Mask((scan.data > 500).astype(np.uint8), scan.grid, header=scan.header)
    first = save_mask(mask, tmp_path / "a.nii.gz").read_bytes()
    os.utime(tmp_path / "a.nii.gz", (0, 0))
    assert save_mask(mask, tmp_path / "b.nii.gz").read_bytes() == first


def test_the_original_is_never_written_over(tmp_path):
    path = healthy(tmp_path)
    before = path.read_bytes()
    scan = open_scan(path)
    mask = Mask(np.ones(SHAPE, np.uint8), scan.grid, header=scan.header)
    link = tmp_path / "other.nii.gz"
    link.symlink_to(path)
    for target in (path, link):
        with pytest.raises(InputError, match="original"):
            save_mask(mask, target, original=scan.source)
        with pytest.raises(InputError, match="original"):
            save_image(scan.data, scan.grid, target, original=scan.source)
    assert path.read_bytes() == before
    assert save_mask(mask, tmp_path / "new.nii.gz", original=scan.source).exists()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.int64, np.float32, np.float64, np.float16])
def test_images_are_saved_unscaled(dtype, tmp_path):
    data = (voxels() % 2).astype(dtype)
    scan = open_scan(save_image(data, Grid(SHAPE, AFFINE), tmp_path / "image.nii.gz"))
    np.testing.assert_array_equal(scan.data, data)
    np.testing.assert_array_equal(scan.grid.affine, AFFINE)
    assert scan.notices == mask_notice(data, "image.nii.gz")


def test_endings_that_cannot_be_written(tmp_path):
    mask = Mask(np.ones(SHAPE, np.uint8), Grid(SHAPE, AFFINE))
    with pytest.raises(InputError, match=r"\.nii\.gz"):
        save_mask(mask, tmp_path / "mask.mha")
    with pytest.raises(InputError, match=r"\.nii\.gz"):
        save_image(mask.data, mask.grid, tmp_path / "image.png")
    with pytest.raises(InputError, match="real numbers"):
        save_image(mask.data.astype(complex), mask.grid, tmp_path / "image.nii")
    with pytest.raises(InputError, match="negative"):
        save_mask(Mask(np.full(SHAPE, -1), mask.grid), tmp_path / "mask.nii")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("sub-01.T1.nii.gz", "sub-01.T1"),
        ("scan.NII.GZ", "scan"),
        ("scan.nii", "scan"),
        ("a/b/slice.png", "slice"),
        ("scan", "scan"),
        (".nii.gz", ".nii"),
    ],
)
def test_case_stem(name, stem):
    assert case_stem(name) == stem


def test_files_that_nibabel_ships():
    folder = Path(nib.__file__).parent / "tests" / "data"
    opened = 0
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            scan = open_scan(path, frame=0)
        except MorseError:
            continue
        theirs = nib.load(path)
        values = np.asanyarray(theirs.dataobj).reshape((*theirs.shape, 1)[:4])[..., 0]
        np.testing.assert_allclose(scan.data, values.reshape(scan.data.shape), rtol=1e-6)
        np.testing.assert_allclose(scan.grid.affine, theirs.affine, atol=1e-5)
        opened += 1
    assert opened >= 6


def test_five_dimensional_file_of_nibabel_is_refused():
    with pytest.raises(GeometryError, match=r"dim\[5\]"):
        open_scan(Path(nib.__file__).parent / "tests" / "data" / "row_major.dconn.nii")


def test_real_cases(tmp_path):
    root = os.environ.get("NAPARI_MORSE_DATA")
    if not root:
        pytest.skip("NAPARI_MORSE_DATA is not set")
    for path in sorted(Path(root, "hippocampus", "images").glob("*.nii.gz"))[:8]:
        check_mask_on(path, tmp_path)
        scan, mask = open_scan(path), open_mask(path.parents[1] / "labels" / path.name)
        assert scan.grid.same_as(mask.grid)
        assert set(np.unique(mask.data)) == {0, 1, 2}
