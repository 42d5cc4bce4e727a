"""What a model does to its raw inputs first is taken out of it, or standardising is put in: answers stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import leading_scale

layers = keras.layers
MEAN, DEVIATION = np.float32([100, -3, 0.5]), np.float32([20, 0, 0.1])


def raw(*shape: int) -> np.ndarray:
    """Readings of three columns of unlike ranges, of which one is constant."""
    generator = np.random.default_rng(0)
    return (MEAN + DEVIATION * generator.normal(size=(4, *shape))).astype(np.float32)


def assert_same_answers(model: keras.Model, led: leading_scale.Led, inputs: np.ndarray):
    assert led.model.count_params() and len(led.scale) == len(led.offset) == 3
    expected = model(inputs).numpy()
    led_inputs = inputs * np.float32(led.scale) + np.float32(led.offset)
    np.testing.assert_allclose(led.model(led_inputs), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


FIRST = {
    "rescaling": lambda: layers.Rescaling(1 / 50.0, -1.0),
    "a factor for each column": lambda: layers.Rescaling([0.1, 2.0, 1.0]),
    "normalization": lambda: layers.Normalization(mean=MEAN, variance=[400.0, 1.0, 0.01]),
    "its inverse": lambda: layers.Normalization(mean=MEAN, variance=[400.0, 1.0, 0.01], invert=True),
    "of all columns together": lambda: layers.Normalization(axis=None, mean=3.0, variance=4.0),
}


@pytest.mark.parametrize("first", FIRST)
def test_what_comes_first_is_taken_out(first):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(2)(FIRST[first]()(inputs)))
    led = leading_scale.taken_out(model)
    assert [type(layer) for layer in led.model.layers[1:]] == [layers.Dense]
    assert_same_answers(model, led, raw(3))


@pytest.mark.parametrize(
    "first",
    [layers.ReLU(), layers.BatchNormalization(), layers.Rescaling([[0.1], [2.0]]), layers.Normalization(1, mean=[0, 1],
     variance=[1, 1])], ids=["no scale", "trained on", "along another axis", "normalised along another axis"],
)  # fmt: skip
def test_what_is_no_map_of_columns_stays(first):
    inputs = keras.Input((2, 3))
    assert leading_scale.taken_out(keras.Model(inputs, layers.Dense(2)(first(inputs)))) is None


READERS = {
    "dense": ((3,), lambda x: layers.Dense(2)(x)),
    "two": ((3,), lambda x: layers.Add()([layers.Dense(2)(x), layers.Dense(2, use_bias=False)(x)])),
    "behind a flatten": ((5, 3), lambda x: layers.Dense(2)(layers.Flatten()(x))),
    "over time": ((5, 3), lambda x: layers.Conv1D(2, 3)(x)),
    "padded": ((5, 3), lambda x: layers.Conv1D(2, 3, padding="same")(x)),
    "image": ((6, 5, 3), lambda x: layers.Conv2D(2, 3)(x)),
    "behind dropout": ((5, 3), lambda x: layers.Dense(2)(layers.Dropout(0.2)(layers.Flatten()(x)))),
    "a batch norm": ((3,), lambda x: layers.Dense(2)(layers.BatchNormalization()(x))),
    "one without scale": ((3,), lambda x: layers.Dense(2)(layers.BatchNormalization(scale=False)(x))),
    "one without centre": ((3,), lambda x: layers.Dense(2)(layers.BatchNormalization(center=False)(x))),
} | {name: ((3,), lambda x, of=make: layers.Dense(2)(of()(x))) for name, make in FIRST.items()}


def trained(model: keras.Model) -> keras.Model:
    """The statistics of its BatchNormalization are those of the raw columns, as after training on them."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(MEAN)
            layer.moving_variance.assign(np.where(DEVIATION > 0, DEVIATION, 1) ** 2)
    return model


@pytest.mark.parametrize("reader", READERS)
def test_standardising_is_put_in_and_taken_back(reader):
    shape, body = READERS[reader]
    inputs = keras.Input(shape)
    model = trained(keras.Model(inputs, body(inputs)))
    led = leading_scale.put_in(model, MEAN, DEVIATION)
    assert_same_answers(model, led, raw(*shape))
    assert (np.array(led.offset) != 0).any() == (reader != "padded"), "zeros that it pads with stay raw zeros"


def test_what_cannot_take_it_back_is_left_alone():
    inputs = keras.Input((3,))
    assert leading_scale.put_in(keras.Model(inputs, layers.ReLU()(inputs)), MEAN, DEVIATION) is None


def test_rows_that_nothing_can_take_back_are_raw_again_inside(caplog):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(2)(layers.Reshape((3,))(inputs)))
    made = leading_scale.for_standardised(model, MEAN, DEVIATION, "mine.h5")
    ready = (raw(3) - MEAN) / np.where(DEVIATION > 0, DEVIATION, 1)
    np.testing.assert_allclose(made(ready), model(raw(3)), rtol=1e-3, atol=1e-3)
    assert "mine.h5: its first layer cannot take standardised columns" in caplog.text
