"""One tiny residual network, its quantize-aware twin, and a task with random pictures."""

from __future__ import annotations

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
