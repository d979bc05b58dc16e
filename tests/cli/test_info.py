"""``napari-morse info`` says what a scan is, and one plain sentence where it is none."""

from __future__ import annotations

import json
import sys

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_morse.cli import main as command
from tests.faults import AFFINE, FAULTS, Fault, fault, healthy, image, oddity, voxels


def run(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["napari-morse", "info", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_table(tmp_path, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, healthy(tmp_path))
    assert (code, err) == (0, "")
    for said in ("scan.nii.gz", "12 × 14 × 10 voxels", "1.5 × 2 × 3 mm", "LAS", "(int16)", "1680 of 1680"):
        assert said in out
    assert "oblique" not in out


def test_json(tmp_path, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, oddity("some_nan").make(tmp_path), "--json")
    facts = json.loads(out)
    data = voxels(dtype=np.float32)
    data[0, 0] = np.nan
    assert code == 0
    assert facts["shape"] == [12, 14, 10]
    assert facts["spacing_mm"] == [1.5, 2.0, 3.0]
    assert facts["codes"] == "LAS"
    assert (facts["voxels"], facts["finite"]) == (1680, 1670)
    assert (facts["minimum"], facts["maximum"]) == (np.nanmin(data), np.nanmax(data))
    assert any("not finite" in notice for notice in facts["notices"])


def test_oblique(tmp_path, monkeypatch, capsys):
    angle = np.radians(17)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    path = healthy(tmp_path, affine=turn @ AFFINE)
    assert "up to 17.0° oblique" in run(monkeypatch, capsys, path)[1]


def test_series_and_picture(tmp_path, monkeypatch, capsys):
    series = healthy(tmp_path, "series.nii.gz", data=voxels((5, 6, 7, 3)))
    code, out, _ = run(monkeypatch, capsys, series, "--frame", "2", "--json")
    assert (code, json.loads(out)["frame"]) == (0, 2)
    assert "frame" in run(monkeypatch, capsys, series, "--frame", "1")[1]
    picture = tmp_path / "slice.png"
    Image.fromarray(np.eye(8, 9, dtype=np.uint8)).save(picture)
    out = run(monkeypatch, capsys, picture)[1]
    for said in ("8 × 9 pixels", "not known", "1 mm was assumed"):
        assert said in " ".join(out.split())


def test_no_text_of_the_header_is_shown(tmp_path, monkeypatch, capsys):
    made = image()
    made.header["descrip"] = b"DOE^JANE"
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    path = tmp_path / "scan.nii.gz"
    made.to_filename(path)
    for option in ((), ("--json",)):
        assert "DOE" not in run(monkeypatch, capsys, path, *option)[1]


@pytest.mark.parametrize("bad", [f for f in FAULTS if f.number != 6] + [fault("bomb_behind_small_header")], ids=str)
def test_faults_end_in_one_sentence(bad: Fault, tmp_path, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, bad.make(tmp_path))
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert bad.words[0] in err
