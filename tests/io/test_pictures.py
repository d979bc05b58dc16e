"""Pictures in, label pictures out: pixels as stored, geometry only where the file says it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_morse.errors import DamagedFileError, InputError, MemoryBudgetError
from napari_morse.geometry.orientation import DISPLAY, axes_to, codes
from napari_morse.io import open_mask, open_scan, save_mask
from napari_morse.types import Grid, Mask
from tests.faults import voxels

GREY = (voxels((20, 30)) % 256).astype(np.uint8)
ASSUMED = "1 mm was assumed"


def written(folder, pixels, name="slice.png", **kwargs):
    path = folder / name
    made = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    made.save(path, **kwargs)
    return path


@pytest.mark.parametrize("name", ["slice.png", "slice.bmp", "slice.tif", "wrongly_named.nii.gz"])
def test_grey_pixels_as_stored(name, tmp_path):
    kind = {"slice.bmp": "BMP", "slice.tif": "TIFF"}.get(name, "PNG")
    scan = open_scan(written(tmp_path, GREY, name, format=kind))
    assert scan.data.dtype == np.uint8
    np.testing.assert_array_equal(scan.data[:, :, 0], GREY)
    assert scan.is_picture
    assert not scan.orientation_known
    assert scan.stem == name.split(".")[0]
    assert len(scan.notices) == 1
    assert ASSUMED in scan.notices[0]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_pixels_are_kept(dtype, tmp_path):
    pixels = voxels((20, 30)).astype(dtype) * 60
    scan = open_scan(written(tmp_path, pixels, "slice.tif"))
    assert scan.data.dtype == dtype
    np.testing.assert_array_equal(scan.data[:, :, 0], pixels)


def test_sixteen_bit_png(tmp_path):
    pixels = voxels((20, 30)).astype(np.uint16) * 60
    np.testing.assert_array_equal(open_scan(written(tmp_path, pixels)).data[:, :, 0], pixels)


def test_rows_run_to_posterior_and_columns_to_the_left(tmp_path):
    scan = open_scan(written(tmp_path, GREY))
    assert codes(scan.grid) == "PLS"
    np.testing.assert_array_equal(axes_to(scan.grid, DISPLAY).to_view(scan.data)[0], GREY)


def test_resolution_in_metres_is_believed(tmp_path):
    scan = open_scan(written(tmp_path, GREY, dpi=(25.4 / 0.5, 25.4 / 0.8)))
    assert scan.grid.spacing == pytest.approx((0.8, 0.5, 1.0))
    assert "0.8 × 0.5 mm" in scan.notices[0]


@pytest.mark.parametrize("dpi", [72, 96, 100, 300])
def test_resolution_of_screens_is_not(dpi, tmp_path):
    scan = open_scan(written(tmp_path, GREY, dpi=(dpi, dpi)))
    assert scan.grid.spacing == (1, 1, 1)
    assert ASSUMED in scan.notices[0]


@pytest.mark.parametrize(("name", "kind"), [("slice.jpg", "JPEG"), ("slice.tif", "TIFF"), ("slice.bmp", "BMP")])
def test_resolution_elsewhere_is_not(name, kind, tmp_path):
    scan = open_scan(written(tmp_path, GREY, name, format=kind, dpi=(50.8, 50.8)))
    assert scan.grid.spacing == (1, 1, 1)


def test_colours_become_grey_and_it_is_said(tmp_path):
    colours = (voxels((20, 30, 3)) % 256).astype(np.uint8)
    scan = open_scan(written(tmp_path, colours))
    assert scan.data.shape == (20, 30, 1)
    assert any("grey" in notice for notice in scan.notices)
    expected = colours @ np.array([0.299, 0.587, 0.114])
    assert np.abs(scan.data[:, :, 0] - expected).max() <= 1


def test_grey_in_three_channels_is_not_called_colour(tmp_path):
    scan = open_scan(written(tmp_path, np.stack([GREY] * 3, axis=-1)))
    np.testing.assert_array_equal(scan.data[:, :, 0], GREY)
    assert len(scan.notices) == 1


def test_transparency_is_ignored_and_said(tmp_path):
    scan = open_scan(written(tmp_path, np.stack([GREY, GREY, GREY, np.full_like(GREY, 9)], axis=-1)))
    np.testing.assert_array_equal(scan.data[:, :, 0], GREY)
    assert any("Transparency" in notice for notice in scan.notices)


def test_black_and_white(tmp_path):
    scan = open_scan(written(tmp_path, Image.fromarray(GREY > 100)))
    np.testing.assert_array_equal(scan.data[:, :, 0], np.where(GREY > 100, 255, 0))


def test_turned_photographs_are_shown_as_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    scan = open_scan(written(tmp_path, GREY, "photo.jpg", exif=exif))
    assert scan.data.shape == (20, 30, 1)
    assert any("turn" in notice for notice in scan.notices)


def test_a_page_is_taken_and_recorded(tmp_path):
    pages = [Image.fromarray(np.full((8, 9), value, np.uint8)) for value in (10, 20, 30)]
    for name in ("pages.tif", "pages.png"):
        path = written(tmp_path, pages[0], name, save_all=True, append_images=pages[1:])
        scan = open_scan(path, frame=2)
        assert scan.frame == 2
        assert (scan.data == 30).all()


@pytest.mark.parametrize("ids", [GREY, voxels((20, 30)).astype(np.uint16) + 256], ids=["uint8", "uint16"])
def test_label_pictures_survive(ids, tmp_path):
    scan = open_scan(written(tmp_path, GREY, dpi=(25.4 / 0.5, 25.4 / 0.8)))
    mask = Mask(ids[:, :, np.newaxis], scan.grid)
    path = save_mask(mask, tmp_path / "mask.png")
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), ids)
    again = open_mask(path)
    assert again.data.dtype == ids.dtype
    np.testing.assert_array_equal(again.data, mask.data)
    assert again.grid.same_as(mask.grid)


def test_an_assumed_pixel_size_is_not_written_as_a_fact(tmp_path):
    scan = open_scan(written(tmp_path, GREY))
    path = save_mask(Mask((scan.data > 9).astype(np.uint8), scan.grid), tmp_path / "mask.png")
    with Image.open(path) as picture:
        assert "dpi" not in picture.info
    assert open_mask(path).grid.same_as(scan.grid)


def test_a_picture_has_its_mask_as_nifti_too(tmp_path):
    scan = open_scan(written(tmp_path, GREY, dpi=(25.4 / 0.5, 25.4 / 0.8)))
    mask = open_mask(save_mask(Mask(scan.data, scan.grid), tmp_path / "mask.nii.gz"))
    assert mask.grid.same_as(scan.grid)
    np.testing.assert_array_equal(mask.data, scan.data)


def test_a_palette_gives_its_indices(tmp_path):
    ids = (voxels((20, 30)) % 3).astype(np.uint8)
    picture = Image.fromarray(ids)
    picture = picture.convert("P")
    picture.putdata(ids.ravel())
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    mask = open_mask(written(tmp_path, picture))
    np.testing.assert_array_equal(mask.data[:, :, 0], ids)


def test_a_mask_of_255_stays_255(tmp_path):
    path = written(tmp_path, np.where(GREY > 100, 255, 0).astype(np.uint8), "mask.png")
    assert set(np.unique(open_mask(path).data)) == {0, 255}


def test_masks_that_no_picture_holds(tmp_path):
    grid = Grid((4, 5, 2), np.eye(4))
    with pytest.raises(InputError, match="one slice"):
        save_mask(Mask(np.zeros((4, 5, 2), np.uint8), grid), tmp_path / "mask.png")
    with pytest.raises(InputError, match="65535"):
        save_mask(Mask(np.full((4, 5, 1), 70_000), Grid((4, 5, 1), np.eye(4))), tmp_path / "mask.png")
    assert list(tmp_path.iterdir()) == []


def test_huge_pictures_are_refused_before_they_are_unfolded(tmp_path, monkeypatch):
    path = written(tmp_path, np.zeros((3000, 3000), np.uint8), optimize=True)
    monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", "0.05")
    with pytest.raises(MemoryBudgetError):
        open_scan(path)


def test_a_second_page_is_no_way_past_the_memory_budget(tmp_path, monkeypatch):
    small, large = Image.fromarray(GREY), Image.fromarray(np.zeros((3000, 3000), np.uint8))
    path = written(tmp_path, small, "pages.tif", save_all=True, append_images=[large], compression="tiff_lzw")
    monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", "0.05")
    assert open_scan(path, frame=0).data.shape == (20, 30, 1)
    with pytest.raises(MemoryBudgetError):
        open_scan(path, frame=1)


@pytest.mark.parametrize(("most", "read"), [(1000, True), (500, True), (250, False)])
def test_a_tiff_of_more_pixels_than_its_reader_takes_is_one_sentence(tmp_path, monkeypatch, most, read):
    path = written(tmp_path, GREY, "slice.tif", compression="tiff_lzw")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)  # of 600; Pillow warns above it, and refuses twice as many
    if read:
        assert all(ASSUMED in notice for notice in open_scan(path).notices)
        return
    for opened in (open_scan, open_mask):
        with pytest.raises(InputError, match=r"“slice\.tif” has more than 0 million pixels"):
            opened(path)


def test_a_claim_that_the_file_cannot_hold(tmp_path, monkeypatch):
    import struct
    import zlib

    monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", "1000000")
    content = bytearray(written(tmp_path, GREY).read_bytes())
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "claim.png").write_bytes(content)
    with pytest.raises(DamagedFileError, match="incomplete"):
        open_scan(tmp_path / "claim.png")


def test_nan_pixels(tmp_path):
    pixels = GREY.astype(np.float32)
    pixels[0] = np.nan
    assert any("30 of 600 pixels" in n for n in open_scan(written(tmp_path, pixels, "slice.tif")).notices)
    with pytest.raises(InputError, match="no finite pixel"):
        open_scan(written(tmp_path, pixels * np.nan, "slice.tif"))
