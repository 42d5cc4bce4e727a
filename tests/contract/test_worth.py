"""A model that has learnt nothing is the first line and exit code 1, whatever it perceives; one that has is neither.

Through the command line's own `main`, from training to report, with every task class of conftest.py.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from tfmo_drive.commands import experiment_flags, run
from tfmo_drive.experiment import Experiment
from tfmo_drive.measures.accuracy import Accuracy
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.networks.networks import DenseLayers
from tfmo_drive.report import write_report
from tfmo_drive.report.sections import document
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.train import Train
from tfmo_drive.tasks.classification import Classification, Scenes
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows
from tfmo_drive.tasks.sensor_rows.sensor_series import Series
from tfmo_drive.training.trained_step import copy


@pytest.fixture
def ran(tmp_path, monkeypatch, capsys):
    """ran(task, training) -> the exit code, what was printed, and report.json; figures and sheets are left out."""
    for pictures in ("figures", "sheets"):
        monkeypatch.setattr(write_report, pictures, lambda *_: {})

    def start(task, training):
        experiment = Experiment(task=task, training=training, measures=(Accuracy(),))
        monkeypatch.setattr(experiment_flags, "chosen", lambda argv: ("tried", experiment, tmp_path / "run"))
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver(seed=0):
            code = run.main(["run"])
        return code, capsys.readouterr().out, json.loads((tmp_path / "run" / "report.json").read_text())

    return start


def constant(task, model, folder):
    """The task with a given baseline that answers every example alike."""
    weights, alike = model.get_weights(), copy(model)
    alike.set_weights([np.zeros_like(one) if one.ndim > 1 else one for one in weights])
    if "model" in {field.name for field in dataclasses.fields(task)}:
        return dataclasses.replace(task, model=alike, trained=True)
    alike.save_weights(str(folder / "constant.h5"))
    return dataclasses.replace(task, baseline=str(folder / "constant.h5"))


@pytest.mark.parametrize("given", ["untrained", "constant"])
def test_a_worthless_baseline_is_the_first_line_everywhere_and_exit_code_one(given, task, model, ran, tmp_path):
    if given == "constant":
        task = constant(task, model, tmp_path)
    code, printed, report = ran(task, Train(epochs=0))
    assert code == 1
    first = "WORTHLESS BASELINE: baseline/litert_float32 "
    assert printed.startswith(first)
    shown = document(report)
    assert shown.verdict[0].startswith(first) and shown.tone == "bad"
    assert (shown.tiles[0].value, shown.tiles[0].label, shown.tiles[0].tone) == ("worthless", "float baseline", "bad")
    assert (tmp_path / "run" / "report.md").read_text().splitlines()[2].startswith(f"**{first}")
    page = (tmp_path / "run" / "report.html").read_text().replace("‑", "-").replace("<wbr>", "")
    assert f'<p class="headline">{first}' in page
    row = report["rows"][0]
    assert row["score"] - row["trivial_score"] == pytest.approx(row["over_trivial"])
    assert row["over_trivial_low"] <= 0 or any(part["over_trivial_low"] <= 0 for part in row.get("parts", {}).values())
    assert [(one["name"], one["passed"]) for one in report["expect"]] == [("baseline_beats_trivial", False)]
    assert row["trivial_answer"] and f"answering {row['trivial_answer']}" in shown.verdict[0]


def decent(streets) -> dict:
    """Tasks, each with a training that is just long enough to learn something."""
    frames = streets | {"image_size": (48, 64), "scenes": Frames(train=128, val=16, test=48)}
    series = {"network": DenseLayers(units=(8,)), "series": Series(train=900, val=90, test=90)}
    lanes = {"image_size": (32, 48), "network": SmallCNN(filters=(8, 16, 16))}
    return {
        "Classification": (
            Classification(image_size=32, network=streets["network"], scenes=Scenes(train=512, val=64, test=128)),
            Train(epochs=4, learning_rate=0.05, batch_size=32),
        ),
        "MultiTask": (
            MultiTask(parts=(Segmentation(channels=8), Detection(channels=8)), **frames),
            Train(epochs=10, learning_rate=0.05, batch_size=8),
        ),
        "LaneKeeping": (
            LaneKeeping(**lanes, scenes=Frames(train=512, val=32, test=96)),
            Train(epochs=20, learning_rate=0.02, batch_size=32),
        ),
        "SensorRows": (SensorRows(**series), Train(epochs=6, learning_rate=0.05, batch_size=32)),
        "of a number": (SensorRows(predicts="number", **series), Train(epochs=6, learning_rate=0.05, batch_size=32)),
    }


@pytest.mark.parametrize("name", ["Classification", "MultiTask", "LaneKeeping", "SensorRows", "of a number"])
def test_a_decent_tiny_baseline_passes(name, streets, ran):
    """Segmentation and detection are the parts of the one that does several tasks, each of which must be decent."""
    code, printed, report = ran(*decent(streets)[name])
    assert code == 0 and "WORTHLESS" not in printed and "Its expectation is met." in " ".join(printed.split())
    shown = document(report)
    assert shown.tone == "good" and shown.verdict[0].startswith("The float baseline baseline/litert_float32 scores ")
