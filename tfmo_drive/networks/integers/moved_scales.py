"""Moves how far apart a BatchNorm's deviations are into the convolution whose ReLU it reads.

Folded into the next kernel, a channel that hardly ever lives takes weights that are a thousand times the others', all
in one range: these are rounded away. A convolution has a range for each channel that it makes, and a positive factor
goes through a ReLU and through pooling as it is.
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import folding, graph
from tfmo_drive.networks.layers import along_outputs

layers = keras.layers
Layer = layers.Layer
_PER_CHANNEL = (layers.Conv2D, layers.DepthwiseConv2D)
_LETS_THROUGH = (layers.MaxPooling2D, layers.AveragePooling2D, layers.Dropout, layers.SpatialDropout2D)


def before_relu(model: keras.Model) -> keras.Model:
    """Returns the model, with equal outputs, where such BatchNorms divide all their channels by one deviation.

    Their statistics are those of the scaled channels. Where there is no such BatchNorm, it returns the model itself.
    """
    readers = graph.only_reader(model)
    makers = {norm.name: maker for maker, norm in _pairs(model, readers)}
    if not makers:
        return model
    made = graph.copied(model)
    for name, maker in makers.items():
        norm, conv = made.get_layer(name), made.get_layer(maker.name)
        variance = norm.moving_variance.numpy().astype(np.float64) + norm.epsilon
        factors = np.exp(np.log(variance).mean() / 2) / np.sqrt(variance)
        kernel, *bias = conv.get_weights()
        conv.set_weights([kernel * along_outputs(conv, factors), *(one * factors for one in bias)])
        norm.moving_mean.assign(norm.moving_mean.numpy() * factors)
        norm.moving_variance.assign(variance * factors**2 - norm.epsilon)
    return made


def _pairs(model: keras.Model, readers: dict[str, Layer]) -> list[tuple[Layer, Layer]]:
    """Returns every convolution whose channels may be scaled, and the BatchNorm that alone reads them."""
    found = []
    for layer in model.layers:
        if type(layer) not in _PER_CHANNEL or getattr(layer, "data_format", "") != "channels_last":
            continue
        if layer.activation not in (keras.activations.linear, keras.activations.relu):
            continue
        bent, reader = layer.activation is keras.activations.relu, readers.get(layer.name)
        while reader is not None and (_is_relu(reader) or type(reader) in _LETS_THROUGH):
            bent |= _is_relu(reader)
            reader = readers.get(reader.name)
        if bent and type(reader) is layers.BatchNormalization and folding.once_along_channels(reader):
            found.append((layer, reader))
    return found


def _is_relu(layer: Layer) -> bool:
    """Says whether a positive factor goes through the layer's bend."""
    if type(layer) is layers.Activation:
        return layer.activation is keras.activations.relu
    return type(layer) is layers.LeakyReLU or (
        type(layer) is layers.ReLU and layer.max_value is None and not layer.threshold
    )
