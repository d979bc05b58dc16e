"""``train``: what cannot work is refused in one sentence, before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from napari_morse.cli.main import main
from napari_morse.cli.train import _precise
from napari_morse.errors import InputError


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--minutes", "0"), "no time"),
        (("--minutes", "-5"), "no time"),
        (("--minutes", "nan"), "no time"),
        (("--slice-axis", "X"), "no slice axis"),
        (("--spacing", "nan,1,1"), "no spacing"),
        (("--spacing", "1,1"), "no spacing"),
        (("--spacing", "0,1,1"), "no spacing"),
        (("--seed", "-1"), "--seed"),
        (("--seed", str(2**70)), "--seed"),
        (("--set", "train.window=[50,64,48]"), "multiples of 8"),
        ((), "is not a folder"),
    ],
)
def test_what_cannot_work_is_refused_first(
    words: tuple[str, ...],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = ["napari-morse", "train", "--images", str(tmp_path / "i"), "--labels", str(tmp_path / "l")]
    monkeypatch.setattr(sys, "argv", [*base, "--out", str(tmp_path / "new"), *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2 and why in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["--images", str(tmp_path), "--labels", str(tmp_path), "--out", str(tmp_path / "file" / "model")]
    monkeypatch.setattr(sys, "argv", ["napari-morse", "train", *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2 and "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("able", "said", "kept"),
    [
        (True, "auto", "bfloat16"),
        (True, "bfloat16", "bfloat16"),
        (False, "auto", "float32"),
        (False, "float32", "float32"),
        (False, None, "float32"),
    ],
)
def test_the_precision_is_one_that_the_machine_has(
    able: bool, said: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_morse.inference.devices.has_bfloat16", lambda _: able)
    assert _precise("default-3d", (), said).train.precision == kept


@pytest.mark.parametrize("words", [((), "bfloat16"), (("train.precision=bfloat16",), None)])
def test_an_emulated_precision_is_refused(
    words: tuple[tuple[str, ...], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_morse.inference.devices.has_bfloat16", lambda _: False)
    with pytest.raises(InputError, match="no bfloat16"):
        _precise("default-3d", *words)
