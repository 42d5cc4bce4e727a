"""A file that the HDF5 library does not come back from is damaged; one that a busy machine reads late is not."""

from __future__ import annotations

import time

import h5py
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import hdf5_file

ENDLESS, LATE = "while True: pass", "import time; time.sleep(1.5)"


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = [1.0, 2.0]
    return tmp_path / "weights.h5"


def test_what_takes_a_processor_for_ever_is_refused_in_one_line(path, monkeypatch):
    hdf5_file.refuse_endless(path, "task.baseline")
    monkeypatch.setattr(hdf5_file, "_SECONDS", 1.0)
    monkeypatch.setattr(hdf5_file, "_LOOK", f"{hdf5_file._LOOK}\n{ENDLESS}")
    path.touch()
    hdf5_file._comes_back.cache_clear()
    began = time.monotonic()
    with pytest.raises(BadInput, match="^task.baseline: .*weights.h5 is damaged: the HDF5 library does not come back"):
        hdf5_file.refuse_endless(path, "task.baseline")
    assert time.monotonic() - began < 10 * 1.0


def test_what_only_waits_is_no_damage(path, monkeypatch):
    monkeypatch.setattr(hdf5_file, "_SECONDS", 1.0)
    monkeypatch.setattr(hdf5_file, "_LOOK", f"{hdf5_file._LOOK}\n{LATE}")
    hdf5_file._comes_back.cache_clear()
    hdf5_file.refuse_endless(path, "task.baseline")
