"""Counts on the Keras graph what the int8 file of a quantize-aware model could not store in integers.

Every kernel needs a fake quantiser, and every activation that the file stores a range: of its own, of an operator that
keeps the range of what it reads, or one that the operator fixes (softmax, sigmoid, tanh). What one integer operator
computes together (convolution, BatchNorm, ReLU) is stored once, at its end. It is counted here apart from where
`quantize_scheme` puts the quantisers, so that each is a check on the other.
"""

from __future__ import annotations

from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapper

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import bare
from tfmo_drive.networks import graph
from tfmo_drive.networks.quantize_scheme import activation_name, is_plain_relu

layers = keras.layers
Layer = layers.Layer
_SAME_RANGE = (
    layers.Reshape, layers.Flatten, layers.Permute, layers.ZeroPadding1D, layers.ZeroPadding2D, layers.Cropping1D,
    layers.Cropping2D, layers.MaxPooling1D, layers.MaxPooling2D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D,
    layers.UpSampling2D, layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D,
    layers.ActivityRegularization, layers.Concatenate,
)  # fmt: skip
_FIXED_RANGE = ("softmax", "sigmoid", "tanh")
_OPERATORS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.Dense, layers.Add)


def missing(model: keras.Model) -> list[str]:
    """Returns, in graph order, "kernel of conv1" or "output of add_2" for everything without fake quantiser and range.

    Raises BadInput for a subclassed model, whose graph is not known.
    """
    found = [f"kernel of {bare(layer.name)}" for layer in model.layers if not _has_quantised_kernels(layer)]
    return found + _Activations(model).missing()


def _has_quantised_kernels(layer: Layer) -> bool:
    """Says whether every weight with more than one axis has a fake quantiser; biases and BatchNorms have one axis."""
    quantised = {variable.ref() for variable, _, _ in getattr(layer, "_weight_vars", ())}
    return all(len(weight.shape) < 2 or weight.ref() in quantised for weight in layer.weights)


class _Activations:
    def __init__(self, model: keras.Model):
        self.nodes = list(graph.calls(model))
        self.readers: dict[str, list[Any]] = {}
        for node in self.nodes:
            for tensor in node.flat_input_ids:
                self.readers.setdefault(tensor, []).append(node)
        self.shown = {str(id(tensor)) for tensor in model.outputs}
        self.ranged: set[str] = set()
        for node in self.nodes:
            if self._has_range(node):
                self.ranged |= set(node.flat_output_ids)

    def missing(self) -> list[str]:
        return [f"output of {bare(node.layer.name)}" for node in self.nodes if not self._is_stored_with_range(node)]

    def _has_range(self, node: Any) -> bool:
        """Says whether a node's output has a range: its own, a fixed one, or that of its input, which comes first."""
        layer, inner = node.layer, _inner(node.layer)
        if isinstance(layer, QuantizeLayer):
            return layer.quantizer is not None
        own = getattr(layer, "_output_quantizers", ()) or any(
            activation._should_post_quantize() for activation in getattr(layer, "_quantize_activations", ())
        )
        if own or isinstance(inner, layers.Softmax) or activation_name(inner) in _FIXED_RANGE:
            return True
        nothing = type(inner) is layers.Activation and activation_name(inner) == "linear"
        keeps = nothing or isinstance(inner, _SAME_RANGE)
        return keeps and all(tensor in self.ranged for tensor in node.flat_input_ids)

    def _is_stored_with_range(self, node: Any) -> bool:
        """Says whether a node's output has a range, or takes that of its only reader, which is asked in its turn."""
        (tensor,) = node.flat_output_ids if len(node.flat_output_ids) == 1 else (None,)
        if tensor in self.ranged:
            return True
        readers = self.readers.get(tensor, [])
        if len(readers) != 1 or tensor in self.shown:
            return False
        inner, reader = _inner(node.layer), _inner(readers[0].layer)
        return isinstance(reader, _SAME_RANGE) or _is_one_operator(inner, reader)


def _is_one_operator(layer: Layer, reader: Layer) -> bool:
    """Says whether one integer operator computes both.

    They are a convolution and its BatchNorm; or either of them, or a sum, and a ReLU.
    """
    if isinstance(reader, layers.BatchNormalization):
        return isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D) and activation_name(layer) == "linear"
    linear = isinstance(layer, _OPERATORS) and activation_name(layer) == "linear"
    ends = linear or isinstance(layer, layers.BatchNormalization)
    return ends and is_plain_relu(reader)


def _inner(layer: Layer) -> Layer:
    return layer.layer if isinstance(layer, QuantizeWrapper) else layer
