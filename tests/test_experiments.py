"""Every experiment file can be constructed, is documented, and is named in the README."""

from pathlib import Path

import pytest

from tfmo_drive import run
from tfmo_drive.core.overrides import describe, override
from tfmo_drive.experiment import Experiment

ROOT = Path(__file__).parents[1]
FILES = sorted(path for path in (ROOT / "experiments").glob("*.py") if path.stem != "__init__")
WANTED = {
    "baseline", "pruned", "quantized", "pruned_quantized", "distilled", "distilled_quantized", "post_training",
    "pruned_2x4", "smoke", "demo",
}  # fmt: skip


def test_all_promised_experiments_are_there():
    assert WANTED <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_experiment_can_be_constructed_and_described(path):
    experiment = run.experiment(str(path))
    assert isinstance(experiment, Experiment)
    text = describe(experiment)
    assert "task.image_size" in text
    again = override(experiment, ["task.image_size=32", "training.epochs=1"])
    assert (again.task.image_size, again.training.epochs) == (32, 1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_experiment_is_a_notebook(path):
    command = "make demo" if path.stem == "demo" else f"make train-{path.stem}"
    assert command in path.read_text().split('"""')[1]
    assert f"`{path.stem}`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_stage_and_row_names_cannot_collide(path):
    experiment = run.experiment(str(path))
    assert path.stem not in experiment.controls
    assert len({target.name for target in experiment.all_targets}) == len(experiment.all_targets)
