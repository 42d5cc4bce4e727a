"""Lifts convolutions along time, [n, time, channels], to convolutions of maps one pixel high, as a file computes them.

TensorFlow computes a Conv1D so, and steps and fake quantisation know the kernels of Conv2D. What stands between two of
them (BatchNorm, activations, pooling, sums) is lifted with them, so that it is absorbed as behind a Conv2D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import graph

layers = keras.layers
Layer = layers.Layer
_CONVOLUTIONS = {
    layers.Conv1D: layers.Conv2D, layers.SeparableConv1D: layers.SeparableConv2D,
    layers.DepthwiseConv1D: layers.DepthwiseConv2D, layers.Conv1DTranspose: layers.Conv2DTranspose,
}  # fmt: skip
_POOLS = {layers.MaxPooling1D: layers.MaxPooling2D, layers.AveragePooling1D: layers.AveragePooling2D}
_ALIKE = (layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Activation, layers.Dropout, layers.Add)
"""Layers that do the same to maps."""


def lifted(model: keras.Model) -> keras.Model:
    """Returns a flat copy without one-dimensional convolutions, with equal outputs; or the model where it has none.

    Convolutions of series whose length is not known, or whose channels come first, stay.
    """
    chosen = {layer.name for layer in model.layers if type(layer) in _CONVOLUTIONS and _can_be_lifted(layer)}
    if not chosen:
        return model
    below: dict[int, tuple[Any, Any]] = {}  # by the id of a series: the series, and the map that it was made from
    taken = {layer.name for layer in model.layers}
    weights: list[tuple[Layer, list[np.ndarray]]] = []

    def free(name: str) -> str:
        taken.add(found := graph.free_name(name, taken))
        return found

    def up(series: Any, name: str) -> Any:
        if id(series) in below:
            return below[id(series)][1]
        return layers.Reshape((1, *series.shape[1:]), name=free(f"{name}_map"))(series)

    def down(made: Any, name: str) -> Any:
        series = layers.Reshape(made.shape[2:], name=name)(made)
        below[id(series)] = (series, made)
        return series

    def replacement(layer: Layer) -> list[Callable] | None:
        shown = layer.name in model.output_names
        wanted = layer.name in chosen or type(layer) in (*_POOLS, *_ALIKE, layers.BatchNormalization)
        if not wanted or len(layer.inbound_nodes) != 1 or len(layer.output.shape) != 3:
            return None

        def call(series: Any) -> Any:
            read = series if isinstance(series, list) else [series]
            if layer.name not in chosen and not all(id(one) in below for one in read):
                copy = graph.fresh(layer)
                made = copy(series)
                weights.append((copy, layer.get_weights()))
                return made
            maps = [up(one, layer.name) for one in read]
            made, copy = _as_maps(layer, maps, free(f"{layer.name}_maps") if shown else layer.name, free)
            raised = layer.name in chosen
            weights.append((copy, [one[None] if raised and one.ndim > 1 else one for one in layer.get_weights()]))
            return down(made, layer.name if shown else free(f"{layer.name}_series"))

        return [call]

    made = graph.rebuilt(model, replacement)
    for layer, values in weights:
        layer.set_weights(values)
    return made


def _can_be_lifted(layer: Layer) -> bool:
    known = len(layer.inbound_nodes) == 1 and None not in (*layer.input.shape[1:], *layer.output.shape[1:])
    return known and layer.data_format == "channels_last"


def _as_maps(layer: Layer, maps: list, name: str, free: Callable[[str], str]) -> tuple[Any, Layer]:
    """Returns what the layer's two-dimensional like, called `name`, makes of maps [n, 1, time, channels], and itself."""
    config = layer.get_config() | {"name": name}
    if type(layer) in _CONVOLUTIONS:
        past = config["dilation_rate"][0] * (config["kernel_size"][0] - 1)
        if config["padding"] == "causal":
            config["padding"] = "valid"
            maps = [layers.ZeroPadding2D(((0, 0), (past, 0)), name=free(f"{layer.name}_past"))(maps[0])]
        for key in ("kernel_size", "strides", "dilation_rate"):
            config[key] = (1, *config[key])
        if (more := config.get("output_padding")) is not None:
            config["output_padding"] = (0, *more)
    elif type(layer) in _POOLS:
        config |= {key: (1, *config[key]) for key in ("pool_size", "strides")}
    elif type(layer) is layers.BatchNormalization:
        config["axis"] = -1
    made = ({**_CONVOLUTIONS, **_POOLS}.get(type(layer), type(layer))).from_config(config)
    return made(maps if len(maps) > 1 else maps[0]), made
