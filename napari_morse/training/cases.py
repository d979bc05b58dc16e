"""Training cases: paired by name, in the model's axes and spacing, normalised, held in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_morse.config import Intensity
from napari_morse.errors import GeometryError, InputError
from napari_morse.geometry.orientation import RAS, axes_to, oriented
from napari_morse.geometry.resampling import to_work_grid, work_frame
from napari_morse.inference.normalise import normalise
from napari_morse.io import case_stem, open_mask
from napari_morse.io.channels import case_files, case_name, channel_files, open_case
from napari_morse.io.subjects import group_by_marks, patient_key, subject_in
from napari_morse.io.voxels import listed, same_scans, scan_digest

SUFFIXES = (".nii.gz", ".nii", ".png")


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One scan with its truth, axes along R, A, S.

    Parameters
    ----------
    stem
        Name of the case.
    image
        (X, Y, Z) float32, normalised.
    labels
        (X, Y, Z) uint8 class indices: 0 background, k the k-th of the label ids.
    spacing
        mm per voxel.
    skewness
        Of the normalised histogram.
    others
        Further channels as ``image``, which is channel 0; each normalised on its own.
    """

    stem: str
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    spacing: tuple[float, float, float]
    skewness: float
    others: tuple[NDArray[np.float32], ...] = ()

    @cached_property
    def pixels(self) -> NDArray[np.float32]:
        """(X, Y, Z) ``image``; with several channels, (channels, X, Y, Z)."""
        return np.stack((self.image, *self.others)) if self.others else self.image

    @property
    def extent(self) -> tuple[float, float, float]:
        """Field of view in mm."""
        x, y, z = (n * s for n, s in zip(self.image.shape, self.spacing, strict=True))
        return x, y, z

    def resampled(self, spacing: tuple[float, ...]) -> TrainingCase:
        """The case at another spacing: image cubic, labels nearest; itself when the spacing is the same."""
        frame = work_frame(self.image.shape, self.spacing, spacing, (1, 1, 1), 1)
        if not frame.resampled:
            return self
        labels = self.labels
        for axis, (scale, length) in enumerate(zip(frame.scale, frame.inner, strict=True)):
            # Centres lie half a voxel inside: without the half, labels would move against the image, which is resampled
            # so.
            nearest = np.clip(np.floor((np.arange(length) + 0.5) / scale), 0, labels.shape[axis] - 1).astype(np.int64)
            labels = np.take(labels, nearest, axis=axis)
        mm = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
        others = tuple(to_work_grid(image, frame) for image in self.others)
        return TrainingCase(self.stem, to_work_grid(self.image, frame), labels, mm, self.skewness, others)


@dataclass(frozen=True)
class Split:
    """Paths of (scan, truth) for training and for choosing."""

    train: tuple[tuple[Path, Path], ...]
    val: tuple[tuple[Path, Path], ...]


def pair_files(images: Path, labels: Path, channels: int = 1) -> dict[str, tuple[Path, Path]]:
    """Scans and truths of two folders, paired by stem; of several channels the first file stands for all.

    Raises
    ------
    InputError
        When a folder is missing, nothing pairs, or two files of a folder have one stem.
    """
    scans, truths = _by_stem(images, channels), _by_stem(labels)
    pairs = {stem: (scans[stem], truths[stem]) for stem in sorted(scans) if stem in truths}
    if not pairs:
        raise InputError(f"No scan in {images} has a label of the same name in {labels}.", "Name both files alike.")
    return pairs


def _by_stem(folder: Path, channels: int = 1) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Give the folder that holds the files.")
    found: dict[str, Path] = {}
    files = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".") and p.name.lower().endswith(SUFFIXES)]
    for path in case_files(files, channels):
        other = found.setdefault(case_name(path, channels), path)
        if other is not path:
            raise InputError(f"{other.name} and {path.name} in {folder} are one case twice.", "Keep one of them.")
    return found


def split_cases(
    pairs: dict[str, tuple[Path, Path]], splits: Path | None, seed: int, channels: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Split:  # fmt: skip
    """Training and validation cases: from a JSON file with lists ``train`` and ``val``, or one in five at random.

    Scans of one subject (``sub-…`` in the name), and one scan under several names, are on one side; reads every scan.

    Parameters
    ----------
    pairs, splits, seed, channels
        Of the run.
    say
        Told in a sentence which scans are there under several names.

    Raises
    ------
    InputError
        The lists are none, name an unknown case, one twice, or a subject or a scan on both sides; too few cases.
    """
    if splits is not None:
        written = Split(*(_named(pairs, splits, part) for part in ("train", "val")))
        known = {pair: stem for stem, pair in pairs.items()}
        stems = [known[pair] for pair in (*written.train, *written.val)]
        twice = sorted({s for s in stems if stems.count(s) > 1})
        if twice:
            raise InputError(f"{splits} names {twice[0]!r} twice.", "Train and judge on different cases.")
        _check_sides(written, splits, channels)
        return written
    if len(pairs) < 2:
        raise InputError("Training needs at least two cases, one of them to judge by.", "Add cases.")
    held = _drawn(pairs, seed, channels, say)
    return Split(tuple(pairs[s] for s in sorted(pairs) if s not in held), tuple(pairs[s] for s in sorted(held)))


def _drawn(pairs: dict[str, tuple[Path, Path]], seed: int, channels: int, say: Callable[[str], None]) -> set[str]:
    """Names of cases to judge by: one in five, what belongs together together."""
    stems = sorted(pairs)
    scans = [pairs[stem][0] for stem in stems]
    known = [scan_digest(scan, channels) for scan in scans]
    for sentence in same_scans(scans, known):
        say(f"{sentence}: either all train or all judge.")
    # Before the shuffle: the digests are in the order of the sorted names.
    group_of = dict(zip(stems, group_by_marks([_marks(*each) for each in zip(stems, known, strict=True)]), strict=True))
    np.random.default_rng(seed).shuffle(stems)
    groups: dict[int, list[str]] = {}
    for stem in stems:
        groups.setdefault(group_of[stem], []).append(stem)
    if len(groups) < 2:
        raise InputError("All cases are of one patient, or one scan.", "Add cases of others, to judge by.")
    # A group that is too large is passed over, not cut: one person would else be on both sides.
    wanted, held = max(1, len(stems) // 5), set[str]()
    for group in groups.values():
        if len(held) + len(group) <= wanted:
            held.update(group)
    fewest = min(len(group) for group in groups.values())
    return held or set(next(group for group in groups.values() if len(group) == fewest))


def _marks(stem: str, digest: str) -> set[tuple[str, str]]:
    """What a case shares with others that it belongs together with."""
    subject = subject_in(stem)
    return {("scan", digest), *([("subject", patient_key(subject))] if subject else [])}


def _check_sides(split: Split, splits: Path, channels: int) -> None:
    """Raise where a scan or a subject is in both lists."""
    hint = "Train and judge on different people: keep all of one on one side."
    sides = [{(kind, mark): scan for scan, _ in part for kind, mark in _marks(case_name(scan, channels),
              scan_digest(scan, channels))} for part in (split.train, split.val)]  # fmt: skip
    for kind, mark in sorted(sides[0].keys() & sides[1].keys()):
        files = listed([sides[0][kind, mark], sides[1][kind, mark]])
        if kind == "scan":
            raise InputError(f"{files} are the same scan under two names; {splits.name} puts it on both sides.", hint)
        subject = subject_in(case_name(sides[0][kind, mark], channels))
        raise InputError(f"{files} are of {subject}; {splits.name} puts them on both sides.", hint)


def _named(pairs: dict[str, tuple[Path, Path]], splits: Path, part: str) -> tuple[tuple[Path, Path], ...]:
    try:
        names = [str(name) for name in json.loads(splits.read_text(encoding="utf-8"))[part]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{splits} holds no list {part!r} of case names.", "Write {'train': […], 'val': […]}."
        ) from error
    stems = [name if name in pairs else case_stem(name) for name in names]
    missing = [s for s in stems if s not in pairs]
    if not stems:
        raise InputError(f"{splits} names no case in {part!r}.", "Name at least one.")
    if missing:
        raise InputError(
            f"{splits} names {missing[0]!r} in {part!r}, which has no scan with a label.", "Check its name."
        )
    return tuple(pairs[s] for s in stems)


def label_ids(files: Iterable[tuple[Path, Path]]) -> tuple[int, ...]:
    """Ids, above 0, that occur in the truths."""
    found: set[int] = set()
    for _, truth in files:
        found.update(int(v) for v in np.unique(open_mask(truth).data))
    return tuple(sorted(found - {0}))


def load_case(
    scan_path: Path, truth_path: Path, ids: tuple[int, ...], intensity: Intensity, channels: int = 1
) -> TrainingCase:
    """Read one case; with several channels, ``scan_path`` is one of its numbered files or a 4-D file.

    Raises
    ------
    GeometryError
        When the truth does not lie on the scan's grid.
    InputError
        When it holds an id that the model does not know, a channel is missing, or has no contrast.
    """
    scan, truth = open_case(scan_path, channels), open_mask(truth_path)
    if not scan.grid.same_as(truth.grid):
        raise GeometryError(f"The labels of {scan.stem} do not lie on its scan.", "Resample them to the scan's grid.")
    stray = sorted(set(np.unique(truth.data).tolist()) - {0, *ids})
    if stray:
        raise InputError(f"{scan.stem} holds the label {stray[0]}, which no training case has.", "Check its labels.")
    axes = axes_to(scan.grid, RAS)
    looks = [normalise(axes.to_view(channel), intensity) for channel in scan.channels]
    if any(look.flat for look in looks):
        raise InputError(f"{scan.stem} has no contrast.", "Take it out of the training set.")
    classes = np.zeros(truth.grid.shape, np.uint8)
    for index, label in enumerate(ids, start=1):
        classes[truth.data == label] = index
    spacing = oriented(scan.grid, axes).spacing
    image, *others = (np.ascontiguousarray(look.pixels) for look in looks)
    labels = np.ascontiguousarray(axes.to_view(classes))
    return TrainingCase(scan.stem, image, labels, spacing, looks[0].skewness, tuple(others))


def files_digest(files: Iterable[tuple[Path, Path]], channels: int = 1) -> str:
    """sha256 over the sorted sha256 digests of all files."""
    all_files = [p for scan, truth in files for p in (*channel_files(scan, channels), truth)]
    digests = sorted(hashlib.sha256(p.read_bytes()).hexdigest() for p in all_files)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
