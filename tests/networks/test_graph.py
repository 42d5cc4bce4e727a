"""The graph of a model: what its outputs are made of."""

from __future__ import annotations

import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import graph

layers = keras.layers


def test_the_last_layers_that_count_are_found_through_those_that_do_not():
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(4, 3, padding="same", name="a")(inputs)
    b = layers.Conv2D(4, 3, padding="same", name="b")(a)
    c = layers.Conv2D(4, 3, padding="same", name="c")(a)
    boxes = layers.ReLU()(layers.Add()([b, c]))
    classes = layers.Softmax()(layers.Dense(2, name="d")(layers.Flatten()(layers.Conv2D(4, 1, name="e")(b))))
    model = keras.Model(inputs, [boxes, classes])
    assert graph.last(model, lambda layer: isinstance(layer, (layers.Conv2D, layers.Dense))) == {"b", "c", "d"}
    assert graph.last(model, lambda layer: layer.name == "a") == {"a"}
    assert graph.last(model, lambda layer: False) == set()


def test_a_subclassed_model_cannot_be_rebuilt():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(BadInput, match="not a functional model"):
        graph.rebuilt(Own(), lambda layer: None)
