"""The distance to the nearest road user: the example of a task of one number, on scenes and on a CSV of one's own."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.boards.board import named
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.flow.flow import Run
from tfmo_drive.measures.accuracy import Accuracy
from tfmo_drive.measures.size import Size
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.pack.write_pack import write
from tfmo_drive.report.rendering.markdown import terminal
from tfmo_drive.report.rendering.numbers import measured
from tfmo_drive.report.verdict import amount, limit
from tfmo_drive.scenes import frames, scenes
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.distance import DistanceToObject
from tfmo_drive.tasks.number_task import NumberTask


@pytest.fixture(scope="module")
def task(cache):
    still = Augmentation(flip=False, shift=0.0, zoom=0.0, shear_degrees=0.0, brightness=0.0, contrast=0.0)
    return DistanceToObject(
        image_size=(48, 64), network=SmallCNN(filters=(8, 16, 16)), scenes=Frames(train=96, val=16, test=32),
        augmentation=still,
    )  # fmt: skip


def test_the_truth_is_the_scenes_own_in_metres(task):
    pixels, metres = task.examples("test").read(np.arange(20))
    for index in range(20):
        scene = scenes.draw(2, index, task.size)  # the test split of seed 0
        near = [one.distance_m for one in scene.objects if one.kind in frames.ROAD_USERS and one.visible >= 0.3]
        assert np.array_equal(scene.image, pixels[index])
        assert metres[index, 0] == pytest.approx(min([*near, task.farthest]))
    assert len(np.unique(metres)) > 10


@pytest.fixture(scope="module")
def run(task, tmp_path_factory):
    """Evaluated on train: so few frames tell so small a network little of others."""
    experiment = Experiment(
        task=task, training=Train(epochs=30, learning_rate=0.01, batch_size=16, averaged_epochs=2),
        measures=(Accuracy(split="train"), Size()),
        targets=(LiteRTFloat32(), LiteRTInt8(calibration_images=32)), expect=Expect(error_rise=2.0, score_drop=0.2),
    )  # fmt: skip
    return Run(name="near", experiment=experiment, workdir=tmp_path_factory.mktemp("distance") / "near")


@pytest.fixture(scope="module")
def report(run):
    return run.report()


def test_it_learns_and_its_report_says_metres(run, report, task):
    first, row = report["rows"]
    assert row["trivial_answer"].endswith(" m") and first["over_trivial_low"] > 0
    assert row["error_unit"] == "m" and row["error"] == row["mean_absolute_error"]
    assert row["error_low"] <= row["error"] <= row["error_high"]
    assert row["error_delta"] == pytest.approx(row["error"] - first["error"])
    asked = next(one for one in report["expect"] if one["name"] == "error_rise")
    assert (asked["unit"], asked["bound"], asked["passed"]) == ("m", 2.0, row["error_delta"] <= 2)
    assert limit(asked) == "at most 2.00 m" and amount(asked, "value").endswith(" m")
    written = (run.workdir / "report.md").read_text()
    assert f"Its mean error is {measured(first['error'], 'm')}" in written and "| Error |" in written
    assert measured(row["error"], "m") in terminal(report)


def test_its_pack_says_metres(run, report):
    board = named("raspberry_pi_4")
    there = dataclasses.replace(run.experiment, targets=(board.target,), expect=Expect())
    with dataclasses.replace(run, experiment=there).chain() as made:
        pack = write(made.artifacts[0], board, "raspberry_pi_4", made.context, Expect())
    facts = json.loads((pack.folder / "model.json").read_text())
    assert facts["decode"]["unit"] == "m"
    assert "Kind::kNumber" in (pack.folder / "model_facts.h").read_text()
    assert measured(report["rows"][0]["error"], "m") in (pack.folder / "README.md").read_text()


@pytest.fixture
def table(tmp_path):
    """50 grey pictures; the lighter, the further."""
    lines = ["image,metres,split"]
    for number in range(50):
        Image.new("RGB", (20, 20), (5 * number,) * 3).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{number / 2},{('train', 'train', 'val', 'test')[number % 4]}")
    (tmp_path / "distances.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "distances.csv"


def test_a_csv_of_ones_own_is_read_by_its_columns(task, table):
    with pytest.raises(BadInput, match="has no column for the number"):
        dataclasses.replace(task, data=str(table)).examples("train")
    named = dataclasses.replace(task.columns, number="metres")
    own = dataclasses.replace(task, data=str(table), columns=named)
    pixels, metres = own.examples("val").read(np.arange(12))
    assert metres[:, 0].tolist() == [(4 * place + 2) / 2 for place in range(12)]
    assert pixels[:, 0, 0, 0].tolist() == [5 * (4 * place + 2) for place in range(12)]
    assert own.fingerprint() != task.fingerprint()
    table.write_text(table.read_text().replace("7.png,3.5", "7.png,far"))
    with pytest.raises(BadInput, match=r"1 of 50 rows have no number or no image of their own: line 9 \("):
        dataclasses.replace(own).examples("train")
    assert len(dataclasses.replace(own, skip_bad=True).examples("test")) == 11


def test_a_number_task_that_forgets_something_is_refused():
    def made(**facts):
        facts = {"name": "mine", "output_names": ("mine",), "unit": "m", "number": lambda self, scene: 1.0, **facts}
        kind = dataclasses.dataclass(frozen=True, kw_only=True)(type("Mine", (NumberTask,), facts))
        return kind(image_size=(32, 48), scenes=Frames(train=16, val=16, test=16))

    with pytest.raises(BadInput, match="Mine does not say its unit"):
        made(unit="")
    with pytest.raises(BadInput, match=r'Mine.output_names must be a tuple of names, got "mine". Write \("mine",\).'):
        made(output_names=("mine"))
    with pytest.raises(BadInput, match="Mine.own_settings must name most"):
        made(most=1.0, __annotations__={"most": float})
    assert made(most=1.0, __annotations__={"most": float}, own_settings=("most",)).most == 1.0


def test_a_number_that_is_none_or_not_finite_is_refused(task, monkeypatch):
    for found in (None, float("nan")):
        monkeypatch.setattr(DistanceToObject, "number", lambda self, scene, found=found: found)
        with pytest.raises(BadInput, match="DistanceToObject.number must be finite for every scene, got"):
            dataclasses.replace(task, farthest=77.0).examples("train")
