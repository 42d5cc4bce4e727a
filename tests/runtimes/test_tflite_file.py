"""Counts read from a .tflite agree with a hand and with Keras."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.runtimes import onnx_file, tflite_file

PLAIN = Preprocessing("none")
layers = keras.layers


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 10, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", bias_initializer="normal", name="first")(image)
    x = layers.DepthwiseConv2D(3, bias_initializer="normal", name="each")(x)
    x = layers.Conv2DTranspose(6, 2, 2, bias_initializer="normal", name="up")(x)
    x = layers.Dense(4, bias_initializer="normal", name="head")(layers.Flatten()(x))
    return keras.Model(image, x)


def keras_macs(model: keras.Model) -> int:
    """An independent count, from layer configurations and shapes."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2DTranspose):
            total += math.prod(layer.input_shape[1:]) * math.prod(layer.kernel_size) * layer.filters
        elif isinstance(layer, layers.DepthwiseConv2D):
            total += math.prod(layer.output_shape[1:]) * math.prod(layer.kernel_size)
        elif isinstance(layer, layers.Conv2D):
            total += math.prod(layer.output_shape[1:]) * math.prod(layer.kernel_size) * layer.input_shape[-1]
        elif isinstance(layer, layers.Dense):
            total += layer.units * layer.input_shape[-1]
    return total


@pytest.fixture(scope="module")
def frozen_model():
    model = network()
    return model, freeze(model, PLAIN)


def test_macs_agree_with_a_hand_and_with_keras(frozen_model):
    model, frozen = frozen_model
    # first: 6 x 5 outputs, 8 channels, 27 taps; each: 4 x 3 outputs, 8 channels, 9 taps;
    # up: 4 x 3 inputs, 8 channels, 4 taps, 6 channels; head: 8 x 6 x 6 values to 4.
    hand = 6 * 5 * 8 * 27 + 4 * 3 * 8 * 9 + 4 * 3 * 8 * 4 * 6 + 8 * 6 * 6 * 4
    assert tflite_file.macs(conversion.float32(frozen)) == hand == keras_macs(model)
    assert onnx_file.macs(conversion.onnx_float32(frozen)) == hand


@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic", "int8"])
def test_every_weight_is_found_under_its_layers_name(frozen_model, kind):
    model, frozen = frozen_model
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 10, 3), dtype=np.uint8)
    content = conversion.int8(frozen, images) if kind == "int8" else getattr(conversion, kind)(frozen)
    found = tflite_file.weights(content)
    assert sorted(found) == sorted(f"{n}/{p}" for n in ("first", "each", "up", "head") for p in ("kernel", "bias"))
    assert sum(values.size for values in found.values()) == model.count_params()
    expected = {"float32": "float32", "float16": "float16", "dynamic": "int8", "int8": "int8"}[kind]
    assert found["head/kernel"].dtype == expected


def test_float_weights_are_the_keras_weights(frozen_model):
    model, frozen = frozen_model
    found = tflite_file.weights(conversion.float32(frozen))
    assert np.array_equal(found["first/kernel"], model.get_layer("first").get_weights()[0].transpose(3, 0, 1, 2))
    assert np.array_equal(found["head/bias"], model.get_layer("head").get_weights()[1])


def test_a_constant_used_twice_is_counted_once():
    image = keras.Input((6, 6, 3))
    shared = layers.Conv2D(3, 3, padding="same", use_bias=False, name="shared")
    found = tflite_file.weights(conversion.float32(freeze(keras.Model(image, shared(shared(image))), PLAIN)))
    # The converter gives every convolution a bias, and both get the same three zeros.
    assert sorted(values.size for values in found.values()) == [3, 3 * 3 * 3 * 3]


def test_operators_and_ends_are_named(frozen_model):
    content = conversion.float32(frozen_model[1])
    assert tflite_file.operators(content)["FULLY_CONNECTED"] == 1
    assert tflite_file.signature(content) == {
        "inputs": [{"name": "image", "shape": [1, 12, 10, 3], "dtype": "float32"}],
        "outputs": [{"name": "head", "shape": [1, 4], "dtype": "float32"}],
    }
    assert tflite_file.float_operators(content)["CONV_2D"] == 1


def test_other_files_are_refused(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"no model at all")
    with pytest.raises(BadInput, match="is not a TensorFlow Lite model"):
        tflite_file.read(tmp_path / "model.tflite")
