"""A separable convolution as the two that it is, which every step knows."""

from __future__ import annotations

from tfmo_drive.core import graph
from tfmo_drive.core.keras2 import keras

layers = keras.layers
_DEPTHWISE = ("kernel_size", "strides", "padding", "data_format", "dilation_rate", "depth_multiplier")


def split(model: keras.Model) -> keras.Model:
    """The model itself, or where it has separable convolutions, a flat copy with equal outputs that has a depthwise
    convolution and one of 1x1 in the place of each. The latter has its name; the former's ends in "_depthwise"."""
    found = [layer for layer in graph.flat_layers(model) if type(layer) is layers.SeparableConv2D]
    if not found:
        return model
    made = graph.rebuilt(model, lambda layer: _two(layer) if layer in found else None)
    for layer in found:
        depthwise, *pointwise = layer.get_weights()
        made.get_layer(f"{layer.name}_depthwise").set_weights([depthwise])
        made.get_layer(layer.name).set_weights(pointwise)
    return made


def _two(layer: layers.SeparableConv2D) -> list:
    config = layer.get_config()
    first = {name: config[name] for name in _DEPTHWISE}
    second = {name: config[name] for name in ("filters", "activation", "use_bias", "data_format", "name")}
    return [
        layers.DepthwiseConv2D(**first, use_bias=False, name=f"{layer.name}_depthwise"),
        layers.Conv2D.from_config(second | {"kernel_size": 1}),
    ]
