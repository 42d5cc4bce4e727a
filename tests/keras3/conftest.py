"""Models that Keras 3 wrote, all of them built in one process and read in another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("keras3_writer.py")


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Path:
    """The folder of all models of keras3_models.py."""
    folder = tmp_path_factory.mktemp("keras3")
    ran = subprocess.run([sys.executable, str(PROGRAM), str(folder)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def read_by_keras3(written, tmp_path_factory) -> dict[Path, tuple[Path, str]]:
    """By file, the folder of what is in it, and why there is nothing."""
    from tfmo_drive.keras3 import exported

    place = tmp_path_factory.mktemp("exported")
    files = sorted({*written.glob("*.keras"), *written.glob("*.h5")} - {*written.glob("*.weights.h5")})
    jobs = [(path, place / path.name) for path in files]
    for _, folder in jobs:
        folder.mkdir()
    whys = exported.export_all(jobs)
    return {path: (folder, why) for (path, folder), why in zip(jobs, whys, strict=True)}


@pytest.fixture
def load(read_by_keras3, monkeypatch):
    """load(path) -> the model in Keras 2, as `own_model.load` gives it, of what was read already."""
    from tfmo_drive.keras3 import exported
    from tfmo_drive.networks import own_model

    def ready(jobs, allow_code):
        for path, folder in jobs:
            shutil.copytree(read_by_keras3[path][0], folder, dirs_exist_ok=True)
        return [read_by_keras3[path][1] for path, _ in jobs]

    def loaded(path: Path):
        assert own_model.is_whole_model(path)
        return own_model.load(path, "task.baseline", allow_code=False)

    monkeypatch.setattr(exported, "export_all", ready)
    return loaded
