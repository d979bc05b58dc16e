"""``napari-morse predict``: masks and points of scans, without a window."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_morse.cli.batch import Failed, check_summary, exit_code, one_of_many
from napari_morse.errors import InputError
from napari_morse.types import Roi

if TYPE_CHECKING:
    from napari_morse.inference import Predictor
    from napari_morse.types import Prediction, Scan


def predict(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="NIfTI files, folders of them, or 2-D pictures.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the masks and tables.")],
    model: Annotated[str, typer.Option(help="Name of a model, or its folder.")] = "hippocampus-3d",
    roi: Annotated[
        str | None, typer.Option(help="Box of voxels i0:i1,j0:j1,k0:k1 in storage order, stop excluded.")
    ] = None,
    coarse: Annotated[
        Path | None,
        typer.Option(help="Render this mask (or the masks of this folder, named as the scans) instead of the model's."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    frame: Annotated[int | None, typer.Option(help="Which frame of a 4-D series, from 0.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write sizes, times and warnings to this file.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Render a --coarse mask that cannot be the model's structure.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over files that were changed, or are of another scan.")
    ] = False,
) -> None:
    """Write <case>_coarse, <case>_rendered (on the scan's own grid), <case>_points.csv and <case>_patches.csv.

    Files that are there already are written over only where they are an earlier result on that very scan, unchanged.
    A case that cannot be done is named and the others are; the exit code is then 1, and 2 where none could be used.
    """
    from napari_morse import zoo
    from napari_morse.inference import Predictor

    channels = zoo.find(model).card.recipe.backbone.in_channels
    files = gather(inputs, channels)
    masks = coarse_masks(files, coarse, channels)
    _spare_inputs([*files, *(m for named in masks.values() for m in named)], out, json_file, channels)
    asked = _Asked(out, parse_roi(roi) if roi is not None else None, frame, anyway, replace)
    predictor = Predictor(zoo.load(model), device)
    done: list[dict[str, Any]] = []
    failed: list[Failed] = []
    alike = same_outputs(files, channels)
    for path in files:
        with one_of_many(path.name, failed, str(path)):
            if path in alike:
                raise alike[path]
            done.append(_one(predictor, path, masks.get(path), asked))
    if json_file is not None:
        _write_json(json_file, predictor, done, failed)
    raise typer.Exit(exit_code(len(done), failed))


def gather(inputs: list[Path], channels: int = 1) -> list[Path]:
    """Files named, and those of a known ending in folders named, each once.

    For a model that reads several channels, one file stands for those of a case (``<case>_0000``, …).

    Raises
    ------
    InputError
        When something is missing, or a folder holds no scan.
    """
    from napari_morse.io.channels import case_files

    files: dict[str, Path] = {}
    for path in inputs:
        if not path.exists():
            raise InputError(f"There is no file {path}.", "Check the path.")
        scans = _scans_in(path) if path.is_dir() else [path]
        if not scans:
            raise InputError(f"The folder {path} holds no scan.", "NIfTI files and pictures are read.")
        for each in scans:
            files.setdefault(os.path.normpath(each.absolute()), each)
    return case_files(files.values(), channels)


def same_outputs(files: list[Path], channels: int = 1) -> dict[Path, InputError]:
    """Inputs whose results would have one name, also where a disk takes a and A, or both ways to write ë, for one."""
    from napari_morse.io.channels import case_name

    by_name: dict[str, list[Path]] = {}
    for path in files:
        name = unicodedata.normalize("NFC", case_name(path, channels)).casefold()
        # Again: casefolding can take a letter apart that was one.
        by_name.setdefault(unicodedata.normalize("NFC", name), []).append(path)
    errors = {}
    for paths in (paths for paths in by_name.values() if len(paths) > 1):
        named = " and ".join(str(path) for path in paths)
        error = InputError(f"{named} would be written to the same files.", "Run them apart, each with its own --out.")
        errors.update(dict.fromkeys(paths, error))
    return errors


def _scans_in(folder: Path) -> list[Path]:
    """By their endings; hidden files, such as the ``._…`` that macOS leaves on other disks, are none."""
    from napari_morse.io.channels import IMAGE_ENDINGS

    return sorted(p for p in folder.iterdir() if p.name.lower().endswith(IMAGE_ENDINGS) and not p.name.startswith("."))


def coarse_masks(files: list[Path], coarse: Path | None, channels: int = 1) -> dict[Path, list[Path]]:
    """The masks that are named as each scan: one, if all is well; empty when the model makes its own.

    Raises
    ------
    InputError
        When it is missing, or one mask is given for several scans.
    """
    from napari_morse.io import case_stem
    from napari_morse.io.channels import case_name

    if coarse is None:
        return {}
    if not coarse.exists():
        raise InputError(f"There is no file {coarse}.", "Check the path.")
    if not coarse.is_dir():
        if len(files) > 1:
            raise InputError(f"{coarse.name} is one mask for {len(files)} scans.", "Give a folder of masks.")
        return {files[0]: [coarse]}
    names = {path: case_name(path, channels) for path in files}
    return {path: [m for m in _scans_in(coarse) if case_stem(m) == name] for path, name in names.items()}


def _only(masks: list[Path], case: str) -> Path:
    """The one mask of a case."""
    if len(masks) != 1:
        what = "no mask" if not masks else f"{len(masks)} masks"
        raise InputError(f"The folder of coarse masks holds {what} named {case!r}.", "Name each as its scan, once.")
    return masks[0]


def _spare_inputs(files: list[Path], out: Path, json_file: Path | None, channels: int) -> None:
    """Refuse a run that would write over a file that it reads."""
    from napari_morse.inference.export import output_files
    from napari_morse.inference.written_files import RECORD_ENDING
    from napari_morse.io.channels import case_name

    names = {path: case_name(path, channels) for path in files}
    targets = [
        (f"The result of {path.name!r}", target)
        for path, case in names.items() for target in (*output_files(case, out), out / f"{case}{RECORD_ENDING}")
    ]  # fmt: skip
    if json_file is not None:
        if _same_name(json_file) in {_same_name(target) for _, target in targets}:
            raise InputError(f"“{json_file.name}” is a file of a result.", "Give another name to --json.")
        targets.append(("The summary", json_file))
    for what, target in targets:
        clash = next((f for f in files if target.exists() and target.samefile(f)), None)
        if clash is not None:
            raise InputError(f"{what} would overwrite the input {clash.name!r}.", "Give another --out or --json.")
    if json_file is not None:
        check_summary(json_file, lambda summary: {"model", "digest", "cases", "failed"} <= summary.keys())


def _same_name(path: Path) -> str:
    return os.path.normpath(path.absolute()).casefold()


def parse_roi(text: str) -> Roi:
    """``i0:i1,j0:j1,k0:k1`` → box.

    Raises
    ------
    InputError
        When it is not written so.
    """
    try:
        (i0, i1), (j0, j1), (k0, k1) = (tuple(int(v) for v in part.split(":")) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{text!r} is not a box.", "Write it as i0:i1,j0:j1,k0:k1, e.g. 10:60,20:80,5:50.") from error
    return Roi((i0, j0, k0), (i1, j1, k1))


@dataclass(frozen=True)
class _Asked:
    """What holds for every case."""

    out: Path
    box: Roi | None
    frame: int | None
    anyway: bool
    replace: bool


def _one(predictor: Predictor, path: Path, masks: list[Path] | None, asked: _Asked) -> dict[str, Any]:
    from napari_morse.inference.written_files import check_free, save_safely
    from napari_morse.io import open_mask
    from napari_morse.io.channels import case_name, open_case

    case = case_name(path, len(predictor.card.channels))
    mask = None if masks is None else _only(masks, case)
    scan = open_case(path, len(predictor.card.channels), frame=asked.frame)
    # Before the prediction: what may not be written is not worked out first.
    check_free(scan, asked.out, asked.replace)
    notices = (*scan.notices, *predictor.set_scan(scan, asked.box))
    _say(scan, notices)
    if mask is not None and predictor.card.recipe.train.rough == 0:
        _say(scan, (f"{predictor.card.name!r} never saw rough masks; it changes them little.",))
    prediction = predictor.predict(coarse=None if mask is None else open_mask(mask), strict=not asked.anyway)
    _say(scan, tuple(sentence for sentence in prediction.warnings if sentence not in notices))
    files = save_safely(prediction, scan, asked.out, replace=asked.replace)
    summary = _summary(prediction, scan, files)
    typer.echo(f"{scan.stem}: {summary['seconds']['total']:.1f} s, {len(prediction.points)} points re-predicted")
    return summary


def _say(scan: Scan, sentences: tuple[str, ...]) -> None:
    for sentence in sentences:
        sys.stderr.write(f"{scan.stem}: {sentence}\n")


def _summary(prediction: Prediction, scan: Scan, files: list[Path]) -> dict[str, Any]:
    volume = scan.grid.voxel_volume
    return {
        "case": scan.stem,
        "files": [str(f) for f in files],
        "frame": scan.frame,
        "points": len(prediction.points),
        "changed": int(prediction.points.changed.sum()),
        "patches": len(prediction.patches),
        "seconds": {k: round(v, 4) for k, v in prediction.seconds.items()},
        "warnings": [*scan.notices, *prediction.warnings],
        "structures": [
            {
                "id": label.id,
                "name": label.name,
                "coarse_mm3": int((prediction.coarse.data == label.id).sum()) * volume,
                "rendered_mm3": int((prediction.rendered.data == label.id).sum()) * volume,
            }
            for label in prediction.rendered.labels
        ],
    }


def _write_json(path: Path, predictor: Predictor, done: list[dict[str, Any]], failed: list[Failed]) -> None:
    from napari_morse.io.atomic import write_text

    card = predictor.card
    content = {
        "model": card.name,
        "digest": predictor.model.digest,
        "device": predictor.device,
        "postprocessing": {
            "largest_component": card.largest_component, "minimum_volume_mm3": card.minimum_volume_mm3
        },
        "cases": done,
        "failed": [{"file": each.file, "error": str(each.error)} for each in failed],
    }  # fmt: skip
    write_text(path, json.dumps(content, indent=1) + "\n")
