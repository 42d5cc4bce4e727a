"""Computes convolutions along time, [n, time, columns], as 2-D ones on maps of height 1, as a file does.

TensorFlow's converter does so with each Conv1D alone, between two reshapes, which part it from the BatchNorm behind it;
steps and fake quantisation know the kernels of 2-D layers. What reads such a map is computed on it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.spelling import free_name
from tfmo_drive.networks import graph

layers = keras.layers
Layer = layers.Layer
_CONVOLUTIONS = {
    layers.Conv1D: layers.Conv2D, layers.SeparableConv1D: layers.SeparableConv2D,
    layers.DepthwiseConv1D: layers.DepthwiseConv2D, layers.Conv1DTranspose: layers.Conv2DTranspose,
}  # fmt: skip
_WIDENED = {
    **dict.fromkeys(_CONVOLUTIONS, ("kernel_size", "strides", "dilation_rate")),
    layers.MaxPooling1D: ("pool_size", "strides"), layers.AveragePooling1D: ("pool_size", "strides"),
    layers.UpSampling1D: ("size",), layers.SpatialDropout1D: (), layers.GlobalAveragePooling1D: (),
    layers.GlobalMaxPooling1D: (),
}  # fmt: skip
"""The settings that get a 1 for the height."""
_MAPS = {
    **_CONVOLUTIONS, layers.MaxPooling1D: layers.MaxPooling2D, layers.AveragePooling1D: layers.AveragePooling2D,
    layers.UpSampling1D: layers.UpSampling2D, layers.SpatialDropout1D: layers.SpatialDropout2D,
    layers.GlobalAveragePooling1D: layers.GlobalAveragePooling2D, layers.GlobalMaxPooling1D: layers.GlobalMaxPooling2D,
}  # fmt: skip
_PADDED = {layers.ZeroPadding1D: (layers.ZeroPadding2D, "padding"), layers.Cropping1D: (layers.Cropping2D, "cropping")}
_ALIKE = (
    layers.Dense, layers.Flatten, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Add,
    layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Dropout, layers.GaussianNoise,
)  # fmt: skip
"""The layers that do the same with one axis more."""


def of_height_one(model: keras.Model) -> keras.Model:
    """Returns a flat copy with equal answers and names, without 1-D convolutions; or the model where it has none.

    Convolutions of series whose length is not known, that are called twice or whose channels come first, stay.
    """
    model = graph.flat(model)
    chosen = {layer.name for layer in model.layers if type(layer) in _CONVOLUTIONS and _wide(layer, layer.name)}
    if not chosen:
        return model
    taken = {layer.name for layer in model.layers}
    maps: dict[int, tuple[Any, Any]] = {}  # by the id of a series: the series, and the map that it lies on
    weights: list[tuple[Layer, list[np.ndarray]]] = []

    def free(name: str) -> str:
        taken.add(found := free_name(name, taken))
        return found

    def on_map(series: Any) -> Any:
        if id(series) not in maps:
            name = free(f"{series._keras_history.layer.name}_map")
            maps[id(series)] = (series, layers.Reshape((1, *series.shape[1:]), name=name)(series))
        return maps[id(series)][1]

    def replacement(layer: Layer) -> list[Callable] | None:
        shown = layer.name in model.output_names and len(layer.output.shape) == 3
        chain = _wide(layer, free(f"{layer.name}_map") if shown else layer.name)
        if chain is None:
            return None

        def call(given: Any) -> Any:
            read = given if isinstance(given, list) else [given]
            if layer.name not in chosen and not any(id(one) in maps for one in read):
                weights.append((copy := graph.fresh(layer), layer.get_weights()))
                return copy(given)
            found = [on_map(one) for one in read]
            made = found if isinstance(given, list) else found[0]
            for one in chain:
                made = one(made)
            own = [one[None] if layer.name in chosen and one.ndim > 1 else one for one in layer.get_weights()]
            weights.append((chain[-1], own))
            if len(made.shape) < 4:
                return made
            series = layers.Reshape(made.shape[2:], name=layer.name if shown else free(f"{layer.name}_series"))(made)
            maps[id(series)] = (series, made)
            return series

        return [call]

    made = graph.rebuilt(model, replacement)
    for layer, values in weights:
        layer.set_weights(values)
    return made


def _wide(layer: Layer, name: str) -> list[Layer] | None:
    """Returns the layers, the last called `name`, that do to maps what one does to series; None where there are none.

    It is asked of layers of series alone that are called once.
    """
    if len(layer.inbound_nodes) != 1 or isinstance(layer, layers.InputLayer):
        return None
    read = layer.input if isinstance(layer.input, list) else [layer.input]
    config, kind = layer.get_config() | {"name": name}, type(layer)
    if any(len(one.shape) != 3 or None in one.shape[1:] for one in read) or config.get("keepdims"):
        return None
    if config.get("data_format", "channels_last") != "channels_last":
        return None
    if kind in _ALIKE:
        return [kind.from_config(config)]
    if kind in _PADDED:
        wide, setting = _PADDED[kind]
        return [wide(((0, 0), tuple(config[setting])), name=name)]
    if kind is layers.BatchNormalization:
        return [kind.from_config(config | {"axis": -1})] if tuple(layer.axis) == (2,) else None
    if kind is layers.Concatenate:
        return [kind.from_config(config | {"axis": {1: 2, 2: 3}.get(layer.axis, layer.axis)})]
    if kind not in _MAPS:
        return None
    config |= {setting: (1, *np.ravel(config[setting]).tolist()) for setting in _WIDENED[kind]}
    if config.get("output_padding") is not None:
        config["output_padding"] = (0, *config["output_padding"])
    if config.get("padding") != "causal":
        return [_MAPS[kind].from_config(config)]
    before = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
    padding = layers.ZeroPadding2D(((0, 0), (before, 0)), name=f"{layer.name}_causal")
    return [padding, _MAPS[kind].from_config(config | {"padding": "valid"})]
