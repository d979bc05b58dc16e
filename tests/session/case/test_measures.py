"""Measures of a case: exact lengths on any grid, kept whole or not at all, damaged files never lost."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.session.case.measures import Measures, again, length, now, of_structure, read_measures, ruler
from napari_morse.session.case_files import MEASURES
from napari_morse.types import Grid, Label, Scan
from tests.fakes import make_scan

LESION = Label(2, "lesion", "#0072b2")


def oblique(shape=(20, 24, 16)):
    """Turned by 20 degrees around one axis and 35 around another, one axis flipped, voxels of 0.7 × 1.5 × 3 mm."""
    a, b = np.radians([20, 35])
    one = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    two = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = one @ two @ np.diag([-0.7, 1.5, 3.0])
    affine[:3, 3] = 5, -7, 11
    return Scan(np.zeros(shape, np.float32), Grid(shape, affine), "oblique")


@pytest.mark.parametrize("scan", [make_scan(), oblique()], ids=["flipped", "oblique"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ruler_is_as_long_as_its_steps_in_mm(scan, axis):
    start, end = np.array([3.25, 4.5, 5.0]), np.array([11.0, 15.75, 9.5])
    end[axis] = start[axis] = 7
    found = ruler(scan, axis, tuple(start), tuple(end), "AB")
    expected = np.sqrt((((end - start) * scan.grid.spacing) ** 2).sum())
    assert found.values[0] == pytest.approx(expected, abs=1e-6)
    assert np.linalg.norm(np.subtract(*found.mm)) == pytest.approx(expected, abs=1e-6)
    assert np.allclose(found.mm[0], scan.grid.affine[:3] @ [*start, 1])
    assert (found.axis, found.index, found.unit, found.reader) == (axis, 7, "mm", "AB")
    assert found.text == f"{expected:.1f} mm"


def test_a_slice_has_the_number_and_the_plane_that_the_viewer_shows():
    scan = make_scan()  # LPS: shown downward from the last K, along J and I as they are
    planes = [(axis, (m := ruler(scan, axis, (3, 3, 3), (3 + (axis != 0), 3 + (axis == 0), 3))).plane, m.shown)
              for axis in range(3)]  # fmt: skip
    assert planes == [(0, "sagittal", 3), (1, "coronal", 3), (2, "axial", 16 - 1 - 3)]
    assert ruler(replace(scan, orientation_known=False), 1, (3, 3, 3), (4, 3, 3)).place == "J 3"


def test_without_a_size_lengths_are_voxels():
    scan = replace(make_scan(), size_known=False)
    found = ruler(scan, 2, (1, 1, 3), (4, 5, 3))
    assert (found.values, found.unit, found.mm, found.text) == ((5.0,), "px", None, "5.0 px")
    mask = np.zeros(scan.grid.shape, np.uint8)
    mask[2:6, 3:10, 3] = 2
    area = of_structure("area", scan, mask, LESION, 2, 3)
    assert (area.values, area.unit) == ((28.0,), "px²")


@pytest.mark.parametrize("scan", [make_scan(), oblique()], ids=["flipped", "oblique"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_structure_is_measured_in_every_plane(scan, axis):
    mask = np.zeros(scan.grid.shape, np.uint8)
    mask[4:12, 5:8, 6:10] = 2
    mask[1, 1, :] = mask[:, 1, 1] = 1
    across = [a for a in range(3) if a != axis]
    sizes = np.array([8, 3, 4])[across]
    spacing = np.array(scan.grid.spacing)[across]
    area = of_structure("area", scan, mask, LESION, axis, 7, "AB")
    assert area.values[0] == pytest.approx((sizes * spacing).prod())
    assert mask[tuple(int(v) for v in area.voxel[0])] == 2
    found = of_structure("diameters", scan, mask, LESION, axis, 7)
    assert found.values[0] == pytest.approx(np.linalg.norm(sizes * spacing), abs=spacing.max())
    mm = np.array(found.mm)
    for value, ends in zip(found.values, (mm[:2], mm[2:]), strict=True):
        assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(value, abs=1e-6)
    assert abs((mm[1] - mm[0]) @ (mm[3] - mm[2])) < 1e-6
    assert (found.structure, found.label, found.note) == ("lesion", 2, "")
    assert {point[axis] for point in found.voxel} == {7.0}


def test_what_cannot_be_measured_is_a_sentence():
    scan = make_scan()
    mask = np.zeros(scan.grid.shape, np.uint8)
    mask[2:4, 2:4, 5] = mask[8, 8, 5] = 2
    assert of_structure("area", scan, mask, LESION, 2, 5).note == "the largest of 2 parts"
    with pytest.raises(InputError, match="“lesion” is not in this slice"):
        of_structure("diameters", scan, mask, LESION, 2, 6)
    with pytest.raises(InputError, match="does not lie on the scan"):
        of_structure("diameters", scan, mask[1:], LESION, 2, 5)
    with pytest.raises(InputError, match="no length"):
        ruler(scan, 2, (1, 1, 3), (1, 1, 3))
    with pytest.raises(InputError, match="one slice"):
        ruler(scan, 2, (1, 1, 3), (1, 2, 4))


def made(n=3, reader="AB"):
    scan = make_scan()
    return [ruler(scan, 2, (1, 1, 3), (4 + k / 3, 5, 3), reader) for k in range(n)]


def test_measures_are_kept_to_the_last_bit_and_in_their_order(tmp_path):
    work, (a, b, c) = Measures(tmp_path / "case"), made()
    for measure in (a, b, c):
        work.add(measure)
    assert read_measures(tmp_path / "case") == (a, b, c) == Measures(tmp_path / "case").items
    work.remove(b.id)
    work.remove(a.id)
    assert read_measures(tmp_path / "case") == (c,)
    assert work.undo() == a
    assert work.undo() == b
    assert read_measures(tmp_path / "case") == (a, b, c)
    assert work.undo() is None and not work.can_undo
    content = json.loads((tmp_path / "case" / MEASURES).read_text())
    assert (content["format"], content["format_version"]) == ("napari-morse-measures", 1)


def test_nothing_of_the_scan_but_places_and_lengths_is_written(tmp_path):
    scan = replace(make_scan(stem="DOE^JANE"), header={"patient": "DOE^JANE"})
    Measures(tmp_path).add(ruler(scan, 2, (1, 1, 3), (4, 5, 3), "AB"))
    assert "DOE" not in (tmp_path / MEASURES).read_text()


def test_without_a_folder_they_are_kept_in_memory():
    work, (a, _, _) = Measures(None, lambda: False), made()
    work.add(a)
    assert work.items == (a,)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"format": "other", "format_version": 1}', b'{"format_version": 2}',
     b'{"format": "napari-morse-measures", "format_version": 1, "measures": [{"kind": "ruler"}]}'],
)  # fmt: skip
def test_a_damaged_file_is_kept_aside_with_a_notice(tmp_path, content):
    (tmp_path / "measures-damaged-1.json").write_bytes(b"earlier")
    (tmp_path / MEASURES).write_bytes(content)
    with pytest.raises(DamagedFileError):
        read_measures(tmp_path)
    work, (a, _, _) = Measures(tmp_path), made()
    assert work.items == () and "measures-damaged-2.json" in work.notices[0]
    work.add(a)
    assert read_measures(tmp_path) == (a,)
    assert (tmp_path / "measures-damaged-2.json").read_bytes() == content
    assert (tmp_path / "measures-damaged-1.json").read_bytes() == b"earlier"


def test_numbers_that_are_none_are_damage(tmp_path):
    Measures(tmp_path).add(made()[0])
    text = (tmp_path / MEASURES).read_text()
    content = json.loads(text)
    for change in ({"values": [float("nan")]}, {"values": [-1.0]}, {"voxel": [[1, 2, 3]]}, {"axis": 3}, {"more": 1}):
        (tmp_path / MEASURES).write_text(json.dumps(content | {"measures": [content["measures"][0] | change]}))
        with pytest.raises(DamagedFileError):
            read_measures(tmp_path)
    (tmp_path / MEASURES).write_text(text)
    assert len(read_measures(tmp_path)) == 1


def test_a_newer_file_and_a_damaged_one_that_may_not_be_moved_are_left_alone(tmp_path):
    newer = b'{"format": "napari-morse-measures", "format_version": 2, "measures": {}}'
    (tmp_path / MEASURES).write_bytes(newer)
    work = Measures(tmp_path)
    assert "newer version" in work.notices[0]
    with pytest.raises(InputError, match="newer version"):
        work.add(made()[0])
    (tmp_path / MEASURES).write_bytes(b"junk")
    looked = Measures(tmp_path, lambda: False)
    assert "damaged" in looked.notices[0]
    with pytest.raises(InputError, match="damaged"):
        looked.add(made()[0])
    assert [path.name for path in tmp_path.iterdir()] == [MEASURES] and (tmp_path / MEASURES).read_bytes() == b"junk"


def test_a_project_that_is_only_looked_at_refuses_in_a_sentence(tmp_path):
    a, b, _ = made()
    Measures(tmp_path).add(a)
    before = (tmp_path / MEASURES).read_bytes()
    looked = Measures(tmp_path, lambda: False)
    assert looked.items == (a,)
    for act in (lambda: looked.add(b), lambda: looked.remove(a.id)):
        with pytest.raises(InputError, match="only be looked at"):
            act()
    assert looked.items == (a,) and (tmp_path / MEASURES).read_bytes() == before


def test_what_could_not_be_written_is_not_kept(tmp_path):
    (tmp_path / "file").write_text("")
    work = Measures(tmp_path / "file" / "case")
    with pytest.raises(InputError, match="could not be made"):
        work.add(made()[0])
    assert work.items == ()


def test_a_length_needs_no_slice():
    scan = oblique()
    start, end = (1.0, 2.0, 3.0), (4.5, 9.0, 12.0)
    assert length(scan, start, end) == pytest.approx(np.linalg.norm(np.subtract(end, start) * scan.grid.spacing))


def test_what_a_structure_comes_to_now_is_told_where_it_is_another_value():
    scan, mask = make_scan(), np.zeros(make_scan().grid.shape, np.uint8)
    mask[2:6, 3:10, 3] = 2
    area = of_structure("area", scan, mask, LESION, 2, 3, "AB")
    other = mask.copy()
    other[8, 8, 3] = 1
    other[2:6, 3:10, 4] = 2
    assert now(area, scan, other) == ""  # another structure, another slice
    other[6, 3:10, 3] = 2
    side = scan.grid.spacing[0] * scan.grid.spacing[1]
    assert now(area, scan, other) == f"{35 * side:.1f} mm²"
    new = again(area, scan, other, "CD")
    assert new.values[0] == pytest.approx(35 * side) and new.id != area.id
    assert (new.structure, new.label, new.axis, new.index, new.reader) == ("lesion", 2, 2, 3, "CD")
    assert now(area, scan, np.zeros_like(mask)) == "not there"
    assert now(area.model_copy(update={"index": 99}), scan, mask) == "not there"
    line = ruler(scan, 2, (1, 1, 3), (4, 5, 3))
    assert now(line, scan, np.zeros_like(mask)) == ""
    with pytest.raises(InputError, match="a mask"):
        again(line, scan, mask)


def test_one_is_replaced_in_its_place_and_changed_back(tmp_path):
    work, (a, b, c) = Measures(tmp_path), made()
    for measure in (a, b):
        work.add(measure)
    work.replace(a.id, c)
    assert read_measures(tmp_path) == (c, b) == work.items
    work.remove(b.id)
    assert work.undo() == b and work.undo() == a and not work.can_undo
    assert read_measures(tmp_path) == (a, b)
    work.replace("of nobody", c)
    work.remove("of nobody")
    assert work.items == (a, b) and not work.can_undo


def test_what_was_written_elsewhere_meanwhile_is_kept_and_said(tmp_path):
    a, b, c = made()
    work, other = Measures(tmp_path), Measures(tmp_path)
    work.add(a)
    assert work.notices == ()
    other.add(b)  # has not seen `a` yet
    assert read_measures(tmp_path) == (a, b) == other.items and "changed elsewhere" in other.notices[-1]
    other.remove(a.id)
    work.add(c)
    assert read_measures(tmp_path) == (b, c) == work.items and "changed elsewhere" in work.notices[-1]
    (tmp_path / MEASURES).write_bytes(b"junk")
    work.remove(b.id)
    assert read_measures(tmp_path) == (c,) and "measures-damaged-1.json" in work.notices[-1]
    assert (tmp_path / "measures-damaged-1.json").read_bytes() == b"junk"
    (tmp_path / MEASURES).unlink()
    assert work.undo() == b
    assert read_measures(tmp_path) == (b, c)
    newer = b'{"format": "napari-morse-measures", "format_version": 2, "measures": {}}'
    (tmp_path / MEASURES).write_bytes(newer)
    for act in (lambda: work.add(a), lambda: work.remove(b.id)):
        with pytest.raises(InputError, match="newer version"):
            act()
    assert work.items == (b, c) and (tmp_path / MEASURES).read_bytes() == newer
