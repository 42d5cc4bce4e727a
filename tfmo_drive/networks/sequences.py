"""Gives a model of sequences 2-D layers on maps of height 1 for its 1-D ones: integer files and steps know no others.

TensorFlow's converter does so with each Conv1D alone, between two reshapes, which part it from the BatchNorm behind it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import graph

layers = keras.layers
_WIDENED = {
    layers.Conv1D: (layers.Conv2D, ("kernel_size", "strides", "dilation_rate")),
    layers.MaxPooling1D: (layers.MaxPooling2D, ("pool_size", "strides")),
    layers.AveragePooling1D: (layers.AveragePooling2D, ("pool_size", "strides")),
    layers.UpSampling1D: (layers.UpSampling2D, ("size",)),
    layers.GlobalAveragePooling1D: (layers.GlobalAveragePooling2D, ()),
    layers.GlobalMaxPooling1D: (layers.GlobalMaxPooling2D, ()),
    layers.SpatialDropout1D: (layers.SpatialDropout2D, ()),
}
"""The 2-D layers, and their settings that get a 1 for the height."""
_PADDED = {layers.ZeroPadding1D: (layers.ZeroPadding2D, "padding"), layers.Cropping1D: (layers.Cropping2D, "cropping")}
_ALIKE = (
    layers.Dense, layers.Flatten, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Add,
    layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Dropout, layers.GaussianNoise,
)  # fmt: skip
"""The layers that do the same with one axis more."""


def of_height_one(model: keras.Model) -> keras.Model:
    """Returns the flat `model` with equal answers and names, maps [1, time, columns] in place of [time, columns].

    It is in new variables. Where there is no Conv1D, or a layer has no such form (an LSTM, a Reshape), it returns the
    model itself.
    """
    found = graph.flat_layers(model)
    forms = {layer.name: _form(layer) for layer in found if 3 in _ranks(layer)}
    plain = len(model.input_shape) == 3 and all(len(one.shape) == 2 for one in model.outputs)
    if not plain or not any(type(one) is layers.Conv1D for one in found) or None in forms.values():
        return model
    name = graph.free_name("height_one", {layer.name for layer in found})
    forms[name] = [layers.Reshape((1, *model.input_shape[1:]), name=name)]
    inputs = keras.Input(model.input_shape[1:], name=model.input_names[0])
    first = layers.Activation("linear", name=name)(inputs)  # whose place the Reshape takes, whoever reads it
    whole = keras.Model(inputs, model(first), name=model.name)
    made = graph.rebuilt(whole, lambda layer: forms.get(layer.name) or None)
    for layer in found:
        weights = layer.get_weights()
        if type(layer) is layers.Conv1D:
            weights[0] = weights[0][None]
        made.get_layer(layer.name).set_weights(weights)
    return made


def _ranks(layer: Any) -> set[int]:
    """Returns the numbers of axes, with the batch's, of what a layer reads and gives."""
    tensors = [[*node.keras_inputs, *tf.nest.flatten(node.outputs)] for node in layer.inbound_nodes]
    return {len(one.shape) for call in tensors for one in call}


def _form(layer: Any) -> list | None:
    """Returns the layers that take the place of one on [time, columns], [] for itself; None where nothing is known."""
    config, kind = layer.get_config(), type(layer)
    if config.get("data_format", "channels_last") != "channels_last" or config.get("keepdims"):
        return None
    if kind in _ALIKE:
        return []
    if kind in _PADDED:
        wide, setting = _PADDED[kind]
        return [wide(((0, 0), tuple(config[setting])), name=layer.name)]
    if kind is layers.BatchNormalization:
        return [kind.from_config(config | {"axis": -1})] if tuple(layer.axis) == (2,) else None
    if kind is layers.Concatenate:
        return [kind.from_config(config | {"axis": {1: 2, 2: 3}.get(layer.axis, layer.axis)})]
    if kind not in _WIDENED:
        return None
    wide, settings = _WIDENED[kind]
    config |= {name: (1, *np.ravel(config[name]).tolist()) for name in settings}
    if config.get("padding") != "causal":
        return [wide.from_config(config)]
    before = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
    padding = layers.ZeroPadding2D(((0, 0), (before, 0)), name=f"{layer.name}_causal")
    return [padding, wide.from_config(config | {"padding": "valid"})]
