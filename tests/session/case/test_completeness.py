"""What a mask lacks when it is said to be right: nothing read that is not needed, nothing taken for there."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_morse.errors import CancelledError
from napari_morse.io import open_scan
from napari_morse.io.mask_store import StoredMask, pixel_digest, save_store
from napari_morse.session.case.completeness import Expected, Lacking, expected_of, lacking, lacking_in
from napari_morse.session.case.prediction_store import keep_prediction, record_of
from napari_morse.session.edits import Corrections
from napari_morse.session.project import CaseFiles, Project
from tests.fakes import make_prediction
from tests.project_cases import SHAPE, box, nifti

ONE, TWO = Expected(1, "anterior", 1.25), Expected(2, "posterior", 0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_one_voxel_anywhere_is_seen_and_none_is_not(dtype, order):
    shape = (40, 33, 17)
    mask = np.zeros((80, 33, 17), dtype)[::2] if order == "strided" else np.zeros(shape, dtype, order=order)
    assert lacking(mask) == Lacking(True) and lacking(mask, [ONE]) == Lacking(True, (ONE,))
    for place in ((0, 0, 0), (39, 32, 16), (20, 1, 5)):
        mask[place] = 2
        assert not lacking(mask) and not lacking(mask, [TWO]) and lacking(mask, [ONE, TWO]) == Lacking(False, (ONE,))
        mask[place] = 0
    assert lacking(None, [TWO]) == Lacking(True, (TWO,))


def test_the_answer_is_that_of_plain_numpy_on_random_masks_over_several_slabs(monkeypatch):
    monkeypatch.setattr("napari_morse.session.case.completeness._SLAB", 50)
    rng = np.random.default_rng(0)
    expected = [Expected(number, str(number), 1.0) for number in range(1, 6)]
    for _ in range(200):
        mask = rng.integers(0, 7, (6, 7, 8)) * (rng.random((6, 7, 8)) < rng.choice([0, 0.004, 0.02, 0.5]))
        found = lacking(mask, expected)
        assert found.empty == (not mask.any())
        assert [each.id for each in found.missing] == [n for n in range(1, 6) if n not in mask]


def test_sentences_name_what_the_model_found():
    assert Lacking().sentence == "" and not Lacking()
    assert Lacking(True).sentence == "The mask is empty."
    assert "empty" in Lacking(True, (ONE,)).sentence and "anterior (1.25 ml)" in Lacking(True, (ONE,)).sentence
    assert Lacking(False, (ONE, TWO)).sentence.endswith("anterior (1.25 ml), posterior (0.50 ml).")
    assert "no right" in Lacking(trouble="no right").sentence


def test_expected_is_what_the_last_run_found_by_its_names():
    sizes = {"anterior": 1.0, "posterior": 0.0, "gone": 2.0}
    labels = [(2, "posterior"), (1, "anterior"), (1, "anterior"), (7, "other")]
    assert expected_of(sizes, labels) == (Expected(1, "anterior", 1.0),)


@pytest.mark.alone
def test_a_volume_of_a_clinic_is_looked_at_within_the_blink_of_a_window():
    mask = np.ones((512, 512, 300), np.uint8)
    mask[:] = 0
    expected = [Expected(number, str(number), 1.0) for number in range(1, 5)]
    began = time.perf_counter()
    assert lacking(mask, expected).empty
    mask[200:300, 200:300, 100:200] = 9
    assert len(lacking(mask, expected).missing) == 4
    assert time.perf_counter() - began < 0.2  # both; each has 0.1 s


def project_of(tmp_path, count=5):
    for number in range(count):
        nifti(tmp_path / "scans" / f"c{number}.nii.gz", np.full(SHAPE, 10 + number, np.float32))
    found = [CaseFiles(path) for path in sorted((tmp_path / "scans").iterdir())]
    return Project.create(tmp_path / "study", found, name="s", reader="AB", holdout_share=0)


def test_masks_on_the_disk_are_looked_at_as_an_export_would_take_them(tmp_path):
    with project_of(tmp_path) as project:
        cases = project.cases()
        predicted = open_scan(project.scan_of("c1"))
        said = make_prediction(predicted, radius=(3.0, 3.0))
        keep_prediction(said, pixel_digest(predicted.data), project.folder_of("c1"))
        for case in ("c1", "c2"):
            project.record_prediction(case, record_of(said, predicted))
        save(project, "c0", np.zeros(SHAPE, np.uint8))  # opened, nothing drawn
        corrected(project, "c2", box())  # of label 1; posterior is label 2
        keep_prediction(said, pixel_digest(open_scan(project.scan_of("c2")).data), project.folder_of("c2"))
        corrected(project, "c3", box())
        (project.folder_of("c4") / "corrected.zarr.zip").write_bytes(b"no zip")
        cases = project.cases()
    steps = []
    told = [case.id for case in cases]
    found = lacking_in(tmp_path / "study", "AB", cases, told, steps.append, lambda: False)
    assert set(found) == {"c0", "c2", "c4"} and steps == [0, 1, 2, 3, 4]
    assert found["c0"].empty and not found["c0"].missing
    assert not found["c2"].empty and [each.name for each in found["c2"].missing] == ["posterior"]
    assert "damaged" in found["c4"].trouble
    silent = lacking_in(tmp_path / "study", "AB", cases, (), steps.append, lambda: False)
    assert set(silent) == {"c0", "c4"}  # of nothing that a model found may be told
    with pytest.raises(CancelledError):
        lacking_in(tmp_path / "study", "AB", cases, told, steps.append, lambda: True)


def save(project, case, mask):
    save_store(StoredMask(mask, b"", {"scan": "x", "saved": 0}), project.folder_of(case) / "corrected.zarr.zip")


def corrected(project, case, mask):
    digest = pixel_digest(open_scan(project.scan_of(case)).data)
    made = Corrections.open(project.folder_of(case), np.zeros(SHAPE, np.uint8), digest)
    made.apply(np.flatnonzero(mask), mask.ravel()[np.flatnonzero(mask)], "drawn")
    made.checkpoint()
