"""``predict``: files on the scan's own grid, or one plain sentence and exit code 2."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_morse.cli.main import main
from napari_morse.errors import CancelledError, InputError
from napari_morse.inference import Predictor
from napari_morse.io import open_mask, save_image
from napari_morse.io.weights import save_model
from napari_morse.types import Grid, Prediction
from tests.faults import FAULTS, Fault
from tests.inference.test_inference import model
from tests.nets import blob

FILES = ("coarse.nii.gz", "rendered.nii.gz", "points.csv", "patches.csv", "written.json")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for dims in (2, 3):
        small = model(dims, name=f"small-{dims}d")
        save_model(folder / f"small-{dims}d", small.card, small.net.tensors())
    return folder


@dataclass(frozen=True)
class Done:
    """What a finished command leaves."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line as the console script runs it, without the seconds that a new interpreter takes."""

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["napari-morse", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        out = capsys.readouterr()
        return Done(int(left.value.code or 0), out.out, out.err)

    return run


def pair(folder: Path, names: str, affine: np.ndarray) -> None:
    folder.mkdir()
    for name in names:
        save_image(blob((20, 18, 12), ord(name)), Grid((20, 18, 12), affine), folder / f"{name}.nii.gz")


def test_masks_lie_on_the_scan_and_the_table_on_the_masks(
    tmp_path: Path, models: Path, cli: Callable[..., Done]
) -> None:
    affine = np.array([[0, 0, -1.2, 30], [0.7, 0.1, 0, -5], [-0.1, 0.7, 0, 8], [0, 0, 0, 1]])
    pair(tmp_path / "in", "ab", affine)
    done = cli("predict", tmp_path / "in", "--model", models / "small-3d", "--out", tmp_path / "out",
               "--json", tmp_path / "run.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = {f"{c}_{k}" for c in "ab" for k in FILES}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    scan, mask = (nibabel.load(p) for p in (tmp_path / "in/a.nii.gz", tmp_path / "out/a_rendered.nii.gz"))
    assert mask.shape == scan.shape and np.array_equal(mask.affine, scan.affine)
    coarse, rendered = (open_mask(tmp_path / f"out/a_{k}.nii.gz").data for k in ("coarse", "rendered"))
    rows = list(csv.DictReader((tmp_path / "out/a_points.csv").read_text().splitlines()))
    told = json.loads((tmp_path / "run.json").read_text())
    assert len(rows) == told["cases"][0]["points"] > 0 and told["failed"] == []
    assert told["postprocessing"] == {"largest_component": False, "minimum_volume_mm3": 0.0}
    for row in rows[::50]:
        voxel = tuple(int(row[c]) for c in "ijk")
        assert coarse[voxel] == int(row["before"]) and rendered[voxel] == int(row["after"])
        mm = [float(row[f"{c}_mm"]) for c in "xyz"]
        assert np.allclose(mm, nibabel.affines.apply_affine(scan.affine, voxel), atol=1e-3)
        assert sum(float(v) for k, v in row.items() if k.startswith("weight_")) == pytest.approx(1, abs=1e-3)
    found = {s["name"]: s["rendered_mm3"] for s in told["cases"][0]["structures"]}
    volume = abs(np.linalg.det(scan.affine[:3, :3]))
    assert found["a"] == pytest.approx((rendered == 1).sum() * volume)


def test_a_region_in_storage_order_bounds_the_mask(tmp_path: Path, models: Path, cli: Callable[..., Done]) -> None:
    save_image(blob((30, 28, 26)), Grid((30, 28, 26), np.diag([-1, 1, -1, 1])), tmp_path / "a.nii.gz")
    done = cli(
        "predict", tmp_path / "a.nii.gz", "--model", models / "small-3d", "--out", tmp_path, "--roi", "2:22,4:28,0:18"
    )
    assert done.returncode == 0, done.stderr
    mask = open_mask(tmp_path / "a_rendered.nii.gz").data.copy()
    mask[2:22, 4:28, 0:18] = 0
    assert not mask.any()
    for wrong in ("2:40,4:28,0:18", "1:2", "a:b,c:d,e:f", "5:2,0:4,0:4"):
        done = cli(
            "predict", tmp_path / "a.nii.gz", "--model", models / "small-3d", "--out", tmp_path / "no", "--roi", wrong
        )
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert not list((tmp_path / "no").glob("*"))


def test_a_picture_gets_its_masks_as_pictures_too(tmp_path: Path, models: Path, cli: Callable[..., Done]) -> None:
    levels = np.clip(blob((40, 30)) * 60 + 60, 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "slice.png")
    done = cli("predict", tmp_path / "slice.png", "--model", models / "small-2d", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    png, nii = (open_mask(tmp_path / f"out/slice_rendered{e}").data for e in (".png", ".nii.gz"))
    assert png.shape == (40, 30, 1) and np.array_equal(png, nii)
    done = cli("predict", tmp_path / "slice.png", "--model", models / "small-3d", "--out", tmp_path / "no")
    assert done.returncode == 2 and "2-D model" in done.stderr and not list((tmp_path / "no").glob("*"))


@pytest.mark.parametrize("broken", FAULTS, ids=str)
def test_an_input_that_cannot_be_used_is_one_sentence_and_exit_code_2(
    broken: Fault, tmp_path: Path, models: Path, cli: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", "1")
    (tmp_path / "in").mkdir()
    path = broken.make(tmp_path / "in")
    dims = 2 if path.suffix in (".png", ".jpg", ".tif", ".tiff", ".bmp", ".gif") else 3
    done = cli("predict", path, "--model", models / f"small-{dims}d", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_one_bad_case_does_not_stop_the_others(tmp_path: Path, models: Path, cli: Callable[..., Done]) -> None:
    (tmp_path / "in").mkdir()
    save_image(blob((20, 18, 12)), Grid((20, 18, 12), np.eye(4)), tmp_path / "in/good.nii.gz")
    (tmp_path / "in/bad.nii.gz").write_bytes(b"")
    (tmp_path / "in/._good.nii.gz").write_bytes(b"macOS")
    done = cli("predict", tmp_path / "in", "--model", models / "small-3d", "--out", tmp_path / "out")
    assert done.returncode == 1 and "bad.nii.gz" in done.stderr and "._good" not in done.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f"good_{kind}" for kind in FILES}


HEADER = "DOE^JOHN"
"""What an exception's own text may repeat of a scan's header."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError(f"shape mismatch {HEADER}"), "RuntimeError"),
        (RecursionError(HEADER), "RecursionError"),
        (UserWarning(HEADER), "UserWarning"),  # as under python -W error
        (ZeroDivisionError(), "ZeroDivisionError"),
        (MemoryError(), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "memory"),
        (OSError(28, "No space left on device", "/tmp/x"), "No space left"),
        (InputError("The voxels are odd.", "Look at them."), "The voxels are odd. Look at them."),
    ],
    ids=lambda e: type(e).__name__ if isinstance(e, BaseException) else "",
)
def test_an_unforeseen_error_in_one_case_does_not_stop_the_others(
    error: Exception, said: str, tmp_path: Path, models: Path, cli: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair(tmp_path / "in", "abc", np.eye(4))
    usual = Predictor.predict

    def predict(self: Predictor, *words: object, **more: object) -> Prediction:
        if self.ready.scan.stem == "b":
            raise error
        return usual(self, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "predict", predict)
    words = ("predict", "--model", models / "small-3d", "--json", tmp_path / "run.json", "--out")
    done = cli(*words, tmp_path / "out", tmp_path / "in")
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("Error: ") and "b.nii.gz" in done.stderr
    assert said in done.stderr and HEADER not in done.stderr
    told = json.loads((tmp_path / "run.json").read_text())
    assert [case["case"] for case in told["cases"]] == ["a", "c"] and said in told["failed"][0]["error"]
    assert {p.name[0] for p in (tmp_path / "out").iterdir()} == {"a", "c"}
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith("b")]


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (CancelledError(), 130)])
def test_ctrl_c_ends_the_whole_batch_at_once(
    error: BaseException, code: int, tmp_path: Path, models: Path, cli: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pair(tmp_path / "in", "ab", np.eye(4))
    asked = []

    def predict(self: Predictor, *_: object, **__: object) -> Prediction:
        asked.append(self.ready.scan.stem)
        raise error

    monkeypatch.setattr(Predictor, "predict", predict)
    done = cli("predict", tmp_path / "in", "--model", models / "small-3d", "--out", tmp_path / "out")
    assert (done.returncode, asked) == (code, ["a"])


def test_a_picture_larger_than_its_reader_takes_is_named_and_the_others_are_done(
    tmp_path: Path, models: Path, cli: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    levels = np.clip(blob((40, 30)) * 60 + 60, 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "in/good.png")
    Image.fromarray(levels).save(tmp_path / "in/large.tif", compression="tiff_lzw")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # 1200 pixels stand for 400 million
    done = cli("predict", tmp_path / "in", "--model", models / "small-2d", "--out", tmp_path / "out")
    assert done.returncode == 1 and done.stderr.count("Error: ") == 1, done.stderr
    assert "“large.tif” has more than" in done.stderr and "RuntimeError" not in done.stderr
    assert (tmp_path / "out/good_rendered.png").exists()


def test_a_tampered_model_is_refused(tmp_path: Path, models: Path, cli: Callable[..., Done]) -> None:
    shutil.copytree(models / "small-3d", tmp_path / "small-3d")
    weights = tmp_path / "small-3d/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(bytes(content))
    save_image(blob((20, 18, 12)), Grid((20, 18, 12), np.eye(4)), tmp_path / "a.nii.gz")
    done = cli("predict", tmp_path / "a.nii.gz", "--model", tmp_path / "small-3d", "--out", tmp_path / "out")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_inputs_are_never_written_over(tmp_path: Path, models: Path, cli: Callable[..., Done]) -> None:
    for name in ("a", "a_coarse"):
        save_image(blob((20, 18, 12)), Grid((20, 18, 12), np.eye(4)), tmp_path / f"{name}.nii.gz")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    done = cli("predict", tmp_path, "--model", models / "small-3d", "--out", tmp_path)
    assert done.returncode == 2 and "overwrite" in done.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    scan = tmp_path / "a.nii.gz"
    done = cli("predict", scan, "--model", models / "small-3d", "--out", tmp_path / "out", "--json", scan)
    assert done.returncode == 2 and "overwrite" in done.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("words", [("predict", "{long}", "--out", "."), ("models", "{long}"), ("info", "{long}"),
                                   ("predict", "{scan}", "--out", "{long}"),
                                   ("evaluate", "--pred", "{long}", "--truth", ".")])  # fmt: skip
def test_a_name_longer_than_a_disk_allows_is_one_sentence(
    words: tuple[str, ...], tmp_path: Path, cli: Callable[..., Done]
) -> None:
    save_image(blob((20, 18, 12)), Grid((20, 18, 12), np.eye(4)), tmp_path / "a.nii.gz")
    done = cli(*(word.format(long="x" * 300, scan=tmp_path / "a.nii.gz") for word in words))
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("Error: ")


def test_a_voxel_size_that_would_fill_the_memory_is_refused_before_it_does(
    tmp_path: Path, models: Path, cli: Callable[..., Done]
) -> None:
    for step in (1000.0, 1e5):
        save_image(blob((20, 18, 12)), Grid((20, 18, 12), np.diag([step, step, step, 1])), tmp_path / "a.nii.gz")
        done = cli("predict", tmp_path / "a.nii.gz", "--model", models / "small-3d", "--out", tmp_path / "out")
        assert done.returncode == 2 and "memory" in done.stderr.splitlines()[-1]
        assert not (tmp_path / "out").exists()


def test_the_console_script_runs_in_a_fresh_interpreter(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_morse.cli.main", "predict", "nowhere.nii.gz", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("Error: There is no file")


def test_a_2d_nifti_gets_masks_of_its_own_shape(tmp_path: Path, models: Path, cli: Callable[..., Done]) -> None:
    nibabel.save(nibabel.Nifti1Image(blob((40, 30)), np.diag([1.0, 2, 1, 1])), tmp_path / "flat.nii.gz")
    done = cli("predict", tmp_path / "flat.nii.gz", "--model", models / "small-2d", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    mask = nibabel.load(tmp_path / "out/flat_rendered.nii.gz")
    assert mask.shape == (40, 30) and np.array_equal(mask.affine, np.diag([1.0, 2, 1, 1]))
    assert open_mask(tmp_path / "out/flat_rendered.nii.gz").data.shape == (40, 30, 1)


def test_nothing_of_the_header_and_nothing_over_the_network(
    tmp_path: Path, models: Path, cli: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = nibabel.Nifti1Image(blob((20, 18, 12)), np.eye(4))
    image.header["descrip"] = b"DOE^JOHN"
    image.header["db_name"] = b"DOE^JOHN"
    image.header["aux_file"] = b"DOE^JOHN"
    nibabel.save(image, tmp_path / "case.nii.gz")

    def refuse(*_: object) -> None:
        raise AssertionError("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    done = cli("predict", tmp_path / "case.nii.gz", "--model", models / "small-3d", "--out", tmp_path / "out",
               "--json", tmp_path / "out.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = [*(tmp_path / "out").iterdir(), tmp_path / "out.json"]
    assert len(written) == 6 and not [p for p in written if "DOE" in p.name]
    contents = [gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in written]
    assert not [p.name for p, c in zip(written, contents, strict=True) if b"DOE" in c]
    assert "DOE" not in done.stdout + done.stderr


def test_masks_of_another_program_are_rendered(tmp_path: Path, models: Path, cli: Callable[..., Done]) -> None:
    pair(tmp_path / "scans", "ab", np.diag([-1.0, 1.0, 1.5, 1.0]))
    masks = tmp_path / "masks"
    masks.mkdir()
    given = np.zeros((20, 18, 12), np.uint8)
    given[5:14, 4:13, 3:9] = 1
    for name in "ab":
        affine = nibabel.load(tmp_path / "scans" / f"{name}.nii.gz").affine
        nibabel.save(nibabel.Nifti1Image(given, affine), masks / f"{name}.nii.gz")
    words = ("predict", tmp_path / "scans", "--model", models / "small-3d", "--coarse", masks, "--out")
    done = cli(*words, tmp_path / "out")
    assert done.returncode == 0 and "never saw rough masks" in done.stderr
    for name in "ab":
        coarse = open_mask(tmp_path / "out" / f"{name}_coarse.nii.gz").data
        assert (coarse == given).all()
        assert (open_mask(tmp_path / "out" / f"{name}_rendered.nii.gz").data != given).any()
    assert "overwrite" in cli(*words, masks, "--json", masks / "a.nii.gz").stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda masks: (masks / "a.nii.gz").unlink(), "no mask named 'a'"),
        (lambda masks: shutil.copy(masks / "a.nii.gz", masks / "a.png"), "2 masks named 'a'"),
        (shutil.rmtree, "no file"),
    ],
)
def test_a_missing_coarse_mask_is_one_sentence(
    tmp_path: Path, models: Path, cli: Callable[..., Done], change: Callable[[Path], object], said: str
) -> None:
    pair(tmp_path / "scans", "a", np.eye(4))
    pair(tmp_path / "masks", "a", np.eye(4))
    change(tmp_path / "masks")
    found = cli(
        "predict", tmp_path / "scans", "--model", models / "small-3d", "--coarse", tmp_path / "masks", "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert found.returncode == 2 and said in found.stderr and not (tmp_path / "out").exists()


def test_a_scan_as_coarse_mask_is_one_sentence(tmp_path: Path, models: Path, cli: Callable[..., Done]) -> None:
    pair(tmp_path / "scans", "a", np.eye(4))
    found = cli(
        "predict", tmp_path / "scans", "--model", models / "small-3d", "--coarse", tmp_path / "scans" / "a.nii.gz",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert found.returncode == 2 and found.stderr.count("Error:") == 1
