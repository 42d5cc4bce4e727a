"""1-D layers as 2-D ones on maps of height 1: equal answers under equal names, or the model as it was."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import sequences

layers = keras.layers
SEQUENCES = np.random.default_rng(0).normal(size=(5, 12, 3)).astype(np.float32)


def model(*middle) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = tensor = keras.Input((12, 3), name="sequence")
    for layer in middle:
        tensor = layer(tensor)
    return keras.Model(inputs, layers.Dense(2, name="answer")(tensor))


def branches(tensor):
    one, other = layers.Conv1D(4, 2, padding="same")(tensor), layers.Dense(4, "relu")(tensor)
    joined = layers.Concatenate()([layers.Add()([one, other]), other])
    return layers.Flatten()(layers.Concatenate(axis=1)([joined, layers.ReLU()(joined)]))


TAKEN = {
    "strides and pools": (
        layers.Conv1D(4, 3, strides=2, padding="same", activation="relu"), layers.MaxPooling1D(2),
        layers.AveragePooling1D(2, 1), layers.Flatten()),
    "a causal dilated one": (
        layers.Conv1D(4, 3, dilation_rate=2, padding="causal", activation="swish"), layers.SpatialDropout1D(0.5),
        layers.GlobalMaxPooling1D()),
    "BatchNorm and groups": (
        layers.BatchNormalization(), layers.Conv1D(6, 3, groups=3), layers.BatchNormalization(), layers.ReLU(),
        layers.GlobalAveragePooling1D()),
    "longer and shorter": (
        layers.ZeroPadding1D((1, 3)), layers.UpSampling1D(2), layers.Cropping1D((2, 1)), layers.Conv1D(2, 5),
        layers.Flatten()),
    "branches": (branches,),
    "an LSTM behind": (layers.Conv1D(4, 3), layers.LSTM(2)),
    "a sequence as answer": (layers.Conv1D(4, 3, activation="relu"),),
    "an unknown layer": (layers.Conv1D(4, 3), layers.Permute((2, 1)), layers.Flatten()),
    "an axis that stays": (layers.Conv1D(4, 3), layers.GlobalAveragePooling1D(keepdims=True), layers.Flatten()),
    "apart, transposed, by channel": (
        layers.SeparableConv1D(6, 3), layers.DepthwiseConv1D(3), layers.Conv1DTranspose(4, 3, 2), layers.Flatten()),
    "a sum with the input": (lambda x: layers.Add()([layers.Conv1D(3, 3, padding="same")(x), x]), layers.Flatten()),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_answers_and_names_are_the_same(name):
    given = model(*TAKEN[name])
    for layer in given.layers:
        layer.set_weights([one + np.random.default_rng(1).uniform(0, 0.5, one.shape) for one in layer.get_weights()])
    made = sequences.of_height_one(given)
    assert not [layer for layer in made.layers if "Conv1D" in type(layer).__name__]
    assert {layer.name for layer in given.layers} <= {layer.name for layer in made.layers}
    assert made.input_shape == given.input_shape and made.output_names == given.output_names
    np.testing.assert_allclose(made(SEQUENCES), given(SEQUENCES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "middle",
    [
        (layers.Flatten(),),
    ],
    ids=["no Conv1D"],
)
def test_what_has_no_such_form_stays_as_it_is(middle):
    given = model(*middle)
    assert sequences.of_height_one(given) is given
