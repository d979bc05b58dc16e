"""Pictures of a report lie as the window shows the scan, with letters, in the right proportions."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
from nibabel import orientations
from PIL import Image

from napari_morse.io import open_scan
from napari_morse.io.thumbnails import COLOUR_BEFORE, COLOUR_NOW, FRAME, FRAME_WIDTH, lettered, slice_picture
from napari_morse.session.case.masks import CaseMasks
from napari_morse.session.project import Project, from_folders
from napari_morse.session.report import build, write
from napari_morse.session.report.figures import picture
from napari_morse.types import Grid, Scan
from napari_morse.widgets.bridge.placement import display_axes
from tests.project_cases import nifti
from tests.session.report.test_report import store

RAS_SHAPE = np.array((16, 20, 13))
ORDERS = [
    "".join(code) for axes in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*axes)
]  # fmt: skip
LETTERS = {0: "APRL", 1: "SIRL", 2: "SIAP"}
"""At the top, bottom, left and right of axial, coronal and sagittal slices, as radiologists look at them."""


def marked(codes: str, sides=(1.0, 1.0, 1.0), turned: float = 0.0) -> CaseMasks:
    """A scan stored along ``codes``, bright towards the patient's right, anterior and superior; a mask in its middle.

    Slices through the middle are bright in one corner. ``sides`` are mm along R, A and S; ``turned`` degrees about the
    S axis make the scan oblique.
    """
    far = [index >= length - 5 for index, length in zip(np.indices(RAS_SHAPE), RAS_SHAPE, strict=True)]
    image = 100.0 * (np.sum(far, axis=0) >= 2)
    labels = np.zeros(RAS_SHAPE, np.uint8)
    labels[7:10, 8:13, 5:8] = 1
    turn = np.deg2rad(turned)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation * sides, (-30, 11, 5)
    ornt = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(codes))
    affine = affine @ orientations.inv_ornt_aff(ornt, image.shape)
    data, mask = (np.ascontiguousarray(orientations.apply_orientation(x, ornt)) for x in (image, labels))
    return CaseMasks(Scan(data, Grid(data.shape, affine), "x"), {"rendered": mask}, None)


def content(png: bytes) -> np.ndarray:
    """The picture inside of its frame."""
    pixels = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    return pixels[FRAME_WIDTH:-FRAME_WIDTH, FRAME_WIDTH:-FRAME_WIDTH] if (pixels[0, 0] == FRAME).all() else pixels


def at_middles(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixel in the middle of each voxel."""
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, pixels.shape[:2], strict=True))
    return pixels[rows][:, columns]


def read(png: bytes) -> str:
    """The letters at the top, bottom, left and right, each told by its shape."""
    pixels = np.array(Image.open(io.BytesIO(png)).convert("L")).astype(int)

    def strips(all_of: np.ndarray) -> list[np.ndarray]:
        inner = slice(FRAME_WIDTH, -FRAME_WIDTH)
        sides = (
            all_of[:FRAME_WIDTH, inner],
            all_of[-FRAME_WIDTH:, inner],
            all_of[inner, :FRAME_WIDTH],
            all_of[inner, -FRAME_WIDTH:],
        )
        return [cut(side) for side in sides]

    def cut(strip: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(strip > 120)
        return strip[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] > 120

    blank = np.zeros((60, 60, 3), np.uint8)
    known = {a: strips(np.array(Image.fromarray(lettered(blank, a * 4)).convert("L")).astype(int)) for a in "RLAPSI"}
    told = ""
    for place, strip in enumerate(strips(pixels)):
        (letter,) = (a for a, shapes in known.items() if np.array_equal(shapes[place], strip))
        told += letter
    return told


THICK = {0: (1.0, 1.0, 3.0), 1: (1.0, 3.0, 1.0), 2: (3.0, 1.0, 1.0)}
"""mm along R, A, S that make slices be taken across the first, second and third axis of the window."""


@pytest.mark.parametrize("across", [0, 1, 2])
@pytest.mark.parametrize("turned", [0.0, 17.0])
def test_all_48_axis_orders_lie_as_in_the_window(across, turned):
    assert len(set(ORDERS)) == 48
    for codes in ORDERS:
        found = marked(codes, THICK[across], turned)
        made, there = picture(found), display_axes(found.scan).to_view
        best = int(made.says.split("slice ")[1].split(",")[0])
        seen, labels = (np.take(there(x), best, across) for x in (found.scan.data, found.masks["rendered"]))
        assert labels.any(), codes
        pixels = at_middles(content(made.png), seen.shape).astype(int)
        beside = labels == 0
        np.testing.assert_array_equal(pixels[beside].max(axis=1) > 128, seen[beside] > 50, err_msg=codes)
        np.testing.assert_array_equal((content(made.png) == COLOUR_NOW).all(axis=2).any(), True, err_msg=codes)
        rows, columns = np.nonzero((pixels.max(axis=2) > 128) & beside)
        assert rows.max() < len(seen) / 2 and columns.max() < seen.shape[1] / 2, codes
        assert read(made.png) == LETTERS[across], codes


def test_an_outline_surrounds_the_mask_and_nothing_else():
    found = marked("LPS")
    made = picture(found)
    best = int(made.says.split("slice ")[1].split(",")[0])
    labels = np.take(display_axes(found.scan).to_view(found.masks["rendered"]), best, 0)
    yellow = (content(made.png) == COLOUR_NOW).all(axis=2)
    rows, columns = np.nonzero(yellow)
    inside = np.argwhere(labels)
    for at, low, high, voxels, length in zip(
        (rows, columns), inside.min(axis=0), inside.max(axis=0) + 1, labels.shape, yellow.shape, strict=True
    ):
        assert at.min() == pytest.approx(low * length / voxels, abs=1)
        assert at.max() + 1 == pytest.approx(high * length / voxels, abs=1)


@pytest.mark.parametrize("sides", [(1.0, 1.0, 1.0), (0.5, 0.7, 7.0), (0.5, 7.0, 0.7), (3.0, 0.4, 0.4), (0.9, 2.2, 1.0)])
def test_proportions_are_those_in_mm(sides):
    for codes in ("RAS", "LIP", "SRA"):
        found = marked(codes, sides)
        made = picture(found)
        across = {"axial": 0, "coronal": 1, "sagittal": 2}[made.says.split()[0]]
        mm = np.array((RAS_SHAPE * sides)[[2, 1, 0]])
        rows, columns = (axis for axis in range(3) if axis != across)
        height, width = content(made.png).shape[:2]
        assert height / width == pytest.approx(mm[rows] / mm[columns], rel=0.02)
        assert max(height, width) == 200
        assert read(made.png) == LETTERS[across]


def test_letters_stand_beside_the_slice_on_dark_whatever_it_holds():
    slices = [np.full((40, 30), grey) for grey in (0.0, 1.0)]
    slices = [np.where(np.eye(40, 30, dtype=bool), 1 - grey, grey) for grey in slices]
    for part in slices:
        plain = slice_picture(part, np.zeros(part.shape, np.uint8), None)
        framed = lettered(plain, "APRL")
        np.testing.assert_array_equal(framed[FRAME_WIDTH:-FRAME_WIDTH, FRAME_WIDTH:-FRAME_WIDTH], plain)
        assert framed[:FRAME_WIDTH].max() > 240 and framed[0, 0].max() < 60


def test_what_has_no_orientation_has_no_letters_and_lies_as_in_the_window(tmp_path):
    stored = np.zeros((20, 30), np.uint8)
    stored[2:6, 3:9] = 200
    Image.fromarray(stored).save(tmp_path / "a.png")
    scan = open_scan(tmp_path / "a.png")
    mask = np.zeros(scan.grid.shape, np.uint8)
    mask[12:16, 20:26] = 1
    made = picture(CaseMasks(scan, {"corrected": mask}, None))
    assert "orientation not known" in made.says
    pixels = np.array(Image.open(io.BytesIO(made.png)))
    assert pixels.shape[:2] == (133, 200)
    np.testing.assert_array_equal(at_middles(pixels, stored.shape)[:10, :15, 0] > 100, stored[:10, :15] > 0)
    assert (pixels == COLOUR_NOW).all(axis=2)[80:].any()
    found = marked("ASL")
    unknown = CaseMasks(replace(found.scan, orientation_known=False), found.masks, None)
    np.testing.assert_array_equal(content(picture(unknown).png), content(picture(found).png))


def test_the_report_explains_what_its_pictures_show(tmp_path):
    found = marked("RAS")
    nifti(tmp_path / "in" / "a.nii.gz", found.scan.data.astype(np.int16), found.scan.grid.affine)
    with Project.create(tmp_path / "study", from_folders(tmp_path / "in"), name="s", reader="AB") as project:
        write(build(project), tmp_path / "before")
        store(project, "a", "rendered", found.masks["rendered"])
        (figures,) = build(project).figures
        write(build(project), tmp_path / "out")
    assert read(figures.picture.png) == LETTERS[0]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "the patient's right is at the left" in page and "no orientation" in page
    assert f"alt='a: {figures.picture.says}'" in page and f">{figures.picture.says}<" in page
    assert "R at the left" in figures.picture.says
    assert "Pictures lie" not in (tmp_path / "before" / "report.html").read_text()


def test_the_smallest_structures_of_large_slices_are_seen():
    scan, mask, before = np.zeros((900, 700)), np.zeros((900, 700), np.uint8), np.zeros((900, 700), np.uint8)
    mask[101:800, 333] = before[500, 601] = mask[899, 699] = 1
    pixels = slice_picture(scan, mask, before)
    assert pixels.shape[:2] == (200, 156)
    yellow = (pixels == COLOUR_NOW).all(axis=2)
    assert yellow[23:177, 74].all() and yellow[199, 155] and yellow.sum() < 160
    assert (pixels == COLOUR_BEFORE).all(axis=2).sum() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0, -3e38])
def test_slices_without_contrast_are_drawn_without_a_warning(value):
    scan = np.full((9, 7), value, np.float32)
    mask = np.zeros(scan.shape, np.uint8)
    mask[2:5, 2:5] = 1
    pixels = slice_picture(scan, mask, None)
    assert (pixels == COLOUR_NOW).all(axis=2).any() and pixels.shape == (200, 156, 3)
