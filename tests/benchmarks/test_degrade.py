"""Worse scans, damaged masks and other windows: what is done to them, and what is counted."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.study import bench, degrade, native, rough, tiling
from benchmarks.study.damage import DAMAGES, damaged
from benchmarks.study.degradations import BIAS, INPUT, bias_field, coarser, degraded, noisy
from benchmarks.study.planes import working_axes
from benchmarks.study.sets import SETS
from napari_morse.config import LabelEntry, ModelCard, TrainingData
from napari_morse.inference.engine import coarse_pass
from napari_morse.metrics import score
from napari_morse.types import Grid, Mask, Scan
from napari_morse.zoo import LoadedModel, ModelInfo
from tests.nets import awake, blob, small_net

VOLUME, SLICES = (0, 1, 2), (0, 1)
FIGURES = ("dice", "nsd", "asd", "asd_or_diagonal", "hd95", "hd95_or_diagonal")
KINDS = ("coarse", "one_look", "rendered")


def scan_of(data, affine=None):
    return Scan(data, Grid(data.shape, np.eye(4) if affine is None else affine), "case")


def truth_of(shape=(30, 34, 28)):
    """A ball of label 2 whose lower half is label 1."""
    index = np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2
    mask = (np.sqrt((index**2).sum(0)) <= 9).astype(np.int64) * 2
    mask[: shape[0] // 2][mask[: shape[0] // 2] > 0] = 1
    return mask


def model(dims=3):
    labels = (LabelEntry(id=1, name="a", color="#ff0000"), LabelEntry(id=2, name="b", color="#00ff00"))
    net = awake(small_net(dims, looks=2))
    with torch.no_grad():
        net.backbone.net.output_block.conv.conv.weight.mul_(4)
    card = ModelCard(
        name="small", recipe=net.recipe, labels=labels, spacing=(1.0,) * dims, slice_axis=None if dims == 3 else "S",
        data=TrainingData(name="none", cases=0, licence="CC0"), weights_sha256="0" * 64,
    )  # fmt: skip
    return LoadedModel(ModelInfo("small", Path("small"), card, False), net, "0" * 64)


def test_working_axes_follow_the_patient_and_not_the_file():
    turned = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    assert working_axes(SETS["acdc"], Grid((8, 9, 10), np.eye(4))) == (0, 1)
    assert working_axes(SETS["acdc"], Grid((8, 9, 10), turned)) == (0, 2)
    assert working_axes(SETS["acdc"], Grid((1, 9, 10), turned)) == (1, 2)
    assert working_axes(SETS["hippocampus"], Grid((1, 9, 10), turned)) == (0, 1, 2)


def test_coarser_voxels_keep_a_ramp_and_lose_what_is_finer_than_a_block():
    ramp = np.broadcast_to(np.arange(21, dtype=np.float32)[:, None], (21, 6))
    for factor in (2, 4):
        found = coarser(ramp, {0: factor})
        inner = slice(factor, -factor)
        assert found.shape == ramp.shape and np.allclose(found[inner], ramp[inner], atol=1e-5)
    checks = (np.indices((20, 20)).sum(0) % 2).astype(np.float32)
    assert np.allclose(coarser(checks, {0: 2, 1: 2}), 0.5)
    assert np.array_equal(coarser(checks, {0: 1}), checks)
    assert coarser(checks[:1], {0: 4}).shape == (1, 20)


def test_noise_is_of_the_images_own_spread_and_leaves_its_padding():
    image = np.random.default_rng(0).normal(100, 7, (40, 40, 20)).astype(np.float32)
    image[:10] = 0
    found = noisy(image, 0.5, np.random.default_rng(1))
    assert np.array_equal(found[:10], image[:10]) and (found[10:] > 0).all()
    assert (found - image)[10:].std() == pytest.approx(3.5, rel=0.1)
    flat = np.ones((3, 3), np.float32)
    assert noisy(flat, 1.0, np.random.default_rng(0)) is flat


def test_a_bias_field_is_smooth_reaches_its_bound_and_is_the_same_across_other_axes():
    field = bias_field((40, 50, 5), SLICES, np.random.default_rng(0))
    assert field.shape == (40, 50, 1)
    assert max(field.max(), 1 / field.min()) == pytest.approx(BIAS, rel=1e-5)
    assert max(np.abs(np.diff(np.log(field), axis=axis)).max() for axis in SLICES) < 0.15


@pytest.mark.parametrize("name", INPUT)
def test_a_case_is_made_worse_in_the_same_way_each_time(name):
    scan = scan_of(blob((20, 24, 16)))
    one, again = (degraded(scan, INPUT[name], VOLUME, name).data for _ in range(2))
    assert np.array_equal(one, again) and not np.allclose(one, scan.data, atol=0.05)
    assert not np.array_equal(one, degraded(scan_of(blob((20, 24, 16), 1)), INPUT[name], VOLUME, name).data)


@pytest.mark.parametrize("name", DAMAGES)
def test_damages_move_the_boundary_of_every_structure_but_not_beyond_recognition(name):
    truth = truth_of()
    bad = damaged(truth, VOLUME, name, "case")
    assert np.array_equal(bad, damaged(truth, VOLUME, name, "case")) and set(np.unique(bad)) <= {0, 1, 2}
    for row in score(bad, truth, (1.0, 1.0, 1.0), [1, 2]):
        assert 0.3 < row.asd < 3.0


def test_damages_do_what_they_are_called():
    truth = truth_of()
    size = {name: int((damaged(truth, VOLUME, name, "case") > 0).sum()) for name in DAMAGES}
    assert size["eroded2"] < (truth > 0).sum() < size["dilated2"] < size["dilated3"]
    grown = damaged(truth, VOLUME, "dilated2", "case")
    merged = score(grown, truth, (1.0, 1.0, 1.0), [1, 2])[-1]
    assert 1.5 <= merged.asd <= 2.1
    assert size["shifted"] == (truth > 0).sum()


@pytest.mark.parametrize("name", ["dilated3", "shifted", "smoothed", "staircase", "blobs"])
def test_damages_of_a_2d_model_stay_in_their_slices(name):
    truth = truth_of()
    truth[..., ::2] = 0
    bad = damaged(truth, SLICES, name, "case")
    assert not bad[..., ::2].any() and (bad != truth).any()


def test_the_band_along_a_boundary_is_three_voxels_to_each_side_and_in_the_plane():
    truth = np.zeros((20, 5, 4), np.uint8)
    truth[10:] = 1
    band = tiling.boundary_band(truth, VOLUME)
    assert np.flatnonzero(band.all((1, 2))).tolist() == list(range(7, 13))
    truth[..., 0] = 0
    assert not tiling.boundary_band(truth, SLICES)[..., 0].any()


def test_other_windows_are_whole_divisors_and_given_back():
    predictor = bench.Keeping(model())
    own = predictor.net.recipe
    divisor = predictor.net.backbone.divisor
    with tiling.tiled(predictor, 1.25, 0.5):
        train = predictor.net.recipe.train
        assert train.overlap == 0.5 and all(n % divisor == 0 for n in train.window)
        assert train.window == tuple(round(1.25 * n / divisor) * divisor for n in own.train.window)
    assert predictor.net.recipe is own


def test_a_kept_coarse_pass_is_that_of_the_scan_that_is_set():
    predictor, plain = bench.Keeping(model()), bench.Predictor(model())
    for seed in (0, 1):
        scan = scan_of(blob((20, 24, 16), seed))
        plain.set_scan(scan)
        predictor.set_scan(scan)
        for _ in range(2):
            assert np.array_equal(predictor.predict().coarse.data, plain.predict().coarse.data)


@pytest.mark.parametrize(("spacing", "block"), [(1.0, 4), (0.5, 8)])
def test_a_poor_coarse_pass_changes_what_the_backbone_reads_and_not_what_the_renderer_reads(spacing, block):
    predictor = degrade.PoorCoarse(model())
    scan = scan_of(blob((20, 24, 16)), np.diag([spacing] * 3 + [1]))
    predictor.set_scan(scan)
    ready = predictor._set
    plain = predictor._coarse(ready, None, None, None)
    predictor.factor = 4
    poor = predictor._coarse(ready, None, None, None)
    assert np.array_equal(poor.native.pixels, plain.native.pixels) and np.array_equal(poor.work, plain.work)
    low = coarse_pass(predictor.net, coarser(ready.stack, dict.fromkeys((1, 2, 3), block)), plain.frame)
    assert torch.equal(poor.logits, low.logits) and not torch.allclose(poor.logits, plain.logits, atol=1e-3)


def test_structures_that_a_damage_wiped_out_are_left_out_and_lost_ones_cost_the_diagonal():
    truth = truth_of()
    before = {"voxel": score(np.where(truth == 1, 0, truth), truth, (1.0,) * 3, [1, 2])}
    after = {"voxel": score(np.zeros_like(truth), truth, (1.0,) * 3, [1, 2])}
    given, rendered = rough.paired(before, after)
    assert "1" not in given["voxel"] and given["voxel"]["2"] == 0.0
    assert rendered["voxel"]["2"] == pytest.approx(np.linalg.norm(truth.shape))
    assert given["voxel"]["-1"] == given["voxel"]["2"]


def test_reduction_pools_a_patients_cases():
    def case(patient, old, new):
        return {"patient": patient, "before": {"mm": {"0": old}}, "after": {"mm": {"0": new}}}

    cases = [case("p", 2.0, 1.0), case("p", 4.0, 1.0), case("q", 1.0, 1.0), case("r", None, None)]
    assert rough.reduction(cases, "mm", 0)[:2] == (2.0, 1.0) and rough.reduction(cases, "mm", 0)[3] == 2
    assert rough.reduction(cases[3:], "mm", 0) is None


@pytest.fixture
def one_case(monkeypatch):
    """A set of one case, and its model."""
    truth = truth_of((20, 24, 16)).astype(np.uint8)
    scan = scan_of(blob(truth.shape))
    trained = bench.Trained("hippocampus", "default", 0, "small")
    for module in (degrade, native, rough, tiling):
        monkeypatch.setattr(module, "cases_of", lambda *_: iter([("case", scan, Mask(truth, scan.grid))]))
    for module in (rough, tiling):
        monkeypatch.setattr(module, "asked", lambda _: [trained])
    monkeypatch.setattr(bench.zoo, "load", lambda _: model())
    return trained


def asked_for(tmp_path, **more):
    return argparse.Namespace(data=tmp_path, first=None, out=tmp_path / "report.json", **more)


@pytest.mark.parametrize("module", [rough, tiling], ids=["rough", "tiling"])
def test_reports_are_written_and_not_made_twice(module, one_case, tmp_path, monkeypatch):
    command = module.rough if module is rough else module.tiling
    assert command(asked_for(tmp_path)) == 0
    written = json.loads((tmp_path / "report.json").read_text())
    text = (tmp_path / "report.md").read_text()
    assert len(written["rows"]) == 1 and "hippocampus/default/seed0" in text
    monkeypatch.setattr(module, "cases_of", lambda *_: pytest.fail("was run again"))
    assert command(asked_for(tmp_path)) == 0 and (tmp_path / "report.md").read_text() == text
    with pytest.raises(SystemExit, match="another report"):
        command(argparse.Namespace(**{**vars(asked_for(tmp_path)), "first": 1}))


def test_rendering_is_set_against_the_backbone_alone_and_against_its_own_coarse(one_case, tmp_path):
    given = asked_for(tmp_path, set="hippocampus", fine="small", coarse="small", rounds=2)
    assert native.native(given) == 0
    row = json.loads((tmp_path / "report.json").read_text())["rows"][0]
    assert row["scores"]["fine"] == row["scores"]["coarse"] != row["scores"]["rendered"]
    assert all(len(seconds) == 2 for seconds in row["seconds"].values())
    assert "| fine backbone alone |" in native.times([row]) and "1.000" in native.times([row])


def test_degraded_scans_stand_beside_the_runs_own_scores(one_case, tmp_path, monkeypatch):
    scores = {kind: [{"id": i, **dict.fromkeys(FIGURES, 0.5)} for i in (1, 2, 0)] for kind in KINDS}
    folder = tmp_path / "runs"
    folder.mkdir()
    cases = [{"case": "case", "patient": "case", "scores": scores, "seconds": {}}]
    (folder / "result.json").write_text(json.dumps({"digest": "0", "cases": cases}))
    trained = bench.Trained("hippocampus", "default", 0, folder / "model")
    few = bench.Trained("hippocampus", "default", 0, folder / "model", cases=10)
    monkeypatch.setattr(degrade, "finished", lambda runs, *_: [few] if runs == "few" else [trained])
    given = asked_for(tmp_path, runs="runs", few="few", only=["half", "coarse1/4"], sets=None, arms=None)
    assert degrade.degrade(given) == 0
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [row["degradation"] for row in rows] == ["none", "half", "coarse1/4", "few"]
    assert set(rows[2]["cases"][0]["scores"]) == {"coarse", "one_look"}
    assert degrade.degrade(given) == 0 and json.loads((tmp_path / "report.json").read_text())["rows"] == rows
    (folder / "result.json").write_text(json.dumps({"digest": "1", "cases": cases}))
    assert degrade.degrade(given) == 0
    again = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert len(again) == len(rows) and {row["digest"] for row in again} == {"1"}
    text = (tmp_path / "report.md").read_text()
    assert "input at half resolution | rendered | hippocampus" in text and "trained on few cases" in text


def test_the_summary_counts_the_sets_on_which_a_tenth_goes():
    def row(name, gain):
        cases = [
            {"patient": f"p{k}", "scores": {
                kind: [{"id": i, **dict.fromkeys(FIGURES, v * (1 + k))} for i in (1, 0)]
                for kind, v in (("coarse", 1.0), ("one_look", 1.0), ("rendered", 1 - gain))
            }}
            for k in range(6)
        ]  # fmt: skip
        return {"set": name, "arm": "default", "seed": 0, "degradation": "half", "cases": cases}

    text = degrade.summary(degrade.grouped([row("acdc", 0.12), row("hippocampus", 0.05)]))
    assert "acdc -12.0 % (p 0.031); hippocampus -5.0 % (p 0.031) | 1 of 2" in text
