"""Writes EinsumDense as the dense layer that it is, where its equation says so, for no step knows its kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.spelling import free_name
from tfmo_drive.networks import graph

layers = keras.layers


def as_dense(model: keras.Model) -> keras.Model:
    """Returns the model with dense layers, weights included, in place of EinsumDense; itself where it has none."""
    taken = {layer.name for layer in model.layers}

    def free(name: str) -> str:
        taken.add(found := free_name(name, taken))
        return found

    written = {
        layer.name: made
        for layer in graph.flat_layers(model)
        if type(layer) is layers.EinsumDense and len(layer.inbound_nodes) == 1 and (made := _dense(layer, free))
    }
    return (
        graph.rebuilt(model, lambda layer: [written[layer.name]] if layer.name in written else None)
        if written
        else model
    )


def _dense(layer: layers.EinsumDense, free: Callable[[str], str]) -> Callable | None:
    """Returns a dense layer between reshapes, where the equation contracts the last axes and puts new ones there."""
    read, rest = layer.equation.replace(" ", "").replace("...", ".").split(",")
    kernel, made = rest.split("->")
    kept = len([letter for letter in read if letter in made])
    summed, new = read[kept:], made[kept:]
    if read[:kept] != made[:kept] or kernel != summed + new or not summed or not new or not kept:
        return None
    widths, shape = layer.kernel.shape, layer.output.shape
    if None in shape[1:] or (layer.bias is not None and layer.bias.shape.rank > len(new)):
        return None
    inner, outer = math.prod(widths[: len(summed)]), math.prod(widths[len(summed) :])
    before = layer.input.shape[1 : len(layer.input.shape) - len(summed)]
    dense = layers.Dense(
        outer, layer.activation, layer.bias is not None, trainable=layer.trainable,
        name=layer.name if len(new) == 1 else free(f"{layer.name}_dense"),
    )  # fmt: skip
    values = [layer.kernel.numpy().reshape(inner, outer)]
    if layer.bias is not None:
        values.append(np.broadcast_to(layer.bias.numpy(), widths[len(summed) :]).reshape(outer))

    def call(inputs: Any) -> Any:
        if len(summed) > 1:
            inputs = layers.Reshape((*before, inner), name=free(f"{layer.name}_row"))(inputs)
        found = graph.weighted(dense, *values)(inputs)
        return layers.Reshape(shape[1:], name=layer.name)(found) if len(new) > 1 else found

    return call
