"""What every test shares: real scans where there are some, a library of its own, no thread left behind."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings

# Training loads torch's compiler and with it Triton, whose LLVM crashes a process that has drawn through Mesa's. In the
# program the two never share a process (`test_packaging.py::test_predicting_loads_no_compiler`); here they do.
sys.modules.setdefault("triton", None)

settings.register_profile("napari-morse", deadline=None, print_blob=True)
settings.load_profile("napari-morse")


@pytest.fixture(autouse=True, scope="session")
def own_library(tmp_path_factory):
    """Keep the models of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_MORSE_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(autouse=True)
def no_thread_left(request):
    """Fail when a thread outlives its test; the tests with a window have a stricter fixture of their own."""
    if "nothing_left" in request.fixturenames:
        yield
        return
    before = set(threading.enumerate())
    yield
    new = set(threading.enumerate()) - before
    for thread in new:
        thread.join(5)
    left = [thread.name for thread in new if thread.is_alive()]
    assert not left, f"threads left: {left}"


@pytest.fixture(scope="session")
def real_scans():
    """Folder of real scans with labels, named by NAPARI_MORSE_DATA; they are not part of the project."""
    named = os.environ.get("NAPARI_MORSE_DATA")
    if not named:
        pytest.skip("NAPARI_MORSE_DATA does not name a folder of real scans")
    return Path(named)


@pytest.fixture(scope="session")
def hippocampus(real_scans):
    """Task04 of the Medical Segmentation Decathlon: images/, labels/, splits.json."""
    folder = real_scans / "hippocampus"
    if not folder.is_dir():
        pytest.skip("the folder named by NAPARI_MORSE_DATA holds no hippocampus/")
    return folder
