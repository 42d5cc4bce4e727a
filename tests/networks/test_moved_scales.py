"""A BatchNorm behind a ReLU leaves what tells its channels apart to the convolution before, and answers as before."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks.integers import integer_layers, moved_scales

layers = keras.layers
INPUTS = np.random.default_rng(0).normal(size=(8, 12, 12, 3)).astype(np.float32)
BEHIND = {
    "its own ReLU": [layers.Conv2D(4, 3, activation="relu", name="conv")],
    "a ReLU and a pool": [layers.Conv2D(4, 3, use_bias=False, name="conv"), layers.ReLU(), layers.MaxPooling2D()],
    "a depthwise one": [layers.DepthwiseConv2D(3, depth_multiplier=2, name="conv"), layers.LeakyReLU(0.1)],
}
OTHERS = {
    "a ReLU with an end": [layers.Conv2D(4, 3, name="conv"), layers.ReLU(6.0)],
    "no ReLU": [layers.Conv2D(4, 3, name="conv")],
    "a sigmoid": [layers.Conv2D(4, 3, activation="sigmoid", name="conv")],
}


def network(name: str) -> keras.Model:
    image = keras.Input((12, 12, 3))
    x = image
    for layer in (BEHIND | OTHERS)[name]:
        x = layer.__class__.from_config(layer.get_config())(x)
    model = keras.Model(image, layers.Conv2D(5, 3, name="next")(layers.BatchNormalization(name="norm")(x)))
    norm, generator = model.get_layer("norm"), np.random.default_rng(1)
    norm.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in norm.get_weights()])
    spread = 10.0 ** np.linspace(-6, 2, norm.moving_variance.shape[0])
    norm.moving_variance.assign(spread)
    return model


@pytest.mark.parametrize("name", [*BEHIND, *OTHERS])
def test_answers_stay_the_same_and_the_deviations_become_one(name):
    model = network(name)
    made = moved_scales.before_relu(model)
    assert (made is model) == (name in OTHERS)
    np.testing.assert_allclose(made(INPUTS), model(INPUTS), rtol=1e-3, atol=1e-3)
    if name in BEHIND:
        variance = made.get_layer("norm").moving_variance.numpy()
        assert variance.max() / variance.min() < 1.01


def test_no_channel_of_the_next_kernel_rounds_the_others_away():
    model = network("its own ReLU")
    made = integer_layers.integer_form(model)
    assert not [layer for layer in made.layers if isinstance(layer, layers.BatchNormalization)]
    largest = np.abs(made.get_layer("next").kernel.numpy()).max((0, 1, 3))
    assert largest.max() / largest.min() < 10
    np.testing.assert_allclose(made(INPUTS), model(INPUTS), rtol=1e-3, atol=1e-3)
