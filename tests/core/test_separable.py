"""A separable convolution is the depthwise and the pointwise one that it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.core import separable
from tfmo_drive.core.keras2 import keras

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
    found = separable.split(model)
    assert [layer.name for layer in found.layers[1:]] == ["sep_depthwise", "sep"]
    images = np.random.default_rng(0).normal(size=(4, 12, 10, 3)).astype(np.float32)
    np.testing.assert_allclose(found(images), model(images), rtol=1e-5, atol=1e-5)
    assert found.count_params() == model.count_params()


def test_a_model_without_one_is_left_as_it_is():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    assert separable.split(model) is model
