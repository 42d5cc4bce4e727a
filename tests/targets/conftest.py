"""One tiny residual network, its quantize-aware twin, and a task with random pictures."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Context, Evaluation, Examples, Preprocessing, Task

SIZE, CLASSES = 32, 5


def residual(blocks: tuple[tuple[int, int], ...] = ((8, 1), (16, 2))) -> keras.Model:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    layers = keras.layers

    def convolution(x, channels, size, stride, name):
        x = layers.Conv2D(channels, size, stride, padding="same", name=f"{name}_conv")(x)
        return layers.BatchNormalization(name=f"{name}_bn")(x)

    image = layers.Input((SIZE, SIZE, 3))
    x = layers.ReLU()(convolution(image, 8, 3, 2, "stem"))
    for i, (channels, stride) in enumerate(blocks):
        shortcut = x if stride == 1 else convolution(x, channels, 1, stride, f"block{i}_0")
        y = layers.ReLU()(convolution(x, channels, 3, stride, f"block{i}_1"))
        x = layers.ReLU()(layers.Add()([convolution(y, channels, 3, 1, f"block{i}_2"), shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(CLASSES, bias_initializer="normal", name="logits")(x), name="tiny")
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape[0]
            ranges = ((0.5, 1.5), (-0.2, 0.2), (-0.2, 0.2), (500, 2000) if "stem" in layer.name else (0.5, 2))
            layer.set_weights([generator.uniform(*bounds, count) for bounds in ranges])
    return model


class Pictures(Examples):
    def __init__(self, count: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        # Never black and never white: the range of the pixels must not come from the calibration images.
        self.images = generator.integers(20, 200, (count, SIZE, SIZE, 3), dtype=np.uint8)
        self.labels = generator.integers(0, CLASSES, count)
        self.groups = np.arange(count)

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices):
        return self.images[indices], self.labels[indices]


class Guessing(Task):
    name = "guessing"
    preprocessing = Preprocessing("caffe", (2, 1, 0), (1.0, 1.0, 1.0), (-103.939, -116.779, -123.68))

    def examples(self, split):
        return Pictures(40, ("train", "val", "test").index(split))

    def build(self):
        return residual()

    def loss(self, model):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def evaluate(self, outputs, targets):
        says = outputs.argmax(1)
        return Evaluation((says == targets).astype(float), says, {})

    def metadata(self, model):
        resize = {"rule": "bilinear", "fit": "stretch", "pad": 114}
        return {
            "task": "classification",
            "labels": ["a", "b", "c", "d", "e"],
            "input": {"height": SIZE, "width": SIZE, "colour_order": "RGB", "resize": resize},
            "decode": {"kind": "logits"},
        }


@pytest.fixture(scope="session")
def model():
    return residual()


@pytest.fixture(scope="session")
def aware():
    """tfmot's quantize-aware twin with sensible ranges, as a calibrated start would set them."""
    import tensorflow_model_optimization as tfmot

    wrapped = tfmot.quantization.keras.quantize_model(residual())
    for weight in wrapped.weights:
        kind = weight.name.split(":")[0].rsplit("_", 1)[-1]
        if kind in ("min", "max") and "kernel" not in weight.name:
            low, high = (-124.0, 152.0) if "quantize_layer" in weight.name else (-6.0, 6.0)
            weight.assign(low if kind == "min" else high)
    return wrapped


@pytest.fixture
def context(model, tmp_path):
    return Context(Guessing(), model, (), tmp_path, 0)


@pytest.fixture
def images():
    return Pictures(12, 7).images


@pytest.fixture
def expected():
    """What a Keras model says of uint8 pictures after the task's preprocessing."""
    return lambda model, images: model.predict(Guessing.preprocessing(images), verbose=0)


def packed(model, folder, board):
    """The board's pack of a model, made by its own target."""
    from tfmo_drive.boards.board import named
    from tfmo_drive.pack.write_pack import write

    context = Context(Guessing(), model, (), folder / "stages", 0)
    artifacts = folder / "artifacts" / "tiny" / board
    artifacts.mkdir(parents=True)
    target = dataclasses.replace(named(board).target, calibration_images=20)
    return write(target(model, artifacts, context), named(board), board, context)


@pytest.fixture(scope="session")
def packing():
    """packing(model, folder, board) -> its pack; the folder's artifacts must not be there yet."""
    return packed


@pytest.fixture(scope="session")
def pack(model, tmp_path_factory):
    return packed(model, tmp_path_factory.mktemp("linux"), "raspberry_pi_4")


@pytest.fixture(scope="session")
def small(model, tmp_path_factory):
    return packed(model, tmp_path_factory.mktemp("micro"), "stm32h743")


@pytest.fixture(scope="session")
def npu(model, tmp_path_factory):
    """Of a run that was measured."""
    folder = tmp_path_factory.mktemp("npu")
    row = {"name": "tiny/int8", "score": 0.9, "score_low": 0.8, "score_high": 0.95, "score_delta": -0.013,
           "size_bytes": 1234, "runtime": "ethos-u55-128"}  # fmt: skip
    missed = {"name": "score_drop", "row": "tiny/int8", "bound": 0.01, "value": 0.013, "unit": "points"}
    busy = missed | {"name": "latency_p95_ms", "unit": "ms", "bound": 10.0, "value": 12.34, "passed": None}
    report = {"schema": 2, "rows": [row], "expect": [missed | {"passed": False, "least": False}, busy]}
    (folder / "report.json").write_text(json.dumps(report))
    return packed(model, folder, "corstone_300")
