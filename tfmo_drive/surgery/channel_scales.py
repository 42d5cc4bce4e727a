"""Finds which channels of a network can be scaled without changing what it computes, and scales them.

Cross-layer equalization (Nagel et al. 2019, section 4.1) for any graph: every channel number of `ChannelGraph` has a
positive factor; whatever makes the channel multiplies by it and whatever reads the channel divides by it, so that a sum
ties the factors of what it adds. A BatchNorm and a depthwise kernel take any factor into their own weights: channels
behind them have numbers of their own.
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import graph
from tfmo_drive.networks.layers import WITH_KERNEL, along_inputs, along_outputs
from tfmo_drive.networks.operator_layers import symbol
from tfmo_drive.surgery import moved_channels
from tfmo_drive.surgery.channel_graph import TYING, ChannelGraph

layers = keras.layers
Layer = layers.Layer

READERS = (*WITH_KERNEL, *TYING, layers.Concatenate)
"""The layers whose inputs an int8 file stores as tensors; those of a BatchNorm or a ReLU are fused away."""


class ChannelScales(ChannelGraph):
    """Numbers the channels of a flat functional model and finds those whose scale is free.

    `untouched` says why others are not.

    Attributes:
        free: bool [channel numbers].
        tensors: (Keras tensor, its channel numbers) for every tensor with free channels that an int8 file stores.
    """

    def __init__(self, model: keras.Model):
        self._carried: dict[str, tuple] = {}
        super().__init__(model)
        self.free = np.ones(len(self._parent), bool)
        self.free[list(self._fixed)] = False
        read = dict.fromkeys(
            one for node in graph.calls(model) if isinstance(node.layer, READERS) for one in node.flat_input_ids
        )
        stored = [self._carried[one] for one in read if one in self._carried]
        rooted = [(tensor, self._roots(numbers)) for tensor, numbers in stored]
        self.tensors = [(tensor, numbers) for tensor, numbers in rooted if self.free[numbers].any()]

    def rescaled(self, factors: np.ndarray) -> keras.Model:
        """Returns the model, in new variables, with channel n multiplied by factors[n] wherever it is carried.

        Outputs stay equal. Zeros stay zeros, and training goes on alike: what a BatchNorm normalises is left as it was.

        Args:
            factors: float64 [channel numbers], positive, 1 where not free.
        """
        made = graph.copied(self.model)
        for layer in graph.flat_layers(made):
            if layer.weights:
                read, makes = factors[self.reads[layer.name]], factors[self.makes[layer.name]]
                if (read != 1).any() or (makes != 1).any():
                    layer.set_weights(_scaled(layer, read, makes))
        return made

    def _through(self, node, inputs: list[np.ndarray]) -> list[np.ndarray]:
        made, layer = super()._through(node, inputs), node.layer
        if layer.name not in self.untouched:
            if reason := _bent(node):
                self.untouched[layer.name] = reason
                for numbers in made:
                    self._fix(numbers)
            elif type(layer) is layers.BatchNormalization:  # its input is never stored, or is normalised anyway
                self._fix(made[0])
                made = [self._new(len(made[0]))]
            elif type(layer) is layers.DepthwiseConv2D:
                made = [self._new(len(made[0]))]
        for output, numbers in zip(tf.nest.flatten(node.outputs), made, strict=True):
            if numbers.ndim == 1:
                self._carried[str(id(output))] = (output, numbers)
        return made


def _bent(node) -> str:
    """Returns why a call f(s x) is not s f(x) for every positive s, or ""."""
    layer = node.layer
    kind = type(layer)
    if getattr(layer, "groups", 1) > 1:
        return "a grouped convolution mixes no two groups"
    if kind is layers.Normalization or kind is layers.Rescaling and np.any(layer.offset):
        return "its offset does not scale"
    if kind in TYING and len({shape[-1] for shape in node.input_shapes}) > 1:
        return "one of its inputs meets all channels of another"
    if symbol(layer) and not moved_channels.moves(layer):
        return "an operator may not scale"
    if kind is layers.ReLU and (layer.max_value is not None or layer.threshold != 0):
        return "a bounded ReLU does not scale"
    if kind is layers.BatchNormalization and not layer.scale:
        return "a BatchNorm without scale cannot take a factor"
    linear = (keras.activations.linear, keras.activations.relu)
    if kind in (layers.ELU, layers.ThresholdedReLU) or getattr(layer, "activation", linear[0]) not in linear:
        return "its activation does not scale"
    return "a product multiplies its factors" if kind is layers.Multiply else ""


def _scaled(layer: Layer, read: np.ndarray, makes: np.ndarray) -> list[np.ndarray]:
    """Returns the layer's weights where it reads and makes channels multiplied by these factors.

    They are in `get_weights` order.
    """
    kernel, *rest = layer.get_weights()
    if type(layer) is layers.BatchNormalization:
        shifted = int(layer.center)  # beta; mean and variance belong to what is read
        return [kernel * makes, *(one * makes for one in rest[:shifted]), *rest[shifted:]]
    kernel = kernel * (along_outputs(layer, makes) / along_inputs(layer, read))
    return [kernel, *(bias * makes for bias in rest)]
