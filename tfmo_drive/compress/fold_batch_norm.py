"""BatchNorm folded into the convolution or dense layer before it: Jacob et al. 2018, section 3.2; exact in inference.

A converter does the same to the graph that it is given; here it is done to the Keras model, for the steps that look at
kernels as they will run (equalization, clustering, low rank) and for runtimes that would not.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tfmo_drive.contracts import BadInput, BrokenPromise, Context, Step
from tfmo_drive.core import graph
from tfmo_drive.core.fake_quant import is_quantize_aware
from tfmo_drive.core.keras2 import keras

layers = keras.layers
FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.Dense)
"""These very classes: a separable convolution is a subclass of one, with two kernels."""


@dataclasses.dataclass(frozen=True)
class FoldBatchNorm(Step):
    """Drop every BatchNormalization that alone reads a linear convolution or dense layer; its outputs stay equal.

    Zeros stay zeros. A BatchNorm that follows anything else, or is an output of the model, is left where it is.
    """

    promise = "BatchNorm folded"
    keeps = ("sparsity",)

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        """BadInput after QuantizeAware, whose ranges belong to the graph with BatchNorm."""
        if is_quantize_aware(model):
            raise BadInput("FoldBatchNorm cannot follow QuantizeAware: put FoldBatchNorm first.")
        model = graph.flat(model)
        pairs = foldable(model)
        dropped = {norm.name for norm in pairs.values()}

        def replacement(layer):
            if layer.name in dropped:
                return []
            if layer.name in pairs:
                return [type(layer).from_config({**layer.get_config(), "use_bias": True})]
            return None

        folded = graph.rebuilt(model, replacement)
        for name, norm in pairs.items():
            folded.get_layer(name).set_weights(_folded(model.get_layer(name), norm))
        return folded

    def check(self, model: keras.Model) -> None:
        left = foldable(model)
        if left:
            raise BrokenPromise(f"FoldBatchNorm: {next(iter(left))} is followed by a BatchNorm again. Put it last.")

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        folded = self(model, context)
        folded.load_weights(str(weights))
        return folded


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
