"""Finds which tensors of a float model an int8 file stores, who reads them, and each channel's range on images.

A BatchNorm and a ReLU behind a convolution, and a ReLU behind a sum, become part of the operator before them: what is
between is never rounded. Pooling, padding, resizing and reshaping pass their input on in the scale that it has:
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from tfmo_drive.base import inputs
from tfmo_drive.base.finite import largest
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import each
from tfmo_drive.contracts import Arrays
from tfmo_drive.networks import graph
from tfmo_drive.networks.layers import WITH_KERNEL
from tfmo_drive.surgery.channel_graph import TYING

layers = keras.layers
Layer = layers.Layer

HANDING_ON = (
    layers.MaxPooling2D, layers.AveragePooling2D, layers.ZeroPadding2D, layers.Cropping2D, layers.UpSampling2D,
    layers.Resizing, layers.Flatten, layers.Reshape, layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise,
)  # fmt: skip
RELUS = (keras.activations.relu, tf.nn.relu, tf.nn.relu6)
BATCH = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """Describes one tensor that an int8 file rounds, with one scale for all of it."""

    layer: Layer
    """The layer whose output it is."""
    tensor: Any
    """Keras tensor [b, ..., c]."""
    readers: tuple[Layer, ...]
    """The convolutions and dense layers that read its channels."""

    @property
    def rectified(self) -> bool:
        """Says whether a ReLU, by itself or at the end of a layer, made the tensor."""
        layer = self.layer
        if isinstance(layer, layers.ReLU):
            return not layer.negative_slope and not layer.threshold
        return getattr(layer, "activation", None) in RELUS


@dataclasses.dataclass(frozen=True)
class Meeting:
    """Describes a call of a layer that reads, or passes on, stored tensors, by their ids (`StoredTensors.tensors`)."""

    layer: Layer
    inputs: tuple[str, ...]
    output: str


class StoredTensors:
    """Finds the stored tensors of a flat functional model with channels last.

    Attributes:
        tensors: The stored tensors by id, in graph order, inputs first.
        meetings: Every call of a layer, in graph order.
        shown: The ids of stored tensors that are the model's outputs, directly or through layers that pass their input
            on.
        origin: By id of every tensor, the id of the stored tensor whose values it passes on, or its own.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        nodes = list(graph.calls(model))
        self._outputs = {str(id(tensor)) for tensor in model.outputs}
        self._readers: dict[str, list] = {}
        for node in nodes:
            for one in dict.fromkeys(node.flat_input_ids):
                self._readers.setdefault(one, []).append(node)
        made = [(tensor._keras_history.layer, tensor) for tensor in model.inputs]
        made += [(node.layer, tensor) for node in nodes for tensor in tf.nest.flatten(node.outputs)]
        self._holds = self._fused(made)
        self.origin = self._handed_on(nodes)
        self.tensors = {
            key: Stored(layer, tensor, tuple(self._kernels(key)))
            for layer, tensor in made
            if self._holds[key := str(id(tensor))] == key and tensor.dtype.is_floating and len(tensor.shape) > 1
        }
        self.meetings = [
            Meeting(node.layer, tuple(node.flat_input_ids), self._holds[node.flat_output_ids[0]]) for node in nodes
        ]
        self.shown = {self.origin[one] for one in self._outputs}

    def _fused(self, made: list[tuple[Layer, Any]]) -> dict[str, str]:
        """Returns, by id of every tensor, the id of the stored one that it becomes inside the same operator."""
        holds: dict[str, str] = {}
        for layer, tensor in reversed(made):
            key = str(id(tensor))
            after = self._readers.get(key, [])
            inside = key not in self._outputs and len(after) == 1 and _fuses(layer, after[0].layer)
            holds[key] = holds[after[0].flat_output_ids[0]] if inside else key
        return holds

    def _handed_on(self, nodes: list) -> dict[str, str]:
        origin = {key: key for key in self._holds}
        for node in nodes:
            if isinstance(node.layer, HANDING_ON):
                origin |= dict.fromkeys(node.flat_output_ids, origin[node.flat_input_ids[0]])
        return origin

    def _kernels(self, key: str) -> list[Layer]:
        handed = [other for other, origin in self.origin.items() if origin == key]
        found = [node.layer for other in handed for node in self._readers.get(other, [])]
        return [layer for layer in dict.fromkeys(found) if type(layer) in WITH_KERNEL]

    def ranges(self, given: Arrays) -> dict[str, np.ndarray]:
        """Returns the lowest and the highest value of each channel on preprocessed inputs [n, ...]: by id, [2, c].

        Zero is always included, because every int8 scale holds it.
        """
        seen = [self._ends(part) for part in inputs.pieces(given, BATCH)]
        return {
            key: np.stack([np.min([low for low, _ in ends], 0), np.max([high for _, high in ends], 0)]).astype(float)
            for key, *ends in zip(self.tensors, *(map(np.asarray, batch) for batch in seen), strict=True)
        }

    @functools.cached_property
    def _ends(self):
        """Returns a function that gives every stored tensor's ends on one batch, float32 [2, c] each."""
        probe = keras.Model(self.model.inputs, [one.tensor for one in self.tensors.values()])

        @tf.function(input_signature=[each(lambda one: tf.TensorSpec(one.shape, tf.float32), inputs.named(self.model))])
        def ends(batch):
            found = tf.nest.flatten(probe(batch, training=False))
            axes = [list(range(len(one.shape) - 1)) for one in found]
            return [
                tf.stack([tf.minimum(tf.reduce_min(one, axis), 0.0), tf.maximum(tf.reduce_max(one, axis), 0.0)])
                for one, axis in zip(found, axes, strict=True)
            ]

        return ends

    def decided(self, given: Arrays) -> np.ndarray | None:
        """Returns the class that each input is put into, int64 [n]; None where the output is no row of scores."""
        shape = self.model.output_shape
        if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] < 2:
            return None
        return largest(self.model.predict(given, BATCH, verbose=0))


def span(range_: np.ndarray) -> float:
    """Returns the span that one scale for a whole tensor has to cover, from the [2, c] ends of its channels."""
    return float(range_[1].max() - range_[0].min())


def _fuses(layer: Layer, reader: Layer) -> bool:
    """Says whether `reader` becomes part of the operator that makes its input."""
    if isinstance(reader, layers.BatchNormalization):
        return type(layer) in WITH_KERNEL and layer.activation is keras.activations.linear
    activation = getattr(reader, "activation", None) if type(reader) is layers.Activation else None
    bends = isinstance(reader, layers.ReLU) or activation in RELUS
    return bends and isinstance(layer, (*WITH_KERNEL, *TYING, layers.BatchNormalization))
