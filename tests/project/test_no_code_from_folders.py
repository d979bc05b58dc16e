"""Nothing that lies in a folder of a person is run: a module of every name is planted, and none may leave a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ast import literal_eval
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from napari_morse import zoo
from napari_morse.session.case.standalone import VARIABLE
from napari_morse.session.learn import Round, prepare_round, rounds
from napari_morse.session.learn.round import process_environment
from tests.project_cases import box
from tests.round_cases import choice, make_study, wait

WATCH = """
import os, sys
def watch(event, args, seen=set()):
    if event == "import":
        now = (args[0].partition(".")[0], os.getcwd(), *sys.path)
        if now not in seen:
            seen.add(now)
            place = os.open({place!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(place, (repr(now) + "\\n").encode())
            os.close(place)
sys.addaudithook(watch)
"""
"""Notes which modules a process looks for, where it stands, and where it looks."""


def names() -> set[str]:
    """Of all modules that could be looked for: Python's own, and those of everything that is installed."""
    ours = {"sitecustomize", "usercustomize", "canary", "tests", "benchmarks", "conftest"}
    return ours | sys.stdlib_module_names | {name for name in packages_distributions() if name.isidentifier()}


def plant(folder: Path, traces: Path) -> None:
    """A module of each name, and other files that make programs run or load something."""
    for name in names():
        (folder / f"{name}.py").write_text(f"open({str(traces / name)!r}, 'w').close()\n")
    (folder / "canary.pth").write_text(f"import os; open({str(traces / 'pth')!r}, 'w').close()\n")
    (folder / "matplotlibrc").write_text("backend: module://canary\n")
    (folder / "libc.so.6").write_text("no library")  # with an empty entry in LD_LIBRARY_PATH nothing would begin
    (folder / "canary-1.dist-info").mkdir()
    (folder / "canary-1.dist-info" / "entry_points.txt").write_text("[napari_morse.backbones]\nx = canary:x\n")


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    (tmp_path / "traces").mkdir()
    return tmp_path / "traces"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_study(tmp_path, monkeypatch, lambda case: box(2 + case))


def folders(study: Path) -> list[Path]:
    """One of every kind."""
    top, loose = study.parent, study.parent / "loose"
    (loose / "0123").mkdir(parents=True)
    (study / "learn" / "round-001" / "predictions").mkdir()
    inside = [study, *(p for p in study.rglob("*") if p.is_dir())]
    return [*inside, top / "in", top / "truth", top / "library", top / "library" / "small", loose, loose / "0123"]


def test_going_on_with_a_round_runs_nothing_that_lies_in_a_folder(study, traces, tmp_path, monkeypatch):
    prepare_round(study, "AB", choice(study))
    planted = folders(study)
    for folder in planted:
        plant(folder, traces)
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH.format(place=str(tmp_path / "watched")))
    mine = [str(tmp_path / "watch"), *(e for e in os.environ.get("PYTHONPATH", "").split(os.pathsep) if e)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", *mine, ".", "learn/round-001", ""]))
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(["", os.environ.get("LD_LIBRARY_PATH", ""), "."]))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "loose"))
    monkeypatch.chdir(study)
    (found,) = rounds(study)
    found.start(resume=True)
    assert wait(found, "done", "stopped", "failed") == "done", (found.folder / "errors.txt").read_text()
    assert [path.name for path in traces.iterdir()] == []
    watched = [literal_eval(line) for line in (tmp_path / "watched").read_text().splitlines()]
    assert {"torch", "monai", "pathlib"} <= {name for name, *_ in watched}  # a real run, and it kept what was absolute
    places = {Path(place) for _, *looked in watched for place in looked}
    assert all(place.is_absolute() for place in places)
    assert not places & {*planted, tmp_path}


def test_what_a_child_inherits(monkeypatch):
    away, kept = ["", ".", "lib", str(Path("..", "x")), "~/lib"], [str(Path("/a").absolute()), str(Path.home())]
    said = process_environment({"PYTHONPATH": os.pathsep.join([*away, *kept, ""]), "HOME": "/h", "PYTHONSAFEPATH": ""})
    assert said == {"PYTHONPATH": os.pathsep.join(kept), "HOME": "/h", "PYTHONSAFEPATH": "1"}
    assert (
        process_environment({"PYTHONPATH": "."}) == process_environment({"PYTHONPATH": ""}) == {"PYTHONSAFEPATH": "1"}
    )
    monkeypatch.chdir(Path.home())
    assert process_environment({zoo.LIBRARY_VARIABLE: "mine"})[zoo.LIBRARY_VARIABLE] == str(Path.home() / "mine")


def test_processes_of_a_child_are_safe_too(traces, tmp_path, monkeypatch):
    """Python begins some of its own (spawned workers) in the folder where it stands, with that folder first."""
    plant(tmp_path, traces)
    code = "import sys, json; print(json.dumps(sys.path))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=process_environment(os.environ | {"PYTHONPATH": ""}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"", str(tmp_path)} & set(json.loads(done.stdout)) and not list(traces.iterdir())


@pytest.mark.parametrize("begun", ["command", "module"])
def test_the_command_runs_nothing_that_lies_where_the_shell_stands(begun, study, traces, tmp_path):
    plant(study, traces)
    script = tmp_path / "bin" / "napari-morse"
    script.parent.mkdir()
    script.write_text("from napari_morse.cli.main import main\nmain()\n")
    words = [str(script)] if begun == "command" else ["-P", "-m", "napari_morse.cli.main"]
    told = subprocess.run(
        [sys.executable, *words, "project", "status", "."], cwd=study, capture_output=True, text=True, check=False
    )
    assert [path.name for path in traces.iterdir()] == []
    assert told.returncode == 0 and "p0_0" in told.stdout, told.stderr


def test_a_round_of_a_project_that_is_named_from_where_one_stands_can_begin(study, monkeypatch):
    monkeypatch.chdir(study.parent)
    wanted = choice(study)
    made = prepare_round(Path(study.name), "AB", wanted)
    assert isinstance(made, Round) and made.folder.is_absolute()
    sources = (*made.plan.train, *made.plan.held_out)
    assert all(path.is_absolute() and path.is_file() for each in sources for path in (each.scan, each.labels))
