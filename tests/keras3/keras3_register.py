"""Keeps the models of keras3_models.py by name, and has the parts that many of them share."""

from __future__ import annotations

KEPT, REFUSED = {}, {}
"""Models that are rebuilt, and those that are refused with the words that say why, by name."""


def kept(make):
    KEPT[make.__name__] = make
    return make


def refused(words):
    def keep(make):
        REFUSED[make.__name__] = (make, words)
        return make

    return keep


def image(keras, *shape):
    return keras.Input(shape or (16, 16, 3))


def pooled(keras, inputs, x):
    layers = keras.layers
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D()(x)))


def chain(keras, inputs, *layers):
    x = inputs
    for layer in layers:
        x = layer(x)
    return pooled(keras, inputs, x)
