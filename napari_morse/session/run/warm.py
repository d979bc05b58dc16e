"""Loading torch in a thread without the window noticing.

Two things would hold the interpreter's lock for more than a tenth of a second: mapping torch's libraries, and garbage
collections over the hundreds of thousands of objects that the import makes.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from threading import Lock

_lock = Lock()
LIBRARIES = ("libtorch_cpu", "libtorch_python")


def load_torch() -> None:
    """Import the rooms that use torch; quick when they are already there. Any thread."""
    with _lock:
        if "napari_morse.inference.predictor" in sys.modules:
            return
        _map_libraries()
        collecting = gc.isenabled()
        gc.disable()
        try:
            importlib.import_module("napari_morse.inference.predictor")
        finally:
            if collecting:
                # Every full collection would walk over all that was imported, 0.4 s each: set it apart. What else lives
                # now is set apart with it, so that whoever closes a window calls `thaw`.
                gc.freeze()
                gc.enable()


def thaw() -> None:
    """Let the collector see everything again: something large, such as a window, may have become garbage."""
    gc.unfreeze()


def _map_libraries() -> None:
    """Map torch's libraries with the lock released, so that the import finds them mapped; on POSIX only."""
    spec = importlib.util.find_spec("torch")
    if os.name != "posix" or spec is None or spec.origin is None:
        return
    # A foreign call releases the lock; ctypes.CDLL, which would map a library too, does not.
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    folder = Path(spec.origin).parent / "lib"
    for name in LIBRARIES:
        for path in folder.glob(f"{name}.*"):
            dlopen(os.fsencode(path), os.RTLD_NOW)
