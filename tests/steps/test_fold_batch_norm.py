"""Folding BatchNorm and its like: equal outputs on our networks and random graphs, zeros kept, the rest left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import folding, networks
from tfmo_drive.networks.backbones import MobileNetV2, ResNet
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware

layers = keras.layers


def stirred(model: keras.Model, seed: int = 0) -> keras.Model:
    """BatchNorm statistics as after training, negative and tiny scales included."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(generator.normal(size=shape))
            layer.moving_variance.assign(generator.uniform(0.3, 3, shape))
            if layer.scale:
                layer.gamma.assign(generator.normal(size=shape))
            if layer.center:
                layer.beta.assign(generator.normal(size=shape))
    return model


def assert_equal_outputs(model: keras.Model, folded: keras.Model):
    batch = np.random.default_rng(1).uniform(-1, 1, (4, *model.input_shape[1:])).astype(np.float32)
    for ours, theirs in zip(np.atleast_1d(folded(batch)), np.atleast_1d(model(batch)), strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-4)


def norms(model: keras.Model) -> int:
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers)


@pytest.mark.parametrize(
    "network",
    [ResNet(blocks=(1, 1), width=0.25), ResNet(blocks=(2,), topology="v1"), MobileNetV2(width=0.35)],
    ids=repr,
)
def test_no_batch_norm_is_left_in_our_networks_and_outputs_stay_equal(network, context):
    model = stirred(networks.build(network, 32, 9))
    folded = FoldBatchNorm()(model, context())
    assert norms(model) > 0 == norms(folded)
    assert folded.output_names == model.output_names
    assert_equal_outputs(model, folded)


def test_every_kind_of_layer_by_construction(context):
    x = inputs = keras.Input((8, 8, 4))
    for layer in (
        layers.Conv2D(6, 3), layers.Conv2D(6, 1, use_bias=False, groups=2),
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.Conv2DTranspose(5, 2, strides=2),
    ):  # fmt: skip
        x = layers.ReLU()(layers.BatchNormalization()(layer(x)))
    x = layers.BatchNormalization(scale=False)(layers.Dense(7, use_bias=False)(layers.Flatten()(x)))
    model = stirred(keras.Model(inputs, layers.Dense(3)(layers.Dropout(0.5)(x))))
    folded = FoldBatchNorm()(model, context())
    assert norms(folded) == 0
    assert_equal_outputs(model, folded)


def test_what_cannot_be_folded_stays(context):
    """Read twice, activated first, after a pooling, separable, and the model's own output."""
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(4, 3)(inputs)
    a = layers.BatchNormalization()(shared)
    b = layers.BatchNormalization()(layers.Conv2D(4, 1, activation="relu")(shared))
    c = layers.BatchNormalization()(layers.SeparableConv2D(4, 1)(layers.BatchNormalization()(layers.ReLU()(a))))
    last = layers.BatchNormalization(name="out")(layers.Conv2D(4, 1)(layers.Add()([a, b, c])))
    model = stirred(keras.Model(inputs, last))
    assert folding.foldable(model) == {}
    folded = FoldBatchNorm()(model, context())
    assert norms(folded) == norms(model) == 5
    assert_equal_outputs(model, folded)


def test_affine_layers_by_hand():
    """Each of the four turns (3, 5) into (2, 2)."""
    norm = layers.BatchNormalization(epsilon=0.0)
    cases = (
        layers.Rescaling([2.0, 1.0], [-4.0, -3.0]), layers.Normalization(mean=[1, 1], variance=[1, 4]),
        layers.Normalization(mean=[-1, -0.5], variance=[1, 0.25], invert=True), norm,
    )  # fmt: skip
    inputs = keras.Input((2,))
    for layer in cases:
        model = keras.Model(inputs, layer(inputs))
        if layer is norm:
            norm.set_weights([np.float32(x) for x in ([2, 4], [0, 2], [1, 5], [4, 9])])
        scale, offset = folding.affine(layer)
        np.testing.assert_allclose(np.float64([3, 5]) * scale + offset, [2, 2], rtol=1e-6)
        np.testing.assert_allclose(model(np.float32([[3, 5]])), [[2, 2]], rtol=1e-6)


def test_what_stands_before_a_layer_is_folded_where_padding_makes_no_difference(context):
    inputs = keras.Input((12, 12, 3))
    x = layers.Rescaling(1 / 127.5, -1.0, name="pixels")(inputs)
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(layers.BatchNormalization(name="first")(x))
    x = layers.DepthwiseConv2D(2, depth_multiplier=2)(layers.BatchNormalization(name="deep")(x))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(0.5, name="half")(layers.ReLU()(x)))
    x = layers.Conv2DTranspose(4, 2)(layers.Rescaling([1.0, 2.0, 3.0, 4.0], name="each")(x))
    x = layers.Dense(5, activation="relu")(layers.GlobalAveragePooling2D()(x))
    outputs = layers.Dense(3)(layers.Dropout(0.5, name="drop")(layers.BatchNormalization(name="last")(x)))
    model = stirred(keras.Model(inputs, outputs))
    folded = FoldBatchNorm()(model, context())
    dropped = {"pixels", "first", "deep", "half", "each", "last", "drop"}
    kept = [layer for layer in model.layers[1:] if layer.name not in dropped]
    assert [layer.name for layer in folded.layers[1:]] == [layer.name for layer in kept]
    assert_equal_outputs(model, folded)


@pytest.mark.parametrize("taker", [
    lambda: layers.Conv2D(4, 3, padding="same", activation="relu"), lambda: layers.Conv2DTranspose(4, 3),
    lambda: layers.Conv2D(4, 1, groups=2), lambda: layers.ReLU(), lambda: layers.SeparableConv2D(4, 1),
], ids=["padded", "transposed", "grouped", "no layer with a kernel", "separable"])  # fmt: skip
def test_what_stands_before_a_layer_that_cannot_take_it_in_stays(taker, context):
    x = inputs = keras.Input((8, 8, 4))
    x = taker()(layers.BatchNormalization(name="norm")(x))
    model = stirred(keras.Model(inputs, layers.GlobalMaxPooling2D()(x)))
    folded = FoldBatchNorm()(model, context())
    assert norms(folded) == 1
    assert_equal_outputs(model, folded)


def test_an_explicit_padding_between_keeps_its_zeros(context):
    inputs = keras.Input((8, 8, 4))
    x = layers.ZeroPadding2D(1)(layers.BatchNormalization()(inputs))
    model = stirred(keras.Model(inputs, layers.Conv2D(4, 3)(x)))
    folded = FoldBatchNorm()(model, context())
    assert norms(folded) == 1 and folding.foldable(folded) == {}
    assert_equal_outputs(model, folded)


def test_a_model_that_normalises_its_own_pixels_can_be_quantised(context):
    """tfmot knows neither Rescaling nor Normalization; they are folded, by QuantizeAware where by nobody before."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Normalization(mean=[120, 110, 100], variance=[60**2] * 3)(inputs)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(0.5)(x)))
    model = keras.Model(inputs, layers.Dense(9)(x))
    quantize = QuantizeAware(epochs=0, calibration_images=16)
    for source in (model, FoldBatchNorm()(model, context())):
        quantize.check(quantize(source, context()))


@given(seed=st.integers(0, 10_000), depth=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_random_graphs_keep_their_outputs(seed, depth):
    """Branches, adds and concatenations over layers sampled at random, an output in the middle included."""
    generator = np.random.default_rng(seed)
    pool = [inputs := keras.Input((8, 8, 4))]
    for _ in range(depth):
        kind = generator.choice(["conv", "valid", "depthwise", "norm", "rescale", "dropout", "add", "concat", "relu"])
        one, other = (pool[i] for i in generator.integers(0, len(pool), 2))
        if kind == "conv":
            pool.append(layers.Conv2D(4, 3, padding="same", use_bias=bool(generator.integers(2)))(one))
        elif kind == "valid":
            pool.append(layers.Conv2D(4, 1, activation="relu")(one))
        elif kind == "depthwise":
            pool.append(layers.DepthwiseConv2D(3, padding="same")(one))
        elif kind == "rescale":
            pool.append(layers.Rescaling(generator.normal(size=4).tolist(), float(generator.integers(2)))(one))
        elif kind == "dropout":
            pool.append(layers.Dropout(0.5)(one))
        elif kind == "concat":
            pool.append(layers.Conv2D(4, 1)(layers.Concatenate()([one, other])))
        elif kind == "add":
            pool.append(layers.Add()([one, other]))
        else:
            pool.append((layers.ReLU() if kind == "relu" else layers.BatchNormalization())(one))
        if kind in ("conv", "depthwise"):
            pool.append(layers.BatchNormalization()(pool[-1]))
    outputs = [layers.Conv2D(2, 1)(pool[-1]), layers.ReLU()(pool[len(pool) // 2])]
    model = stirred(keras.Model(inputs, outputs), seed)
    folded = FoldBatchNorm()(model, None)
    assert norms(folded) <= norms(model) and folding.foldable(folded) == {}
    batch = generator.uniform(-1, 1, (2, 8, 8, 4)).astype(np.float32)
    for ours, theirs in zip(folded(batch), model(batch), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("kind", folding.ONLY_IN_TRAINING)
def test_what_inference_does_without_is_dropped(kind, context):
    inputs = keras.Input((8, 4) if kind is layers.SpatialDropout1D else (8, 8, 4))
    model = keras.Model(inputs, layers.Dense(3)(kind(0.5)(inputs)))
    assert [type(layer) for layer in FoldBatchNorm()(model, context()).layers[1:]] == [layers.Dense]


def test_zeros_stay_zeros(finished, context):
    step = Prune(sparsity=0.7, epochs=2, batch_size=64)
    folded = FoldBatchNorm()(finished(step), context())
    step.check(folded)


def test_it_comes_before_quantization(finished, context):
    with pytest.raises(BadInput, match="FoldBatchNorm cannot follow QuantizeAware"):
        FoldBatchNorm()(finished(QuantizeAware(epochs=2, batch_size=64)), context())


def test_a_subclassed_model_is_told_to_be_functional(context):
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(BadInput, match="not a functional model"):
        FoldBatchNorm()(Own(), context())
