"""The distance to the nearest road user: the example of a task of one number, on scenes and on a CSV of one's own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.networks.networks import SmallCNN
from tfmo_drive.scenes import scenes
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.train import Train
from tfmo_drive.tasks.distance import ROAD_USERS, DistanceToObject
from tfmo_drive.training import scoring


@pytest.fixture(scope="module")
def task(cache):
    return DistanceToObject(
        image_size=(48, 64), network=SmallCNN(filters=(8, 16, 16)), scenes=Frames(train=192, val=32, test=48)
    )


def test_the_truth_is_the_scenes_own_in_metres(task):
    pixels, metres = task.examples("test").read(np.arange(20))
    for index in range(20):
        scene = scenes.draw(2, index, task.size)  # the test split of seed 0
        near = [one.distance_m for one in scene.objects if one.kind in ROAD_USERS and one.visible >= 0.3]
        assert np.array_equal(scene.image, pixels[index])
        assert metres[index, 0] == pytest.approx(min([*near, task.farthest]))
    assert len(np.unique(metres)) > 10


def test_it_learns(task, tmp_path):
    model = Train(epochs=12, learning_rate=0.02, batch_size=16)(
        task.build(), Context(task, task.build(), (), tmp_path, 0)
    )
    outputs, targets = scoring.Scorer(model, task).said("train")  # so few frames tell such a network little of others
    trivial = task.evaluate(task.trivial(len(targets)).outputs, targets)
    judged = task.evaluate(outputs, targets)
    assert judged.score > trivial.score
    assert judged.more["mean_absolute_error"] < trivial.more["mean_absolute_error"]
    assert task.trivial(1).says.startswith("always ") and task.trivial(1).says.endswith(" m")


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
