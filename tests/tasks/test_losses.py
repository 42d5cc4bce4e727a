"""The loss before the first step, of every task with classes and every end of a model, is the one computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import named
from tfmo_drive.data.mask_files import IGNORE
from tfmo_drive.tasks.arrays import given_arrays
from tfmo_drive.tasks.arrays.array_task import ArrayTask
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows
from tfmo_drive.tasks.sensor_rows.sensor_series import Series

layers = keras.layers
ENDS = {
    "logits": (lambda x: x, "logits"),
    "softmax": (lambda x: layers.Softmax()(x), "probabilities"),
    "softmax by operator": (tf.nn.softmax, "probabilities"),
    "softmax, then reshaped": (
        lambda x: layers.Reshape(x.shape[1:])(tf.nn.softmax(layers.Reshape((-1, x.shape[-1]))(x))),
        "probabilities",
    ),
    "sigmoids": (lambda x: layers.Activation("sigmoid")(x), "sigmoids"),
    "sigmoids by operator": (tf.sigmoid, "sigmoids"),
}
MAPS = {
    "softmax, then larger": (
        lambda x: layers.UpSampling2D(2, interpolation="bilinear")(layers.Softmax()(layers.AveragePooling2D(2)(x))),
        "probabilities",
    ),
    "softmax, then resized": (
        lambda x: tf.image.resize(tf.nn.softmax(layers.AveragePooling2D(2)(x)), x.shape[1:3]),
        "probabilities",
    ),
    "sigmoids, then cropped": (
        lambda x: layers.Cropping2D(2)(layers.Activation("sigmoid")(layers.ZeroPadding2D(2)(x))),
        "sigmoids",
    ),
    "larger logits": (
        lambda x: layers.UpSampling2D(2, interpolation="bilinear")(layers.AveragePooling2D(2)(x)),
        "logits",
    ),
    "softmax before a permutation": (
        lambda x: layers.Permute((2, 3, 1))(layers.Softmax(axis=1)(layers.Permute((3, 1, 2))(x))),
        "probabilities",
    ),
}


def arrays_in_memory() -> ArrayTask:
    rows = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    given = {split: (rows, np.arange(90) % 3) for split in ("train", "val", "test")}
    data = given_arrays.read(given, {}, None, ("a", "b", "c"), "none")
    return ArrayTask(arrays=data, model=keras.Sequential([keras.Input((4,)), layers.Dense(3)]))


@pytest.fixture(scope="module")
def tasks(tiny_task, streets):
    mask = Segmentation(channels=8, balance=False, **streets)
    return {
        "classification": tiny_task,
        "segmentation": mask,
        "several": MultiTask(parts=(mask, LaneKeeping()), **streets),
        "rows": SensorRows(series=Series(train=900, val=90, test=90)),
        "arrays": arrays_in_memory(),
    }


def model_of(task, end) -> keras.Model:
    """A given model of the task's shapes with random answers, that ends in `end`."""
    keras.utils.set_random_seed(0)
    raw = task.preprocessing(task.examples("train").read(np.arange(2))[0])
    image = keras.Input(raw.shape[1:])
    classes = len(task.class_names)
    maps = isinstance(task, (Segmentation, MultiTask))
    start = layers.Conv2D(classes, 3, padding="same") if maps else layers.Dense(classes)
    small = layers.Rescaling(1 / np.abs(raw).max())(image)
    mask = layers.Activation("linear", name="mask")(end(start(small if maps else layers.Flatten()(small))))
    if not isinstance(task, MultiTask):
        return keras.Model(image, mask)
    steering = layers.Dense(1, name="steering")(layers.GlobalAveragePooling2D()(image))
    return keras.Model(image, [mask, steering])


def by_hand(kind: str, outputs: np.ndarray, labels: np.ndarray) -> float:
    """The mean cross-entropy over all that has a label, in float64 and without a loss of anybody's."""
    known = labels != IGNORE
    rows, labels = np.float64(outputs)[known], labels[known].astype(int)
    if kind == "sigmoids":
        wanted = np.eye(rows.shape[-1])[labels]
        return float(-(wanted * np.log(rows) + (1 - wanted) * np.log(1 - rows)).sum(-1).mean())
    shares = rows if kind == "probabilities" else np.exp(rows) / np.exp(rows).sum(-1, keepdims=True)
    return float(-np.log(shares[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("name", ["classification", "segmentation", "several", "rows", "arrays"])
def test_the_loss_before_the_first_step_is_the_one_by_hand(name, tasks):
    task = tasks[name]
    ends = {**ENDS, **MAPS} if name in ("segmentation", "several") else ENDS
    for end, (make, kind) in ends.items():
        model = model_of(task, make)
        raw, targets = task.examples("test").read(np.arange(8))
        outputs = named(model, model(task.preprocessing(raw)))
        found = float(task.loss(model)(task.encode(targets), outputs))
        if name == "several":
            lane, mask = task.parts[1], outputs["mask"]
            found -= float(lane.loss(model)(targets["lane_keeping"], outputs["steering"]))
            outputs, targets = mask, targets["segmentation"]
        assert found == pytest.approx(by_hand(kind, outputs.numpy(), targets), rel=2e-4), end
