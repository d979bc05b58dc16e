"""Make the sample scans from Colin27's T1: ``python sample_data/make_samples.py ch2.nii.gz``.

``ch2.nii.gz`` is the 1 mm T1 in Debian's package ``mricron-data`` (``/usr/share/mricron/templates/ch2.nii.gz``).
Voxels are copied, never resampled; headers are written anew, so that nothing of the source's header but its affine is
passed on. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).resolve().parent
SOURCE_SHA256 = "a009051127f64dc3dd554d5f5b589870ea72106d9642c21b4e7093e478cfc309"

LEFT_BOX = ((-45, -48, -32), (-10, 3, 7))
"""First and last voxel centre in mm (MNI, RAS+) around the left hippocampus, framed like the training crops."""
RIGHT_BOX = ((10, -48, -32), (45, 3, 7))
"""The left box, mirrored."""
SLICE_MM = -18
"""The coronal slice of the picture: body of the hippocampus, in mm to anterior."""

Volume = NDArray[np.uint8]
Box = tuple[tuple[int, int, int], tuple[int, int, int]]


def to_voxels(box: Box, affine: NDArray[np.float64]) -> Box:
    """Start (included) and stop (excluded) in storage order of a box given by its first and last voxel centre in mm."""
    low, high = nib.affines.apply_affine(np.linalg.inv(affine), np.array(box, dtype=float))
    start, stop = np.rint(low).astype(int), np.rint(high).astype(int) + 1
    return tuple(map(int, start)), tuple(map(int, stop))


def cut(volume: Volume, affine: NDArray[np.float64], box: Box) -> tuple[Volume, NDArray[np.float64]]:
    """Voxels inside ``box`` (voxels, stop excluded) and the affine that keeps them in place."""
    start, stop = box
    moved = affine.copy()
    moved[:3, 3] = nib.affines.apply_affine(affine, start)
    return volume[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))], moved


def write_nifti(volume: Volume, affine: NDArray[np.float64], path: Path) -> None:
    """Write uint8 NIfTI-1 in mm with both forms set to MNI space; the gzip header holds neither name nor time."""
    image = nib.Nifti1Image(np.ascontiguousarray(volume), affine)
    image.set_sform(affine, code="mni")
    image.set_qform(affine, code="mni")
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=9, mtime=0))


def write_picture(volume: Volume, affine: NDArray[np.float64], path: Path) -> None:
    """Write one coronal slice of an RAS crop as 8-bit grey PNG: superior up, patient's right at the picture's left."""
    _, index, _ = np.rint(nib.affines.apply_affine(np.linalg.inv(affine), (0, SLICE_MM, 0))).astype(int)
    Image.fromarray(np.ascontiguousarray(volume[::-1, index, ::-1].T)).save(path, optimize=True, dpi=(25.4, 25.4))


def describe(left: Box, right: Box) -> list[dict[str, object]]:
    """Names, files and regions of interest (voxels in storage order, stop excluded)."""
    regions = {
        "left hippocampus": {"start": left[0], "stop": left[1]},
        "right hippocampus": {"start": right[0], "stop": right[1]},
    }
    return [
        {
            "key": "colin27_left_hippocampus",
            "file": "colin27_left_hippocampus.nii.gz",
            "name": "Colin27, left hippocampus",
            "description": "T1 MR at 1 mm, cropped around the left hippocampus.",
        },
        {
            "key": "colin27_right_hippocampus",
            "file": "colin27_right_hippocampus.nii.gz",
            "name": "Colin27, right hippocampus",
            "description": "T1 MR at 1 mm, cropped around the right hippocampus.",
        },
        {
            "key": "colin27_t1",
            "file": "colin27_t1.nii.gz",
            "name": "Colin27, whole head",
            "description": "T1 MR at 1 mm of the whole head; to be read inside a region of interest.",
            "regions": regions,
        },
        {
            "key": "colin27_coronal",
            "file": "colin27_coronal.png",
            "name": "Colin27, one coronal slice",
            "description": "A 2-D picture, 1 mm pixels: superior up, the patient's right at the picture's left.",
        },
    ]


def main() -> None:
    """Write the scans, ``samples.json`` and ``SHA256SUMS`` beside this file."""
    parser = argparse.ArgumentParser(description="Make the sample scans from Colin27's T1.")
    parser.add_argument("source", type=Path, help="ch2.nii.gz of Debian's mricron-data")
    source = parser.parse_args().source
    if hashlib.sha256(source.read_bytes()).hexdigest() != SOURCE_SHA256:
        parser.error(f"{source} is not the ch2.nii.gz that the samples were made from")
    image = nib.load(source)
    volume, affine = np.asarray(image.dataobj), image.affine
    left, right = to_voxels(LEFT_BOX, affine), to_voxels(RIGHT_BOX, affine)

    write_nifti(volume, affine, HERE / "colin27_t1.nii.gz")
    write_nifti(*cut(volume, affine, left), HERE / "colin27_left_hippocampus.nii.gz")
    write_nifti(*cut(volume, affine, right), HERE / "colin27_right_hippocampus.nii.gz")
    write_picture(*cut(volume, affine, left), HERE / "colin27_coronal.png")
    samples = describe(left, right)
    (HERE / "samples.json").write_text(json.dumps(samples, indent=2) + "\n", encoding="utf-8")

    names = sorted([str(sample["file"]) for sample in samples] + ["samples.json"])
    sums = [f"{hashlib.sha256((HERE / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (HERE / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    main()
