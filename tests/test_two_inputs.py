"""A model of two inputs, an image and a speed, goes through every step and into every file as one of one input does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import tfmo_drive as td
from tests.contract.test_steps import STEPS, case
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.steps.distill import Distill
from tfmo_drive.tasks.arrays.array_task import ArrayTask

layers = keras.layers
COUNT = 96


def examples(count: int = COUNT) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Images, and speeds whose scale no image has; both tell the truth."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    images = (images * np.linspace(0.1, 1, count)[generator.permutation(count), None, None, None]).astype(np.uint8)
    speed = generator.uniform(0, 30, count).astype(np.float32)
    return {"speed": speed, "image": images}, (images.mean((1, 2, 3)) / 50 + speed / 10).astype(np.float32)


def data(**settings) -> td.ArrayData:
    (inputs, truth), parts = examples(), {"train": slice(0, 64), "val": slice(64, 80), "test": slice(80, COUNT)}
    given = {split: ({name: one[part] for name, one in inputs.items()}, truth[part]) for split, part in parts.items()}
    return td.arrays(**given, **settings)


def fused(joined: bool = False) -> keras.Model:
    """Late fusion: behind a Dense layer, or where the raw speed stands beside the image's features."""
    keras.utils.set_random_seed(0)
    image, speed = keras.Input((12, 12, 3), name="image"), keras.Input((1,), name="speed")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(x)))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, strides=2, activation="relu")(x))
    beside = speed if joined else layers.Dense(8, "relu")(layers.Rescaling(1 / 30)(speed))
    return keras.Model([image, speed], layers.Dense(1)(layers.Dense(16, "relu")(layers.Concatenate()([x, beside]))))


@pytest.fixture(scope="module")
def task() -> ArrayTask:
    return ArrayTask(arrays=data(), model=fused())


@pytest.fixture(scope="module")
def baseline(task):
    return task.build()


@pytest.fixture
def context(task, baseline, tmp_path) -> Context:
    return Context(task, baseline, (td.LiteRTInt8(),), tmp_path, 0)


@pytest.mark.parametrize("joined", [False, True], ids=["a layer of its own", "beside the features"])
def test_the_answers_stay_whatever_is_done_to_raw_inputs(joined):
    task, model = ArrayTask(arrays=data(), model=fused(joined)), fused(joined)
    raw = task.examples("train").read(np.arange(64))[0]
    ready = task.preprocessing(raw)
    assert [rule.input for rule in task.preprocessing.each] == list(ready) == ["image", "speed"]
    assert np.abs(ready["speed"]).max() < 3 and np.abs(ready["image"]).max() <= 1, "not at their scales"
    expected = model({name: one.astype(np.float32) for name, one in raw.items()}).numpy()
    np.testing.assert_allclose(task.build()(ready).numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
def test_every_step_takes_both_inputs_and_leaves_them(kind, context, baseline):
    step, fields = case(kind).example, {field.name for field in dataclasses.fields(kind)}
    less = {"epochs": 1, "batch_size": 32, "calibration_images": 8, "macs": 0.8, "learning_rate": 1e-4}
    less |= {"distill": td.SoftLabels(augmented_copies=1), "multiple": 2}
    step = dataclasses.replace(step, **{name: value for name, value in less.items() if name in fields})
    if kind is Distill:
        with pytest.raises(BadInput, match="Distill.student takes one input, and .* takes image, speed"):
            step.refuse(baseline)
        return
    raw = context.task.examples("test").read(np.arange(16))[0]
    made = step(baseline, context)
    assert made.input_names == ["image", "speed"]
    answers, aware = made(context.task.preprocessing(raw)).numpy(), kind is td.QuantizeAware
    file = (td.LiteRTInt8() if aware else td.LiteRTFloat32())(made, context.workdir, context)
    step.check_artifact(file)
    np.testing.assert_allclose(file.predict(raw), answers, atol=(0.1 if aware else 1e-5) * np.ptp(answers), rtol=0)


EXACT = ("litert_float32", "onnx_float32")
TARGETS = [kind for name in td.__all__ if isinstance(kind := getattr(td, name), type)
           and issubclass(kind, td.Target) and kind is not td.Target]  # fmt: skip


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.__name__)
def test_every_target_feeds_both_inputs_by_name(kind, context, baseline):
    raw = context.task.examples("test").read(np.arange(16))[0]
    expected = baseline(context.task.preprocessing(raw)).numpy()
    if kind is td.EthosU:
        pytest.importorskip("ethosu")
    artifact = kind()(baseline, context.workdir, context)
    found = artifact.predict(dict(reversed(raw.items())))
    near = 1e-5 if kind.name in EXACT else 0.1
    np.testing.assert_allclose(found, expected, atol=near * np.ptp(expected), rtol=0)
    assert artifact.runner({name: one[0] for name, one in raw.items()}) or kind is td.EthosU
    with pytest.raises(BadInput, match="takes several inputs, image, speed, got one. Give them by name"):
        artifact.predict(raw["image"])
    with pytest.raises(BadInput, match="takes image, speed, got image"):
        artifact.predict({"image": raw["image"]})
    with pytest.raises(BadInput, match=r"speed: takes float32 rows of 1 numbers, got float64"):
        artifact.predict(raw | {"speed": raw["speed"].astype(np.float64)})
