"""Channel scales: factors by hand, and random factors over four powers of ten leave every output as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import networks
from tfmo_drive.networks.backbones import MobileNetV2, ResNet, SmallCNN
from tfmo_drive.networks.networks import Head
from tfmo_drive.surgery.channel_scales import ChannelScales

layers = keras.layers


def stirred(model: keras.Model, generator) -> keras.Model:
    """Weights that are nowhere zero or one, of a size that keeps activations near 1."""
    for layer in model.layers:
        layer.set_weights([
            generator.uniform(0.5, 2, value.shape) if "variance" in variable.name
            else generator.normal(size=value.shape) * (1 / np.sqrt(max(1, value.size // value.shape[-1])))
            for value, variable in zip(layer.get_weights(), layer.weights, strict=True)
        ])  # fmt: skip
    return model


def sampled(scales: ChannelScales, generator) -> np.ndarray:
    return np.where(scales.free, 10 ** generator.uniform(-2, 2, len(scales.free)), 1.0)


def assert_equal_outputs(model: keras.Model, made: keras.Model, generator, training: bool = False) -> None:
    batch = generator.uniform(-1, 1, (3, *model.input_shape[1:])).astype(np.float32)
    for ours, theirs in zip(*(_each(one(batch, training=training)) for one in (made, model)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4 * max(1e-6, np.abs(theirs).max()))


def _each(outputs) -> list[np.ndarray]:
    return [one.numpy() for one in (outputs if isinstance(outputs, list) else [outputs])]


@pytest.mark.parametrize("network", [
    ResNet(), ResNet(topology="v1", blocks=(1, 2), width=0.25), MobileNetV2(width=0.35), SmallCNN(),
    ResNet(blocks=(1, 1), width=0.25, head=Head(pooling="flatten", units=32)),
], ids=repr)  # fmt: skip
def test_our_networks_give_the_same_outputs_with_any_factors(network):
    generator = np.random.default_rng(0)
    model = stirred(networks.build(network, 32, 9), generator)
    scales = ChannelScales(model)
    made = scales.rescaled(sampled(scales, generator))
    changed = [layer.name for layer in made.layers
               if any((ours != theirs).any() for ours, theirs in
                      zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True))]  # fmt: skip
    assert len(changed) > len([layer for layer in model.layers if layer.weights]) / 4
    assert_equal_outputs(model, made, generator)
    assert not {id(v) for v in made.weights} & {id(v) for v in model.weights}


def test_factors_go_into_kernels_and_biases_by_hand():
    inputs = keras.Input((2,))
    hidden = layers.Dense(2, activation="relu", name="a")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="b")(hidden))
    model.get_layer("a").set_weights([np.float32([[1, 2], [3, 4]]), np.float32([5, 6])])
    model.get_layer("b").set_weights([np.float32([[7], [8]]), np.float32([9])])
    scales = ChannelScales(model)
    factors = np.ones(len(scales.free))
    factors[scales.makes["a"]] = 2, 4
    made = scales.rescaled(factors)
    for found, wanted in zip(
        made.get_weights(), ([[2, 8], [6, 16]], [10, 24], [[3.5], [2]], [9]), strict=True
    ):  # fmt: skip
        np.testing.assert_array_equal(found, wanted)
    assert not scales.free[scales.reads["a"]].any() and not scales.free[scales.makes["b"]].any()


def test_a_batch_norm_takes_its_factor_into_scale_and_shift_so_that_training_goes_on_alike():
    inputs = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="a")(inputs)))
    generator = np.random.default_rng(0)
    model = stirred(keras.Model(inputs, layers.Conv2D(2, 1)(x)), generator)
    scales = ChannelScales(model)
    made = scales.rescaled(sampled(scales, generator))
    for one, same in (("a", 2), ("norm", 0)):
        ours, theirs = made.get_layer(one).get_weights(), model.get_layer(one).get_weights()
        assert [np.array_equal(*pair) for pair in zip(ours, theirs, strict=True)] == [i < same for i in range(2)] + (
            [True, True] if one == "norm" else []
        )
    assert_equal_outputs(model, made, generator, training=True)


def test_a_sum_ties_factors_and_a_depthwise_kernel_parts_them():
    inputs = keras.Input((8, 8, 3))
    a, b = (layers.Conv2D(4, 1, name=name)(inputs) for name in "ab")
    deep = layers.DepthwiseConv2D(3, depth_multiplier=2, name="each")(layers.ReLU()(layers.Add()([a, b])))
    scales = ChannelScales(keras.Model(inputs, layers.Conv2D(2, 1)(layers.LeakyReLU()(deep))))
    np.testing.assert_array_equal(scales.makes["a"], scales.makes["b"])
    np.testing.assert_array_equal(scales.makes["a"], scales.reads["each"])
    assert not set(scales.reads["each"]) & set(scales.makes["each"])
    assert scales.free[scales.reads["each"]].all() and scales.free[scales.makes["each"]].all()
    assert len(scales.tensors) == 4  # the sum reads two, the depthwise and the last convolution one each


def test_where_a_scale_does_not_pass_nothing_changes_and_the_reason_is_kept():
    inputs = keras.Input((8, 8, 3))
    x = layers.ReLU(6.0, name="six")(layers.Conv2D(4, 1, name="a")(inputs))
    x = layers.Conv2D(4, 1, activation="tanh", name="b")(x)
    x = layers.BatchNormalization(scale=False, name="plain")(layers.Conv2D(4, 1, name="c")(x))
    gate = layers.Conv2D(4, 1, name="d")(inputs)
    x = layers.Activation("sigmoid", name="odds")(layers.Multiply(name="times")([x, gate]))
    scales = ChannelScales(keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x))))
    assert scales.untouched == {
        "six": "a bounded ReLU does not scale", "b": "its activation does not scale",
        "plain": "a BatchNorm without scale cannot take a factor", "times": "a product multiplies its factors",
        "odds": "its activation does not scale",
    }  # fmt: skip
    assert scales.tensors == []
    assert not any(scales.free[numbers].any() for numbers in scales.makes.values())


def test_mobilenet_keeps_the_scales_around_relu6_and_frees_its_linear_bottlenecks():
    scales = ChannelScales(networks.build(MobileNetV2(width=0.35), 32, 9))
    free = {name for name, numbers in scales.makes.items() if scales.free[numbers].all()}
    assert "block_1_project_BN" in free and "block_1_expand_BN" not in free
    assert set(scales.untouched.values()) == {"a bounded ReLU does not scale"}


@given(seed=st.integers(0, 10_000), depth=st.integers(2, 8))
@settings(max_examples=25, deadline=None)
def test_random_graphs_give_the_same_outputs_with_any_factors(seed, depth):
    generator = np.random.default_rng(seed)
    pool = [inputs := keras.Input((6, 6, 4))]
    for _ in range(depth):
        one, other = (pool[i] for i in generator.integers(0, len(pool), 2))
        kind = generator.choice(["conv", "depthwise", "norm", "add", "max", "multiply", "concat", "relu", "transposed",
                                 "pool", "six"])  # fmt: skip
        if kind in ("add", "max", "multiply") and one.shape[-1] != other.shape[-1]:
            other = layers.Conv2D(one.shape[-1], 1)(other)
        pool.append({
            "conv": lambda x=one: layers.Conv2D(int(generator.integers(2, 7)), 3, padding="same", activation="relu")(x),
            "transposed": lambda x=one: layers.Conv2DTranspose(int(generator.integers(2, 7)), 3, padding="same")(x),
            "depthwise": lambda x=one: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x),
            "norm": lambda x=one: layers.BatchNormalization()(layers.Conv2D(4, 1)(x)),
            "add": lambda x=one, y=other: layers.Add()([x, y]),
            "max": lambda x=one, y=other: layers.Maximum()([x, y]),
            "multiply": lambda x=one, y=other: layers.Multiply()([x, y]),
            "concat": lambda x=one, y=other: layers.Concatenate()([x, y]),
            "relu": lambda x=one: layers.ReLU(negative_slope=0.1)(x),
            "six": lambda x=one: layers.ReLU(6.0)(x),
            "pool": lambda x=one: layers.MaxPooling2D(3, 1, padding="same")(x),
        }[kind]())  # fmt: skip
    heads = [layers.Dense(2)(layers.Flatten()(pool[-1])), layers.Conv2D(3, 1)(pool[len(pool) // 2])]
    model = stirred(keras.Model(inputs, heads), generator)
    scales = ChannelScales(model)
    assert_equal_outputs(model, scales.rescaled(sampled(scales, generator)), generator)
