"""``finetune`` and ``models compare``: from folders to a model with a verdict, and every wrong word in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from napari_morse import zoo
from napari_morse.cli.main import main
from napari_morse.training.finetuning.plan import Plan
from napari_morse.training.source import digests
from tests.tuning_cases import save_case, save_small_model


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_MORSE_MODELS", str(tmp_path / "library"))
    save_small_model(tmp_path / "library" / "small")
    for number in range(5):
        save_case(tmp_path, number)
    (tmp_path / "hold.txt").write_text("case3\ncase4.nii.gz\n")
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["napari-morse", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    out = capsys.readouterr()
    return int(left.value.code or 0), " ".join((out.out + out.err).split())


def words(folder: Path, out: str = "new", **more: object) -> list[object]:
    told = {"--model": "small", "--images": folder / "images", "--labels": folder / "labels",
            "--holdout": folder / "hold.txt", "--out": folder / out, "--steps": 4, **more}  # fmt: skip
    return ["finetune", *(word for pair in told.items() if pair[1] is not None for word in pair)]


def test_a_model_comes_out_with_its_verdict_which_can_be_worked_out_again(given, monkeypatch, capsys):
    code, said = call(monkeypatch, capsys, *words(given))
    assert code == 0 and "The new model is not better" in said and "case3" in said
    card = zoo.find(given / "new").card
    assert card.tuned is not None and len(card.tuned.trained) == 3 and len(card.tuned.held_out) == 2
    assert zoo.load(given / "new").digest in (given / "new.run" / "verdict.json").read_text()
    code, said = call(monkeypatch, capsys, "models", given / "new")
    assert code == 0 and "3 trained on, 2 held out" in said and "is not better" in said
    code, said = call(monkeypatch, capsys, "models", "compare", given / "new.run")
    assert code == 0 and "This is the verdict that the run gave" in said
    verdict = given / "new.run" / "verdict.json"
    verdict.write_text(verdict.read_text().replace("is not better", "seems better").replace('"dice": 0.', '"dice": 1.'))
    code, said = call(monkeypatch, capsys, "models", "compare", given / "new.run")
    assert code == 2 and "is another one" in said


def test_what_judged_once_never_trains_in_a_later_round(given, monkeypatch, capsys):
    assert call(monkeypatch, capsys, *words(given))[0] == 0
    (given / "hold.txt").write_text("case0\n")
    code, said = call(monkeypatch, capsys, *words(given, "later", **{"--model": given / "new"}))
    assert code == 2 and "case3 judges the model" in said
    assert not (given / "later").exists()


def test_every_fifth_case_is_held_out_when_nobody_says(given, monkeypatch, capsys):
    code, _ = call(monkeypatch, capsys, *words(given, **{"--holdout": None}))
    card = zoo.find(given / "new").card
    assert code == 0 and len(card.tuned.trained) == 4 and len(card.tuned.held_out) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"--what": "legs"}, "nothing that can be trained"),
        ({"--minutes": "nan"}, "no time"),
        ({"--minutes": 0}, "no time"),
        ({"--model": "nobody"}, "There is no model"),
        ({"--images": "nowhere"}, "is not a folder"),
        ({"--holdout": "nowhere.txt"}, "cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_first(given, monkeypatch, capsys, changes, why):
    code, said = call(monkeypatch, capsys, *words(given, **changes))
    assert code == 2 and why in said and not (given / "new.run").exists()


def test_a_run_is_neither_begun_twice_nor_resumed_as_another(given, monkeypatch, capsys):
    assert call(monkeypatch, capsys, *words(given))[0] == 0
    code, said = call(monkeypatch, capsys, *words(given))
    assert code == 2 and "exists already" in said
    __import__("shutil").rmtree(given / "new")
    code, said = call(monkeypatch, capsys, *words(given))
    assert code == 2 and "holds a run already" in said
    code, said = call(monkeypatch, capsys, *words(given, **{"--seed": 5}), "--resume")
    assert code == 2 and "other settings" in said


def test_a_list_that_names_nobody_or_everybody_is_refused(given, monkeypatch, capsys):
    (given / "hold.txt").write_text("case9\n")
    code, said = call(monkeypatch, capsys, *words(given))
    assert code == 2 and "'case9'" in said
    (given / "hold.txt").write_text("".join(f"case{n}\n" for n in range(5)))
    code, said = call(monkeypatch, capsys, *words(given))
    assert code == 2 and "All cases are held out" in said


def test_a_run_that_was_stopped_goes_on_with_the_steps_that_it_had(given, monkeypatch, capsys):
    from napari_morse.training.engine import Engine

    real = Engine.step

    def step(self, number, *rest):
        if self.schedule.steps < 10**6 and number == 6:  # the trial steps have a million
            raise KeyboardInterrupt
        return real(self, number, *rest)

    monkeypatch.setattr(Engine, "step", step)
    timed = words(given, **{"--steps": None, "--minutes": 0.02})
    assert call(monkeypatch, capsys, *timed)[0] == 130 and not (given / "new").exists()
    monkeypatch.setattr(Engine, "step", real)
    steps = Plan.read(given / "new.run").settings.steps
    assert steps >= 10
    code, _ = call(monkeypatch, capsys, *timed, "--resume")
    assert code == 0 and zoo.find(given / "new").card.tuned.settings["steps"] == steps


def test_each_case_is_judged_by_a_model_that_never_saw_it(given, monkeypatch, capsys):
    code, said = call(monkeypatch, capsys, *words(given), "--leave-one-out")
    assert code == 0 and "3 cases, each left out in turn" in said and "case0" in said
    for name in ("case0", "case1", "case2"):
        card = zoo.find(given / "new.run" / "left-out" / name / "model").card
        plan = Plan.read(given / "new.run")
        (own,) = digests([source for source in plan.train if source.name == name])
        assert own not in card.tuned.trained and len(card.tuned.trained) == 2
    assert call(monkeypatch, capsys, "models", "compare", given / "new.run")[0] == 0
