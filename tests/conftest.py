"""What every test shares: real scans where there are some, a library of its own, no thread left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings

# Training loads torch's compiler and with it Triton, whose LLVM crashes a process that has drawn through Mesa's. In the
# program the two never share a process (`test_packaging.py::test_predicting_loads_no_compiler`); here they do.
sys.modules.setdefault("triton", None)

SERVER = pytest.StashKey["subprocess.Popen[bytes]"]()
"""The X server of a worker."""

settings.register_profile("napari-morse", deadline=None, print_blob=True)
settings.load_profile("napari-morse")


def pytest_configure(config):
    """Give each worker of several an X server of its own: windows of two would take the focus from each other."""
    if os.environ.get("PYTEST_XDIST_WORKER") and os.environ.get("DISPLAY") and shutil.which("Xvfb"):
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1920x1200x24", "-nolisten", "tcp"]
        config.stash[SERVER] = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as told:
            os.environ["DISPLAY"] = f":{told.readline().strip()}"
        os.environ.pop("XAUTHORITY", None)


def pytest_unconfigure(config):
    """The worker's own X server goes with it."""
    server = config.stash.get(SERVER, None)
    if server is not None:
        server.terminate()
        server.wait(10)


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
