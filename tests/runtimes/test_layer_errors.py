"""Errors of single layers by hand, apart from those that earlier layers made."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.runtimes.layer_errors import layer_errors

layers = keras.layers
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)


def errors(model: keras.Model, images: np.ndarray = IMAGES):
    frozen = freeze(model, Preprocessing("none"))
    return layer_errors(conversion.float32(frozen), conversion.int8(frozen, images), images)


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="first")(inputs)
    x = layers.Add(name="sum")([layers.Conv2D(8, 3, padding="same", name="second")(x), x])
    return keras.Model(inputs, layers.Dense(4, name="head")(layers.Flatten()(layers.MaxPooling2D()(x))))


@pytest.fixture(scope="module")
def model():
    return network()


def test_every_layer_is_there_in_graph_order(model):
    found = errors(model)
    assert [error.operator for error in found if error.operator != "RESHAPE"] == [
        "CONV_2D", "CONV_2D", "ADD", "MAX_POOL_2D", "FULLY_CONNECTED",
    ]  # fmt: skip
    assert all(25 < error.sqnr_db <= 100 for error in found)


def test_an_error_is_the_layers_own(model):
    """One input channel is black, and its taps take the whole range of the first kernel: only that layer is lost."""
    images = IMAGES * np.uint8([0, 1, 1])
    plain = {error.output: error.sqnr_db for error in errors(model, images)}
    hard = keras.models.clone_model(model)
    hard.set_weights(model.get_weights())
    kernel, bias = hard.get_layer("first").get_weights()
    kernel[:, :, 0] = 200 * np.abs(kernel).max()
    hard.get_layer("first").set_weights([kernel, bias])
    found = {error.output: error.sqnr_db for error in errors(hard, images)}
    first, *others = plain
    assert found[first] < 5 < 30 < plain[first]
    assert [found[name] for name in others] == pytest.approx([plain[name] for name in others], abs=0.1)


def test_the_ratio_of_one_dense_layer_by_hand():
    """Input exact, kernel 1.27 and 0.304 in steps of 0.01, output in steps of its range / 255."""
    inputs = keras.Input((1, 1, 3))
    model = keras.Model(inputs, layers.Dense(1, name="a")(layers.Flatten()(inputs)))
    model.set_weights([np.float32([[1.27], [0.304], [0.0]]), np.float32([0])])
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 1, 3), dtype=np.uint8)
    found = errors(model, images)[-1]
    x = images.reshape(200, 3).astype(float)
    exact, rough = x @ [1.27, 0.304, 0], x @ [1.27, 0.30, 0]
    step = exact.max() / 255
    noise = np.square(np.clip(np.round(rough / step), 0, 255) * step - exact).sum()
    assert found.sqnr_db == pytest.approx(10 * np.log10(np.square(exact).sum() / noise), abs=0.5)
