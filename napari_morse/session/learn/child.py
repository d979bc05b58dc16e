"""Processes of our own, begun so that nothing is run that lies in a project's folder, or where the window was opened.

A folder that somebody gave you may hold a ``pathlib.py``, a ``libc.so.6`` or a ``matplotlibrc``. Python and the
system's loader look where a process stands, unless they are told otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from napari_morse import zoo

PLACE = Path(sys.prefix)
"""Where they stand: Python's own folder. Who may write there may change Python itself, it stays, and nothing is left in
it; a folder of the package's own could not be replaced on Windows as long as one runs."""


def start(module: str, *words: str, errors: BinaryIO) -> subprocess.Popen[bytes]:
    """Run a module of ours in a process that outlives this one.

    Parameters
    ----------
    module
        Its name.
    words
        Its arguments; paths among them are absolute, as it stands elsewhere.
    errors
        What it says on its way down is written there.

    Raises
    ------
    OSError
        No process can be started.
    """
    return subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-P", "-m", module, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=errors, start_new_session=True, cwd=PLACE, env=environment(os.environ),
    )  # fmt: skip


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What such a process inherits: of ``PYTHONPATH`` what is absolute, and the safe path for those that it begins.

    An entry that is empty or relative means another folder there than here; absolute ones are a person's own.
    """
    kept = dict(inherited) | {"PYTHONSAFEPATH": "1"}
    path = os.pathsep.join(x for x in kept.pop("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(x))  # noqa: PTH117
    if path:
        kept["PYTHONPATH"] = path
    if kept.get(zoo.LIBRARY_VARIABLE, "").strip():
        kept[zoo.LIBRARY_VARIABLE] = os.path.abspath(kept[zoo.LIBRARY_VARIABLE].strip())  # noqa: PTH100
    return kept
