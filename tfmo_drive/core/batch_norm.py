"""BatchNorm: estimated again after surgery, and folded into the layer before it (Jacob et al. 2018, section 3.2)."""

from __future__ import annotations

import numpy as np

from tfmo_drive.core import graph
from tfmo_drive.core.keras2 import keras

layers = keras.layers
FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.Dense)
"""These very classes: a separable convolution is a subclass of one, with two kernels."""


def reestimate(model: keras.Model, inputs: np.ndarray, batch: int = 64) -> None:
    """Means and variances of every BatchNorm from preprocessed `inputs` [n, h, w, 3], in place.

    Each batch counts alike (a momentum of i / (i + 1) is the plain mean), as in "precise BatchNorm", Wu & Johnson 2021.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for count, start in enumerate(range(0, len(inputs), batch)):
        for norm in norms:
            norm.momentum = count / (count + 1)
        model(inputs[start : start + batch], training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def folded(model: keras.Model) -> keras.Model:
    """A flat copy with equal outputs, without the BatchNorms that `foldable` finds."""
    model = graph.flat(model)
    pairs = foldable(model)
    dropped = {norm.name for norm in pairs.values()}

    def replacement(layer):
        if layer.name in dropped:
            return []
        if layer.name in pairs:
            return [type(layer).from_config({**layer.get_config(), "use_bias": True})]
        return None

    made = graph.rebuilt(model, replacement)
    for name, norm in pairs.items():
        made.get_layer(name).set_weights(_folded(model.get_layer(name), norm))
    return made


def foldable(model: keras.Model) -> dict[str, layers.Layer]:
    """By the name of the layer that takes it in, the BatchNorm that can be folded."""
    readers = graph.only_reader(model)
    outputs = set(model.output_names)
    return {
        layer.name: readers[layer.name]
        for layer in model.layers
        if type(layer) in FOLDABLE
        and layer.activation is keras.activations.linear
        and isinstance(norm := readers.get(layer.name), layers.BatchNormalization)
        and len(norm.inbound_nodes) == 1
        and norm.name not in outputs
        and tuple(norm.axis) == (len(layer.output.shape) - 1,)
    }


def _folded(layer: layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """[kernel, bias], computed in float64. scale = gamma / sqrt(variance + epsilon)."""
    kernel = layer.get_weights()[0]
    mean, variance = (value.numpy().astype(np.float64) for value in (norm.moving_mean, norm.moving_variance))
    gamma = norm.gamma.numpy() if norm.scale else np.ones_like(mean)
    beta = norm.beta.numpy() if norm.center else np.zeros_like(mean)
    bias = layer.bias.numpy() if layer.use_bias else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    # Kernels are [..., c_in, c_out], but depthwise [h, w, c, multiplier] and transposed [h, w, c_out, c_in].
    along = {layers.DepthwiseConv2D: (-1, kernel.shape[-1]), layers.Conv2DTranspose: (-1, 1)}
    return [
        (kernel * scale.reshape(along.get(type(layer), -1))).astype(np.float32),
        (beta + (bias - mean) * scale).astype(np.float32),
    ]
