"""Functions of TensorFlow become the layers that compute the same, or stay as they are; no answer changes."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import own_model, plain_layers
from tfmo_drive.networks.integers import integer_layers
from tfmo_drive.networks.operator_layers import symbol

layers, backend = keras.layers, keras.backend
MAPS = np.random.default_rng(0).normal(size=(3, 4, 4, 4)).astype(np.float32)
CHANNELS = np.float32([1, 2, -3, 4])

REPLACED = {
    "x + 3": lambda x: x + 3.0,
    "3 - x": lambda x: 3.0 - x,
    "x - channels": lambda x: x - CHANNELS,
    "channels * x": lambda x: CHANNELS * x,
    "x / channels": lambda x: x / CHANNELS.reshape(1, 1, 1, 4),
    "-x": lambda x: -x,
    "x ** 2": lambda x: x**2,
    "square": tf.square,
    "x * x - x": lambda x: x * x - x,
    "relu, relu6": lambda x: tf.nn.relu6(tf.nn.relu(x) * 5.0),
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.3),
    "elu, selu": lambda x: tf.nn.elu(tf.nn.selu(x)),
    "silu, sigmoid, tanh": lambda x: tf.nn.silu(tf.tanh(tf.sigmoid(x))),
    "softmax": tf.nn.softmax,
    "concat": lambda x: tf.concat([x, tf.nn.relu(x)], -1),
    "add_n, maximum, minimum": lambda x: tf.maximum(tf.add_n([x, tf.nn.relu(x)]), tf.minimum(x, tf.nn.relu6(x))),
}
STAYING = {
    "a constant along the rows": lambda x: x * CHANNELS.reshape(4, 1, 1),
    "a constant along the columns": lambda x: x + CHANNELS.reshape(1, 4, 1),
    "one for every place": lambda x: x - np.arange(16, dtype=np.float32).reshape(4, 4, 1),
    "2 / x": lambda x: 2.0 / (x + 9.0),
    "softmax along the columns": lambda x: tf.nn.softmax(x, axis=2),
    "channels turned round": lambda x: x[..., ::-1],
    "a window and new axes": lambda x: x[:, None, ..., 1:3],
    "another power": lambda x: tf.pow(tf.nn.relu(x), 3),
}


def network(body) -> keras.Model:
    image = keras.Input((4, 4, 4), name="maps")
    return keras.Model(image, body(image))


@pytest.mark.parametrize("name", [*REPLACED, *STAYING])
def test_answers_stay_the_same_and_only_what_a_layer_computes_is_replaced(name):
    model = network((REPLACED | STAYING)[name])
    made = plain_layers.split(model)
    assert bool([layer for layer in made.layers if symbol(layer)]) == (name in STAYING)
    assert made.output_names == model.output_names and made.to_json()
    np.testing.assert_allclose(made(MAPS), model(MAPS), rtol=1e-5, atol=1e-5)


ALONE = {
    "BatchNorm of maps": lambda x: layers.BatchNormalization()(layers.ReLU()(x)),
    "BatchNorm of rows": lambda x: layers.BatchNormalization()(layers.Flatten()(x)),
    "BatchNorm of series": lambda x: layers.BatchNormalization()(layers.Reshape((16, 4))(x)),
    "Rescaling of maps": layers.Rescaling([1.0, 2.0, 3.0, 4.0], -1.0),
    "Rescaling of rows": lambda x: layers.Rescaling(0.5, 1.0)(layers.Flatten()(x)),
    "average": lambda x: layers.Average()([x, layers.ReLU()(x), layers.ELU()(x)]),
    "hard_sigmoid, selu": lambda x: layers.Activation("hard_sigmoid")(layers.Activation("selu")(x)),
    "ReLU up to 2": layers.ReLU(2.0),
    "LayerNorm of maps": lambda x: layers.LayerNormalization(epsilon=0.1)(x),
    "LayerNorm of series, no scale": lambda x: layers.LayerNormalization(scale=False)(layers.Reshape((16, 4))(x)),
    "LayerNorm of rows, no offset": lambda x: layers.LayerNormalization(center=False)(layers.Flatten()(x)),
    "GroupNorm of maps": lambda x: layers.GroupNormalization(2, epsilon=0.1)(x),
    "GroupNorm of each channel": lambda x: layers.GroupNormalization(-1)(x),
    "GroupNorm of series": lambda x: layers.GroupNormalization(1)(layers.Reshape((16, 4))(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_a_model_in_layers_of_one_operator_each_answers_as_before(name):
    model = network(ALONE[name])
    generator = np.random.default_rng(1)
    model.set_weights([generator.uniform(0.2, 2.0, one.shape) for one in model.get_weights()])
    made = integer_layers.integer_form(model)
    assert made.output_names == model.output_names
    np.testing.assert_allclose(made(MAPS), model(MAPS), rtol=1e-4, atol=1e-4)


def test_a_normalisation_of_many_channels_needs_no_finer_steps_than_its_operator_has(monkeypatch):
    inputs = keras.Input((2, 2, 768))
    model = keras.Model(inputs, layers.LayerNormalization()(inputs))
    made = integer_layers.integer_form(model)
    unit = layers.UnitNormalization.call
    monkeypatch.setattr(layers.UnitNormalization, "call", lambda layer, x: tf.round(unit(layer, x) * 128) / 128)
    maps = np.random.default_rng(0).normal(size=(8, 2, 2, 768)).astype(np.float32)
    wanted = model(maps).numpy()
    noise = made(maps).numpy() - wanted
    assert 10 * np.log10(np.mean(wanted**2) / np.mean(noise**2)) > 32  # 24 in one step over all channels


def test_what_the_converter_takes_badly_is_written_anew_and_nothing_else_is_touched():
    model = network(lambda x: layers.LayerNormalization(name="norm")(layers.Dense(4, "selu", name="wide")(x)))
    made = integer_layers.convertible(model)
    kinds = {type(layer) for layer in made.layers}
    assert not kinds & {layers.LayerNormalization} and made.output_names == ["norm"]
    assert not [one for one in made.layers if getattr(one, "activation", None) is keras.activations.selu]
    np.testing.assert_allclose(made(MAPS), model(MAPS), rtol=1e-5, atol=1e-5)
    plain = network(lambda x: layers.ReLU(2.0)(layers.Average()([x, layers.Activation("hard_sigmoid")(x)])))
    assert integer_layers.convertible(plain) is plain


PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 4, 4, 4)).astype(np.float32)


def scaled(x, by=255.0):
    return x / by - 0.5


BUILT_IN = {
    "pixels to -1..1": lambda x: layers.Lambda(lambda one: one / 127.5 - 1.0)(x),
    "a function and its argument": lambda x: layers.Lambda(scaled, arguments={"by": 100.0})(x),
    "the input itself": lambda x: layers.Lambda(lambda one: one)(x),
    "two inputs": lambda x: layers.Lambda(lambda two: two[0] * two[1])([x, layers.ReLU(100.0)(x)]),
    "one behind the other": lambda x: layers.Lambda(lambda one: one + 1.0)(layers.Lambda(lambda one: one - 9.0)(x)),
    "softmax": lambda x: layers.Lambda(lambda one: tf.nn.softmax(one / 255.0))(x),
}
OPERATORS = {
    "resized by Keras's backend": lambda x: layers.Lambda(
        lambda one: backend.resize_images(one, 2, 2, "channels_last")
    )(x),
    "a window": lambda x: layers.Lambda(lambda one: one[:, 1:3, ..., ::-1])(x),
}  # fmt: skip
CLOSED = {
    "code that TensorFlow cannot trace": lambda x: layers.Lambda(
        lambda one: tf.numpy_function(np.sqrt, [one], tf.float32), output_shape=(4, 4, 4)
    )(x),
    "chance": lambda x: layers.Lambda(lambda one: one + tf.random.normal((3,), seed=1)[0])(x),
    "one that is called twice": lambda x: (lambda layer: layer(layer(x)))(layers.Lambda(lambda one: one * 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", [*BUILT_IN, *OPERATORS, *CLOSED])
def test_a_lambda_becomes_the_operators_that_it_calls_or_stays(name):
    image = keras.Input((4, 4, 4), name="maps")
    model = keras.Model(image, (BUILT_IN | OPERATORS | CLOSED)[name](image))
    made = own_model.taken(model, "the model")
    assert bool([one for one in made.layers if isinstance(one, layers.Lambda)]) == (name in CLOSED)
    assert bool([one for one in made.layers if symbol(one)]) == (name in OPERATORS)
    assert made.output_names == model.output_names and made.to_json()
    if name != "chance":
        np.testing.assert_allclose(made(PIXELS), model(PIXELS), rtol=1e-5, atol=1e-4)
