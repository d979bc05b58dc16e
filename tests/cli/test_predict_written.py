"""``predict`` into a folder that holds something: only its own, unchanged output of that very scan is replaced."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_morse.cli.main import main
from napari_morse.errors import InputError
from napari_morse.inference import Predictor, written_files
from napari_morse.io import open_mask, save_image, save_mask
from napari_morse.io.weights import save_model
from napari_morse.types import Grid, Mask, Prediction
from tests.fakes import make_prediction, make_scan
from tests.inference.test_inference import model
from tests.nets import blob

SHAPE = (20, 18, 12)
ENDINGS = ("_coarse.nii.gz", "_rendered.nii.gz", "_points.csv", "_patches.csv")
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for dims in (2, 3):
        small = model(dims, name=f"small-{dims}d")
        save_model(folder / f"small-{dims}d", small.card, small.net.tensors())
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cases that a model was run on."""
    found: list[str] = []
    usual = Predictor.predict

    def predict(self: Predictor, *words: object, **more: object) -> Prediction:
        found.append(self.ready.scan.stem)
        return usual(self, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "predict", predict)
    return found


@pytest.fixture
def run(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: list[str]
) -> Run:
    """``predict`` of some inputs into ``tmp_path / "out"``: exit code and what was said on stderr."""

    def predict(*words: object, model: str = "small-3d", out: Path | None = None) -> tuple[int, str]:
        asked.clear()
        command = ["napari-morse", "predict", *map(str, words), "--model", str(models / model)]
        monkeypatch.setattr(sys, "argv", [*command, "--out", str(out or tmp_path / "out")])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), capsys.readouterr().err

    return predict


def scan(path: Path, seed: int = 0, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_image(blob(SHAPE, seed), Grid(SHAPE, np.eye(4) if affine is None else affine), path)  # type: ignore[return-value]


def corrected(path: Path) -> bytes:
    """A mask, after somebody painted a voxel of it."""
    mask = open_mask(path)
    data = mask.data.copy()
    data[3, 3, 3] = 1 - data[3, 3, 3]
    save_mask(Mask(data, mask.grid, header=mask.header), path)
    return path.read_bytes()


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_mask_corrected_by_hand_is_not_written_over(tmp_path: Path, run: Run, asked: list[str]) -> None:
    for number, name in enumerate("abc"):
        scan(tmp_path / "in" / f"{name}.nii.gz", number)
    assert run(tmp_path / "in")[0] == 0
    corrected(tmp_path / "out" / "b_rendered.nii.gz")
    before = content(tmp_path / "out")
    code, said = run(tmp_path / "in")
    assert (code, asked) == (1, ["a", "c"])
    assert content(tmp_path / "out") == before
    assert said.count("\n") == 1 and said.startswith("Error: b.nii.gz: “b_rendered.nii.gz” in ")
    assert "was changed since it was written" in said and "--replace" in said and "--out" in said
    code, said = run(tmp_path / "in" / "b.nii.gz")
    assert (code, asked) == (2, []) and content(tmp_path / "out") == before
    assert run(tmp_path / "in", out=tmp_path / "elsewhere")[0] == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_file_of_a_result_is_somebodys_once_it_was_changed(
    ending: str, tmp_path: Path, run: Run, asked: list[str]
) -> None:
    path = scan(tmp_path / "a.nii.gz")
    run(path)
    target = tmp_path / "out" / f"a{ending}"
    target.write_bytes(target.read_bytes()[:-1])
    before = content(tmp_path / "out")
    code, said = run(path)
    assert (code, asked) == (2, []) and target.name in said and content(tmp_path / "out") == before


@pytest.mark.parametrize("ending", ["_coarse.png", "_rendered.png", "_rendered.nii.gz"])
def test_masks_of_pictures_too(ending: str, tmp_path: Path, run: Run, asked: list[str]) -> None:
    levels = np.clip(blob((40, 30)) * 60 + 60, 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "slice.png")
    assert run(tmp_path / "slice.png", model="small-2d")[0] == 0
    assert run(tmp_path / "slice.png", model="small-2d")[0] == 0
    target = tmp_path / "out" / f"slice{ending}"
    target.write_bytes(target.read_bytes() + b" ")
    code, said = run(tmp_path / "slice.png", model="small-2d")
    assert (code, asked) == (2, []) and target.name in said


def test_its_own_unchanged_output_is_replaced(tmp_path: Path, run: Run, models: Path) -> None:
    """After a touch, a move of the folder, a move of one case's files, and for the scan in another file."""
    path, out = scan(tmp_path / "in" / "a.nii.gz"), tmp_path / "out"
    assert run(path)[0] == 0
    before = content(out)
    for file in out.iterdir():
        os.utime(file, (1, 1))
    out.rename(tmp_path / "moved")
    assert run(path, out=tmp_path / "moved")[0] == 0
    (tmp_path / "one").mkdir()
    for file in (tmp_path / "moved").glob("a_*"):
        file.rename(tmp_path / "one" / file.name)
    again = scan(tmp_path / "other" / "a.nii")
    assert run(again, out=tmp_path / "one") == (0, "")
    assert content(tmp_path / "one") == before


def test_what_was_changed_and_changed_back_is_its_own(tmp_path: Path, run: Run) -> None:
    path = scan(tmp_path / "a.nii.gz")
    run(path)
    target = tmp_path / "out" / "a_rendered.nii.gz"
    before = target.read_bytes()
    corrected(target)
    target.write_bytes(before)
    assert run(path)[0] == 0


def other_voxels(folder: Path) -> Path:
    return scan(folder / "a.nii.gz", 7)


def other_file_kind(folder: Path) -> Path:
    return scan(folder / "a.nii", 7)


def other_place(folder: Path) -> Path:
    return scan(folder / "a.nii.gz", 0, np.diag([-1.0, 1, 1, 1]))


def one_voxel(folder: Path) -> Path:
    data = blob(SHAPE, 0)
    data[0, 0, 0] += 1e-3
    folder.mkdir()
    return save_image(data, Grid(SHAPE, np.eye(4)), folder / "a.nii.gz")  # type: ignore[return-value]


@pytest.mark.parametrize("other", [other_voxels, other_file_kind, other_place, one_voxel])
def test_another_scan_of_that_name_does_not_take_its_place(
    other: Callable[[Path], Path], tmp_path: Path, run: Run, asked: list[str]
) -> None:
    run(scan(tmp_path / "first" / "a.nii.gz"))
    before = content(tmp_path / "out")
    code, said = run(other(tmp_path / "second"))
    assert (code, asked) == (2, []) and "another scan" in said and "“a_rendered.nii.gz”" in said
    assert content(tmp_path / "out") == before


def test_another_patient_whose_masks_are_the_same_bytes_is_another_patient(tmp_path: Path, run: Run) -> None:
    """Scans without contrast give empty masks."""
    for level in (5, 7):
        (tmp_path / str(level)).mkdir()
        save_image(np.full(SHAPE, level, np.int16), Grid(SHAPE, np.eye(4)), tmp_path / str(level) / "a.nii.gz")
    assert run(tmp_path / "5")[0] == 0
    code, said = run(tmp_path / "7")
    assert code == 2 and "another scan" in said


def test_another_frame_of_a_series_is_another_scan(tmp_path: Path, run: Run) -> None:
    series = np.stack([blob(SHAPE, 0), blob(SHAPE, 1)], axis=-1)
    nibabel.save(nibabel.Nifti1Image(series, np.eye(4)), tmp_path / "a.nii.gz")
    assert run(tmp_path / "a.nii.gz", "--frame", 0)[0] == 0
    code, said = run(tmp_path / "a.nii.gz", "--frame", 1)
    assert code == 2 and "another scan" in said


def test_files_that_nothing_is_known_of_are_somebodys(tmp_path: Path, run: Run, asked: list[str]) -> None:
    path, out = scan(tmp_path / "in" / "a.nii.gz"), tmp_path / "out"
    run(path)
    (out / "a_written.json").unlink()
    before = content(out)
    code, said = run(path)
    assert (code, asked) == (2, []) and content(out) == before
    assert "“a_rendered.nii.gz” (and 3 more)" in said and "nothing says that it was predicted" in said


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": "napari-morse-written", "format_version": 2}', "x" * 2_000_000, "[" * 100_000,
     '{"scan": "' + "0" * 64 + '"}'],
    ids=["empty", "cut", "list", "null", "newer", "large", "deep", "few"],
)  # fmt: skip
def test_a_memory_that_cannot_be_read_knows_nothing(text: str, tmp_path: Path, run: Run, asked: list[str]) -> None:
    path, out = scan(tmp_path / "in" / "a.nii.gz"), tmp_path / "out"
    run(path)
    (out / "a_written.json").write_text(text)
    before = content(out)
    code, said = run(path)
    assert (code, asked) == (2, []) and content(out) == before and said.count("\n") == 1
    for ending in ENDINGS:
        (out / f"a{ending}").unlink()
    code, said = run(path)  # it may be anything of anybody's
    assert (code, asked) == (2, []) and "a_written.json" in said
    assert run(path, "--replace")[0] == 0 and run(path)[0] == 0


def test_a_file_that_somebody_protects_is_left_alone(tmp_path: Path, run: Run, asked: list[str]) -> None:
    path, target = scan(tmp_path / "in" / "a.nii.gz"), tmp_path / "out" / "a_rendered.nii.gz"
    run(path)
    target.chmod(0o444)
    code, said = run(path)
    assert (code, asked) == (2, []) and "“a_rendered.nii.gz”" in said and "is write-protected" in said
    target.chmod(0o644)
    assert run(path)[0] == 0


def test_a_file_that_cannot_be_read_is_left_alone(
    tmp_path: Path, run: Run, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scan(tmp_path / "in" / "a.nii.gz")
    run(path)
    opened = Path.open

    def refuse(self: Path, *words: Any, **more: Any) -> Any:
        if self.name == "a_points.csv":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *words, **more)

    monkeypatch.setattr(Path, "open", refuse)
    code, said = run(path)
    assert (code, asked) == (2, []) and "“a_points.csv”" in said and "cannot be read: Permission denied" in said


def test_an_original_scan_that_is_named_as_a_result_is_left_alone(tmp_path: Path, run: Run, asked: list[str]) -> None:
    """Masks are written beside the scans, one of which has such a name."""
    path, other = scan(tmp_path / "out" / "x.nii.gz"), scan(tmp_path / "out" / "x_rendered.nii.gz", 1)
    before = content(tmp_path / "out")
    code, said = run(path)
    assert (code, asked) == (2, []) and other.name in said and content(tmp_path / "out") == before
    assert run(path, other, "--replace")[0] == 2 and content(tmp_path / "out") == before
    assert run(other)[0] == 0 and other.read_bytes() == before[other.name]


def test_a_memory_copied_from_another_case_does_not_help(tmp_path: Path, run: Run) -> None:
    first, second = scan(tmp_path / "in" / "a.nii.gz", 1), scan(tmp_path / "in" / "b.nii.gz", 2)
    run(first)
    for file in list((tmp_path / "out").iterdir()):
        shutil.copy(file, file.with_name(file.name.replace("a_", "b_", 1)))
    code, said = run(second)
    assert code == 2 and "another scan" in said


def test_replace_says_that_it_is_meant(tmp_path: Path, run: Run) -> None:
    first, second = scan(tmp_path / "1" / "a.nii.gz", 1), scan(tmp_path / "2" / "a.nii.gz", 2)
    run(first)
    before = content(tmp_path / "out")
    corrected(tmp_path / "out" / "a_rendered.nii.gz")
    assert run(first, "--replace")[0] == 0 and content(tmp_path / "out") == before
    assert run(second, "--replace")[0] == 0 and content(tmp_path / "out") != before
    assert run(second)[0] == 0 and run(first)[0] == 2


@pytest.mark.parametrize("ending", [*ENDINGS, "_written.json"])
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_links_in_the_folder_are_not_written_through(
    ending: str, there: bool, tmp_path: Path, run: Run, asked: list[str]
) -> None:
    path, precious = scan(tmp_path / "in" / "a.nii.gz"), tmp_path / "precious"
    (tmp_path / "out").mkdir()
    if there:
        precious.write_bytes(b"mine")
    link = tmp_path / "out" / f"a{ending}"
    link.symlink_to(precious)
    for words in ((), ("--replace",)):
        code, said = run(path, *words)
        assert (code, asked) == (2, []) and link.name in said and "a link" in said
        assert link.is_symlink() and [p.name for p in (tmp_path / "out").iterdir()] == [link.name]
        assert precious.read_bytes() == b"mine" if there else not precious.exists()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_plain_file_stays(kind: str, tmp_path: Path, run: Run, asked: list[str]) -> None:
    path, target = scan(tmp_path / "in" / "a.nii.gz"), tmp_path / "out" / "a_points.csv"
    target.parent.mkdir()
    target.mkdir() if kind == "folder" else os.mkfifo(target)
    for words in ((), ("--replace",)):
        code, said = run(path, *words)
        assert (code, asked) == (2, []) and "a_points.csv" in said and "no plain file" in said
    assert len(list(target.parent.iterdir())) == 1


def decomposed(name: str) -> str:
    return unicodedata.normalize("NFD", name)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1/a.nii.gz", "2/a.nii.gz"), ("1/a.nii.gz", "1/a.nii"), ("1/a.nii.gz", "1/A.nii.gz"), ("1/a.nii.gz", "1/a.NII"),
     ("1/zoë.nii.gz", decomposed("2/zoë.nii.gz")), ("1/STRASSE.nii", "1/straße.nii")],
)  # fmt: skip
def test_two_inputs_whose_files_would_be_the_same_are_both_left_out(
    one: str, other: str, tmp_path: Path, run: Run, asked: list[str]
) -> None:
    inputs = [scan(tmp_path / one, 1), scan(tmp_path / other, 2), scan(tmp_path / "3" / "z.nii.gz", 3)]
    code, said = run(*inputs)
    assert (code, asked) == (1, ["z"]), said
    assert said.count("\n") == 1 and inputs[0].name in said and inputs[1].name in said and "--out" in said
    assert {p.name[0] for p in (tmp_path / "out").iterdir()} == {"z"}
    assert run(*inputs[:2], out=tmp_path / "no")[0] == 2 and not (tmp_path / "no").exists()


def test_one_input_named_twice_is_done_once(tmp_path: Path, run: Run, asked: list[str]) -> None:
    path = scan(tmp_path / "in" / "a.nii.gz")
    assert run(path, tmp_path / "in", tmp_path / "in" / ".." / "in" / "a.nii.gz")[0] == 0 and asked == ["a"]


def test_what_is_painted_while_the_model_runs_is_not_written_over(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = scan(tmp_path / "in" / "a.nii.gz"), tmp_path / "out" / "a_rendered.nii.gz"
    run(path)
    usual, before = Predictor.predict, {}

    def predict(self: Predictor, *words: object, **more: object) -> Prediction:
        corrected(target)
        before.update(content(tmp_path / "out"))
        return usual(self, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "predict", predict)
    code, said = run(path)
    assert code == 2 and "was changed" in said and content(tmp_path / "out") == before


@pytest.mark.parametrize("last", range(5))
def test_killed_between_two_files_of_a_result_it_still_knows_its_own(
    last: int, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new files beside each other: by another region, the new ones differ."""
    path, moved = scan(tmp_path / "in" / "a.nii.gz"), []
    usual = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target.parent == tmp_path / "out" and not self.name.startswith(".morse-part"):
            if len(moved) == last:
                raise KeyboardInterrupt
            moved.append(target)
        return usual(self, target)

    run(path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        code, _ = run(path, "--roi", "2:18,2:16,1:11")
    assert (code, len(moved)) == ((130, last) if last < 4 else (0, 4))
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]
    assert run(path) == (0, "")
    if last == 0:
        corrected(tmp_path / "out" / "a_rendered.nii.gz")
        assert run(path)[0] == 2


def test_a_disk_that_is_full_costs_no_file(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scan(tmp_path / "in" / "a.nii.gz")
    run(path)
    before = content(tmp_path / "out")

    def full(*_: object, **__: object) -> None:
        raise InputError("“a_rendered.nii.gz” could not be written: No space left on device.")

    monkeypatch.setattr(written_files, "save_prediction", full)
    code, said = run(path, "--roi", "2:18,2:16,1:11")
    assert code == 2 and "No space left" in said and content(tmp_path / "out") == before


def test_the_summary_is_written_over_nothing_but_a_summary(tmp_path: Path, run: Run, asked: list[str]) -> None:
    path, mine = scan(tmp_path / "in" / "a.nii.gz"), tmp_path / "splits.json"
    mine.write_text('{"train": ["a"]}')
    for target in (mine, scan(tmp_path / "b.nii.gz", 2), tmp_path / "out" / "a_points.csv"):
        before = target.read_bytes() if target.exists() else None
        code, said = run(path, "--json", target)
        assert (code, asked) == (2, []) and "--json" in said and said.count("\n") == 1
        assert (target.read_bytes() if target.exists() else None) == before
    for _ in range(2):
        assert run(path, "--json", tmp_path / "out" / "run.json")[0] == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["cases"][0]["case"] == "a"


def test_the_memory_says_nothing_of_where_or_when(tmp_path: Path, run: Run) -> None:
    path = scan(tmp_path / "in" / "a.nii.gz")
    run(path)
    told = json.loads((tmp_path / "out" / "a_written.json").read_text())
    assert set(told) == {"format", "format_version", "scan", "model", "model_digest", "files"}
    assert set(told["files"]) == set(ENDINGS) and str(tmp_path) not in json.dumps(told)


def test_the_demonstration_writes_over_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its window is a stand-in here; `tests/widgets/test_demo.py` opens the real one."""
    found = make_scan()
    stand_in = ModuleType("napari_morse.widgets.demo")
    stand_in.run_demo = lambda _model, ready, stay: ready(  # type: ignore[attr-defined]
        make_prediction(found), found, lambda path, mode: path.write_bytes(mode.encode())
    )
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")

    def demo(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["napari-morse", "demo", "--headless", "--out", str(tmp_path / "out"), *words])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), capsys.readouterr().err

    assert demo() == demo() == (0, "") and len(list((tmp_path / "out").iterdir())) == 8
    for name in ("case_rendered.nii.gz", "case_table.csv", "case_contour.png"):
        target = tmp_path / "out" / name
        kept = target.read_bytes()
        target.write_bytes(b"mine")
        code, said = demo()
        assert code == 2 and name in said and target.read_bytes() == b"mine"
        target.write_bytes(kept)
    assert demo("--replace")[0] == 0
