"""The study's own arithmetic: which runs are left to do, how patients and seeds are pooled, what the tables say."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.study.arms import ARMS, recipe_of
from benchmarks.study.plots import plot
from benchmarks.study.queue import run_all, said
from benchmarks.study.results import MEAN, Side, by_patient, compare, load_results, missed, over_seeds
from benchmarks.study.sets import SETS, patient_of, split_of
from benchmarks.study.spec import RESULT, Spec, all_specs, standing
from benchmarks.study.tables import not_worse, rows, section, write_tables
from napari_morse.training.recipes import RECIPES

SPEC = Spec("acdc", "default", 0, minutes=1.0)


def row(label, dice, asd, lost=False):
    distances = {"hd95": None if lost else 2 * asd, "asd": None if lost else asd}
    diagonal = {"hd95_or_diagonal": 100.0 if lost else 2 * asd, "asd_or_diagonal": 100.0 if lost else asd}
    return {"id": label, "dice": dice, "nsd": dice, "missed": lost, **distances, **diagonal}


def case(patient, number, coarse, rendered):
    """A case with two structures; ``coarse`` and ``rendered`` are (dice, asd) of the first, the second is worse."""
    scores = {
        kind: [row(1, *values), row(2, values[0] - 0.2, values[1] + 1), row(0, *values)]
        for kind, values in (("coarse", coarse), ("one_look", rendered), ("rendered", rendered))
    }
    seconds = {"coarse": 0.1, "render": 0.02, "render_one_look": 0.01, "prepare": 0.01}
    return {"case": f"{patient}_{number}", "patient": patient, "scores": scores, "seconds": seconds}


def result(arm, seed, gain, patients=8):
    rng = np.random.default_rng((seed, len(arm)))
    cases = []
    for patient in range(patients):
        base = (0.8 + 0.01 * patient + 0.001 * rng.random(), 1.0)
        better = (base[0] + gain, base[1] - gain)
        cases += [case(f"p{patient}", number, base, better) for number in range(1 + patient % 2)]
    recipe = {"render": {"looks": 2}, "train": {"stage_one": 1.0 if arm == "alone" else 0.6}}
    training = {"iterations": 10, "seconds": 60, "cpu_seconds": 59, "train_cases": 4}
    return {
        "spec": {"set": "acdc", "arm": arm, "seed": seed, "minutes": 1.0, "iterations": None, "clock": "wall",
                 "cases": None},
        "recipe": recipe, "training": training, "unit": "voxel", "labels": {"1": "a", "2": "b"}, "cases": cases,
        "parameters": {"backbone": 1000, "renderer": 100}, "peak_rss_mb": 500.0, "commit": "0123456789",
        "changed": False, "machine": {"processor": "P", "threads": 1},
    }  # fmt: skip


@pytest.fixture
def arms():
    return {
        "alone": {seed: result("alone", seed, 0.0) for seed in (0, 1)},
        "default": {seed: result("default", seed, 0.02) for seed in (0, 1, 2)},
    }


def test_a_queue_skips_what_is_finished_goes_on_after_a_failure_and_takes_up_what_was_begun(tmp_path):
    specs = all_specs(["acdc"], ["alone", "default"], [0, 1], {"minutes": 1.0}, None, ())
    assert [s.name for s in specs[:2]] == ["acdc/alone/seed0", "acdc/default/seed0"]
    begun = []

    def start(folder):
        begun.append(folder.relative_to(tmp_path).as_posix())
        if begun[-1] == "acdc/alone/seed0":
            return False
        (folder / RESULT).write_text("{}")
        return True

    first = run_all(specs, tmp_path, 1, start)
    assert first["failed"] == ["acdc/alone/seed0"] and len(first["finished"]) == 3
    assert "acdc/alone/seed0/log.txt" in said(first, tmp_path)
    assert standing(specs[0], tmp_path) == "begun"
    begun.clear()
    second = run_all(specs, tmp_path, 2, start)
    assert begun == ["acdc/alone/seed0"] and len(second["skipped"]) == 3


def test_a_run_with_other_settings_is_neither_skipped_nor_written_over(tmp_path):
    SPEC.write(tmp_path / SPEC.name)
    other = replace(SPEC, minutes=2.0)
    assert standing(SPEC, tmp_path) == "begun" and standing(other, tmp_path) == "other"
    ended = run_all([other], tmp_path, 1, lambda folder: pytest.fail("was started"))
    assert ended["other"] == [other.name] and Spec.read(tmp_path / SPEC.name) == SPEC


def test_a_working_grid_of_its_own_is_another_setting_and_older_runs_have_none(tmp_path):
    fine = replace(SPEC, spacing=(0.625, 0.625, 0.625), changes=("train.batch=1",))
    fine.write(tmp_path / "fine")
    assert Spec.read(tmp_path / "fine") == fine != replace(fine, spacing=None)
    SPEC.write(tmp_path / "old")
    held = json.loads((tmp_path / "old/spec.json").read_text())
    del held["spacing"]
    (tmp_path / "old/spec.json").write_text(json.dumps(held))
    assert Spec.read(tmp_path / "old") == SPEC


def test_few_cases_have_their_own_folder():
    assert replace(SPEC, cases=10).name == "acdc/default-cases10/seed0"


def test_cases_are_cut_down_evenly_and_val_to_the_sets_number(tmp_path):
    written = {"train": [f"p{k}" for k in range(70)], "val": [f"v{k}" for k in range(9)], "test": ["t"]}
    (tmp_path / "splits.json").write_text(json.dumps(written))
    chosen = split_of(tmp_path, SETS["acdc"], 10)
    assert chosen == {"train": [f"p{7 * k}" for k in range(10)], "val": ["v0", "v1", "v2", "v3"], "test": ["t"]}
    assert split_of(tmp_path, SETS["acdc"], None)["train"] == written["train"]


def test_patients():
    assert patient_of(SETS["acdc"], "patient002_frame01") == "patient002"
    assert patient_of(SETS["hippocampus"], "hippocampus_001") == "hippocampus_001"


@pytest.mark.parametrize("chosen", SETS.values(), ids=list(SETS))
def test_every_arm_of_a_known_recipe_fits_every_set(chosen):
    known = [arm for arm in ARMS.values() if f"{arm.recipe}-{chosen.dims}d" in RECIPES]
    assert {"alone", "default"} <= {name for name, arm in ARMS.items() if arm in known}
    for arm in known:
        recipe = recipe_of(arm, chosen, ("train.batch=3",))
        assert recipe.train.batch == 3 and recipe.backbone == recipe_of(ARMS["alone"], chosen, ()).backbone


def test_a_patients_cases_are_averaged_before_patients_are(arms):
    one = arms["default"][0]
    values = by_patient(one, "coarse", "dice", 1)
    pair = [c["scores"]["coarse"][0]["dice"] for c in one["cases"] if c["patient"] == "p1"]
    assert len(values) == 8 and len(pair) == 2 and values["p1"] == pytest.approx(np.mean(pair))


def test_missed_structures_count_in_the_diagonal_but_not_in_the_plain_distance(arms):
    one = arms["default"][0]
    one["cases"] = [case("p", 0, (0.8, 1.0), (0.8, 1.0))]
    one["cases"][0]["scores"]["rendered"][1] = row(2, 0.0, 0.0, lost=True)
    assert missed(one, "rendered", MEAN) == 1 and missed(one, "coarse", MEAN) == 0
    assert by_patient(one, "rendered", "asd", MEAN) == {"p": 1.0}
    assert by_patient(one, "rendered", "asd_or_diagonal", MEAN) == {"p": pytest.approx(50.5)}


def test_mean_and_deviation_over_seeds(arms):
    middle, deviation = over_seeds(arms["default"], "coarse", "dice", 1)
    each = [np.mean(list(by_patient(r, "coarse", "dice", 1).values())) for r in arms["default"].values()]
    assert middle == pytest.approx(np.mean(each)) and deviation == pytest.approx(np.std(each, ddof=1))
    assert over_seeds({0: arms["default"][0]}, "coarse", "dice", 1)[1] is None


def test_the_paired_test_pools_the_seeds_that_both_arms_have(arms):
    sides = Side("default", "rendered"), Side("alone", "coarse")
    found = compare(arms, *sides, "dice", MEAN)
    assert (found.patients, found.seeds) == (8, 2)
    means = [
        np.mean([list(by_patient(arms[s.arm][seed], s.kind, "dice", MEAN).values()) for seed in (0, 1)], axis=0)
        for s in sides
    ]
    assert found.difference == pytest.approx((means[0] - means[1]).mean())
    assert found.p == pytest.approx(stats.wilcoxon(means[0] - means[1]).pvalue)
    assert found.p == pytest.approx(2 / 2**8)


def test_nothing_that_differs_has_a_p_of_one(arms):
    assert compare(arms, Side("alone", "rendered"), Side("alone", "coarse"), "dice", MEAN).p == 1.0


def test_not_worse_names_both_margins(arms):
    assert not_worse(arms).count("| yes |") == 2
    worse = {**arms, "default": {0: result("default", 0, -0.01)}}
    assert not_worse(worse).count("**no**") == 2
    only_asd = {**arms, "default": {0: result("default", 0, 0.0)}}
    for entry in only_asd["default"][0]["cases"]:
        for line in entry["scores"]["rendered"]:
            line["asd_or_diagonal"] *= 1.05
    assert not_worse(only_asd).count("**no**") == 2


def test_a_section_shows_every_mask_once(arms):
    assert [str(side) for side in rows(arms)] == [
        "alone coarse", "alone rendered", "default coarse", "default one look", "default rendered",
    ]  # fmt: skip
    text = section("acdc", arms)
    assert "### acdc, merged" in text and "default rendered − alone rendered" in text
    assert "1 minutes of wall time" in text and "unit voxel" in text
    assert len({line.count("|") for line in text.splitlines() if "| default |" in line or "| alone |" in line}) <= 2


def test_tables_and_plots_from_a_folder(tmp_path, arms, capsys):
    for arm, seeds in arms.items():
        for seed, one in seeds.items():
            folder = tmp_path / f"runs/acdc/{arm}/seed{seed}"
            folder.mkdir(parents=True)
            (folder / RESULT).write_text(json.dumps(one))
    found = load_results(tmp_path / "runs")
    assert found["acdc"] == arms
    assert write_tables(found, tmp_path / "study.md", structures=True) == 0
    text = (tmp_path / "study.md").read_text()
    assert "### acdc, b" in text and "study-acdc.svg" in text
    drawn = (tmp_path / "study-acdc.svg").read_text()
    assert drawn == plot("acdc", arms) and drawn.count("<circle") == 3 * 5
    assert write_tables({}, None, structures=False) == 1 and "no finished run" in capsys.readouterr().out
