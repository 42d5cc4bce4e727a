"""Replaces the custom layers that come with `keras.applications` by built-in layers that compute the same.

ConvNeXt has a LayerScale (Touvron et al. 2021) and drops whole branches; InceptionResNetV2 adds a branch scaled. They
are classes of Keras, but none of its layers, and a file that holds them can only be read by who names them.
"""

from __future__ import annotations

from collections.abc import Callable

from tf_keras.src.applications.convnext import LayerScale, StochasticDepth
from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from tfmo_drive.base.keras2 import keras

layers = keras.layers
Layer = layers.Layer
CLASSES = {kind.__name__: kind for kind in (LayerScale, StochasticDepth, CustomScaleLayer)}
"""What a model's file may name, by the names that it gives."""


def replacement(layer: Layer, free: Callable[[str], str]) -> Callable | None:
    """Returns the layer, or what takes the arguments of the layer's call, that computes the same; None for all others.

    The weights of a layer with weights are, in another shape, those of the replacement.

    Args:
        layer: Any layer.
        free: Makes a name that is not taken of one that may be.
    """
    if isinstance(layer, LayerScale) and len(layer.input_shape) == 4:
        return layers.DepthwiseConv2D(1, use_bias=False, name=layer.name, trainable=layer.trainable)
    if isinstance(layer, StochasticDepth):
        places = len(layer.input_shape) - 1
        return layers.Dropout(layer.drop_path_rate, noise_shape=(None, *[1] * places), name=layer.name)
    if isinstance(layer, CustomScaleLayer):
        scaled = layers.Rescaling(layer.scale, name=free(f"{layer.name}_scale"))
        total = layers.Add(name=layer.name)
        return lambda maps, *_, **__: total([maps[0], scaled(maps[1])])
    return None
