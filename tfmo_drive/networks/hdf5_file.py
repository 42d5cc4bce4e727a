"""Checks that the HDF5 library comes back from reading a file.

From some damaged files it never does, or it ends the process. That cannot be caught where it happens (it waits in C
code), so a process of its own looks first: 0.3 s for a file.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tfmo_drive.contracts import BadInput
from tfmo_drive.keras3 import archive

_LOOK = """
import contextlib, resource, sys, h5py
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]),) * 2)
def look(name, one):
    for key in one.attrs:
        with contextlib.suppress(Exception):
            one.attrs[key]
    if isinstance(one, h5py.Dataset):
        with contextlib.suppress(Exception):
            one[()]
with contextlib.suppress(Exception), h5py.File(sys.argv[1]) as file:
    with contextlib.suppress(Exception):
        look("", file)
    file.visititems(look)
"""
_SECONDS, _BYTES = 10.0, 20e6
"""The seconds of a processor that a look may take, and the number of bytes that add one more."""
_PATIENCE = 10
"""The factor by which it may take longer by the clock: a busy machine, or one that slept, damages no file."""


def refuse_endless(path: Path, setting: str) -> None:
    """Raises BadInput where reading the file at `path` takes for ever, or takes the process down.

    Args:
        path: An HDF5 file, or a `.keras` file, which is a zip archive with one in it.
        setting: The setting that names it, with which the line begins.
    """
    if zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as file:
            comes_back = _looked_at(Path(file.extract(archive.WEIGHTS, folder)))
    else:
        comes_back = _looked_at(path)
    if not comes_back:
        raise BadInput(f"{setting}: {path} is damaged: the HDF5 library does not come back from it. Get it again.")


def _looked_at(path: Path) -> bool:
    found = os.stat(path)
    return _comes_back(os.path.abspath(path), found.st_size, found.st_mtime_ns)


@functools.lru_cache
def _comes_back(path: str, size: int, changed: int) -> bool:
    seconds = _SECONDS + size / _BYTES
    try:
        looked = subprocess.run([sys.executable, "-I", "-c", _LOOK, path, f"{seconds:.0f}"], stdin=subprocess.DEVNULL,
                                timeout=_PATIENCE * seconds, capture_output=True)  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return looked.returncode >= 0
