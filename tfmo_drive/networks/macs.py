"""Counts multiply-accumulates of Keras models from their layers; files are counted from their own graphs."""

from __future__ import annotations

import math

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import graph
from tfmo_drive.networks.layers import WITH_KERNEL

layers = keras.layers


def of_model(model: keras.Model) -> int:
    """Returns the multiply-accumulates of one example, those of models inside the model too.

    A layer that is called more than once counts once.
    """
    return sum(of_layer(layer) for layer in graph.flat_layers(model))


def of_layer(
    layer: layers.Layer, read: int | None = None, made: int | None = None, groups: int | None = None
) -> int:  # fmt: skip
    """Returns the multiply-accumulates of one example: every kernel tap on every output position, padding included.

    A layer of a class that is not in `networks.layers.WITH_KERNEL` counts 0.

    Args:
        layer: A built layer.
        read: The number of channels that it reads; by default its own.
        made: The number of channels that it makes; by default its own.
        groups: The number of groups in which it reads them; by default its own.
    """
    if type(layer) not in WITH_KERNEL:
        return 0
    # A transposed convolution multiplies at every input position, the others at every output position.
    places = (layer.input if isinstance(layer, layers.Conv2DTranspose) else layer.output).shape[1:-1]
    area = math.prod(getattr(layer, "kernel_size", ()))
    made = layer.output.shape[-1] if made is None else made
    read = layer.input.shape[-1] if read is None else read
    groups = getattr(layer, "groups", 1) if groups is None else groups
    per_output = 1 if isinstance(layer, layers.DepthwiseConv2D) else read // groups
    return math.prod(places) * area * made * per_output
