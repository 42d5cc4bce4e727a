"""What is several operators is split into layers that give what it gave."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import graph, own_model, plain_layers, shipped_layers
from tfmo_drive.networks.integers import integer_layers

layers = keras.layers


@pytest.mark.parametrize(
    "settings",
    [
        {"strides": 2, "padding": "same", "activation": "relu"},
        {"depth_multiplier": 2, "use_bias": False},
        {"dilation_rate": 2, "padding": "same", "bias_initializer": "ones"},
    ],
)
def test_two_convolutions_give_what_the_separable_one_gave(settings):
    inputs = keras.Input((12, 10, 3))
    model = keras.Model(inputs, layers.SeparableConv2D(5, 3, name="sep", **settings)(inputs))
    found = plain_layers.split(model)
    assert [layer.name for layer in found.layers[1:]] == ["sep_depthwise", "sep"]
    images = np.random.default_rng(0).normal(size=(4, 12, 10, 3)).astype(np.float32)
    np.testing.assert_allclose(found(images), model(images), rtol=1e-5, atol=1e-5)
    assert found.count_params() == model.count_params()


def test_a_model_without_one_is_left_as_it_is():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    assert plain_layers.split(model) is model


ACTIVATIONS = {"swish": "swish", "elu": "elu", "relu6": "relu6", "leaky": layers.LeakyReLU(0.2)}


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
@pytest.mark.parametrize("kind", [layers.Conv2D, layers.SeparableConv2D, layers.Conv2DTranspose])
def test_an_activation_that_no_operator_takes_in_is_a_layer(kind, activation):
    inputs = keras.Input((12, 10, 3))
    inside = kind(4, 3, activation=activation, name="inside")(inputs)
    model = keras.Model(inputs, kind(5, 3, activation=activation, name="shown")(inside))
    found = plain_layers.split(model)
    assert found.output_names == ["shown"] and found.get_layer("inside").activation is keras.activations.linear
    images = np.random.default_rng(0).normal(size=(4, 12, 10, 3)).astype(np.float32)
    np.testing.assert_allclose(found(images), model(images), rtol=1e-5, atol=1e-5)


def test_sums_of_several_are_sums_of_two():
    inputs = [keras.Input((4,)) for _ in range(4)]
    model = keras.Model(inputs, layers.Add(name="sum")(inputs))
    found = plain_layers.split(model)
    assert [one.name for one in found.layers if isinstance(one, layers.Add)] == ["sum_of_2", "sum_of_3", "sum"]
    values = [np.full((1, 4), 10.0**power) for power in range(4)]
    np.testing.assert_array_equal(found(values), np.full((1, 4), 1111.0))


def test_a_name_that_is_taken_is_numbered_and_only_the_layer_itself_is_split():
    inner = keras.Input((4, 4, 3))
    nested = keras.Model(inner, layers.SeparableConv2D(3, 3, name="same")(inner))
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(5, 1, name="same")(nested(inputs))
    model = keras.Model(inputs, layers.ReLU(name="same_2_depthwise")(x))
    found = plain_layers.split(model)
    names = ["same_2_depthwise_2", "same_2", "same", "same_2_depthwise"]
    assert [layer.name for layer in found.layers[1:]] == names
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(found(images), model(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("filters", [4, 8])
@pytest.mark.parametrize("settings", [{"strides": 2, "activation": "relu"}, {"dilation_rate": 2, "use_bias": False}])
def test_a_group_for_each_channel_is_a_depthwise_convolution(filters, settings):
    inputs = keras.Input((12, 10, 4))
    model = keras.Model(inputs, layers.Conv2D(filters, 3, groups=4, name="each", **settings)(inputs))
    found = plain_layers.split(model)
    assert type(found.get_layer("each")) is layers.DepthwiseConv2D
    images = np.random.default_rng(0).normal(size=(4, 12, 10, 4)).astype(np.float32)
    np.testing.assert_allclose(found(images), model(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_the_custom_layers_of_keras_applications_are_read_as_built_in_layers(suffix, tmp_path):
    kinds = shipped_layers.CLASSES
    inputs = keras.Input((6, 6, 4))
    x = kinds["LayerScale"](0.5, 4, name="scale")(layers.Conv2D(4, 1)(inputs))
    x = layers.Add()([inputs, kinds["StochasticDepth"](0.5, name="depth")(x)])
    model = keras.Model(inputs, kinds["CustomScaleLayer"](0.1, name="sum")([x, inputs]))
    model.get_layer("scale").set_weights([np.float32([1, 2, 3, 4])])
    model.save(tmp_path / f"model.{suffix}")
    found = plain_layers.split(own_model.load(tmp_path / f"model.{suffix}", "task.baseline", allow_code=False))
    assert not {type(layer) for layer in found.layers} & {*kinds.values()}
    images = np.random.default_rng(0).normal(size=(64, 6, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(found(images), model(images), rtol=1e-5, atol=1e-5)
    gone = np.isclose(found(images, training=True), 1.1 * images, atol=1e-5).all(axis=(1, 2, 3))
    assert 0 < gone.sum() < 64  # whole branches, example by example


def test_what_a_layer_was_split_into_knows_the_users_own_layer():
    inputs = keras.Input((12, 10, 3))
    x = layers.SeparableConv2D(4, 3, activation="elu", name="first")(inputs)
    inner = keras.Input(x.shape[1:])
    x = keras.Model(inner, layers.Conv2D(4, 1, activation="swish", name="first_inner")(inner), name="nested")(x)
    x = layers.LayerNormalization(name="norm")(layers.EinsumDense("...x,xy->...y", 4, "elu", name="dense")(x))
    x = layers.Conv1D(4, 3, activation="selu", name="series")(layers.Reshape((80, 4), name="rows")(x))
    model = keras.Model(inputs, layers.Average(name="mean")([x, x, x]))
    made = integer_layers.integer_form(plain_layers.split(model))
    kinds = {"first": "SeparableConv2D", "first_inner": "Conv2D", "norm": "LayerNormalization", "dense": "EinsumDense",
             "series": "Conv1D", "rows": "Reshape", "mean": "Average"}  # fmt: skip
    found = {layer.name: graph.origin(layer) for layer in graph.flat_layers(made)}
    assert set(found.values()) == set(kinds.items())
    assert found["first_elu"] == ("first", "SeparableConv2D") and found["first_inner_swish"] == (
        "first_inner",
        "Conv2D",
    )
    copied = {layer.name: graph.origin(layer) for layer in graph.flat_layers(graph.copied(made))}
    assert copied == found
