"""Decides where a Keras model gets fake quantisation, so that its int8 file holds what was trained.

tfmot's own scheme places it by patterns on the model's JSON, knows some forty layers, and places it wrong in silence:
a convolution in front of a ReLU loses the quantiser of its kernel, the inputs of a Concatenate come back in another
order where its branches differ in depth. Here its wrappers, layers and quantisers are put on Keras's own graph, by what
the integer operators are: a convolution absorbs the BatchNorm and the ReLU behind it, data that only moves keeps its
range, a concatenation has one range for all that it reads and gives
(https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec). The tables below were measured
operator by operator on converted files; `networks.integers.integer_layers` rewrites what is in none of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from tensorflow_model_optimization.python.core.quantization.keras import quantizers
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_registry import (
    Default8BitQuantizeRegistry,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantizers import (
    Default8BitConvWeightsQuantizer,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapperV2

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import bare
from tfmo_drive.networks import folding, graph
from tfmo_drive.networks.fake_quant import round_symmetric
from tfmo_drive.networks.layers import WITH_KERNEL
from tfmo_drive.networks.operator_layers import symbol

layers = keras.layers
Layer = layers.Layer
_WITH_BATCH_NORM = (layers.Conv2D, layers.DepthwiseConv2D)
"""The layers that absorb the BatchNorm behind them, with one range for each output channel; dense layers have one."""
_WITH_RELU = (*WITH_KERNEL, layers.Add)
_KEEP_RANGE = (
    layers.Reshape, layers.Flatten, layers.Permute, layers.RepeatVector, layers.ZeroPadding1D, layers.ZeroPadding2D,
    layers.Cropping1D, layers.Cropping2D, layers.CenterCrop, layers.MaxPooling1D, layers.MaxPooling2D,
    layers.AveragePooling1D, layers.AveragePooling2D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D,
    layers.UpSampling1D, layers.UpSampling2D, layers.Resizing, layers.ActivityRegularization,
    layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.GaussianDropout, layers.GaussianNoise,
    layers.AlphaDropout, layers.RandomBrightness, layers.RandomContrast, layers.RandomFlip, layers.RandomRotation,
    layers.RandomTranslation, layers.RandomZoom,
)  # fmt: skip
"""The layers whose integer operators keep their input's range, or which do nothing in inference."""
_OWN_RANGE = (
    layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum, layers.Concatenate, layers.LeakyReLU,
    layers.PReLU, layers.ELU, layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
)  # fmt: skip
"""The layers without a kernel whose integer operators have a range of their own at their end."""
_MOVING = (
    "__operators__.getitem", "reshape", "transpose", "pad", "split", "expand_dims", "squeeze", "tile", "gather",
    "reverse", "stack", "unstack", "repeat", "identity", "stop_gradient", "math.reduce_max", "math.reduce_min",
    "nn.depth_to_space", "nn.space_to_depth", "image.resize", "image.resize_images",
    "image.resize_bilinear", "image.resize_nearest_neighbor", "nn.max_pool2d", "nn.avg_pool2d", "slice",
    "strided_slice", "broadcast_to",
)  # fmt: skip
_COMPUTING = (
    "math.reduce_mean", "math.reduce_sum", "math.abs", "math.maximum", "math.minimum", "math.squared_difference",
    "math.rsqrt", "linalg.matmul", "nn.gelu", "nn.silu", "clip_by_value", "math.exp",
    "math.log",
)  # fmt: skip
_FIXED = ("math.l2_normalize",)
"""TensorFlow's functions, as Keras names them, of each kind."""
_FIXED_ACTIVATIONS = ("softmax", "sigmoid", "tanh")
_OWN_ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "gelu", "swish", "silu")


def trains_with(norm: Layer, readers: dict[str, Layer]) -> bool:
    """Says whether a BatchNorm can be trained under fake quantisation: behind a convolution that absorbs it.

    Args:
        norm: Any layer.
        readers: `graph.only_reader` of its model.
    """
    if type(norm) is not layers.BatchNormalization or not folding.once_along_channels(norm):
        return False
    maker = norm.input._keras_history.layer
    reader = readers.get(maker.name)
    return (
        type(maker) in _WITH_BATCH_NORM
        and activation_name(maker) == "linear"
        and reader is not None
        and reader.name == norm.name  # the readers may be those of a copy
    )


def unsupported(model: keras.Model) -> list[str]:
    """Returns "Masking masking_1" for every layer that has no fake-quantised form, in order, as the user has it.

    Where only a part of a layer has none, the part stands behind it in parentheses.
    """
    readers, found = graph.only_reader(model), {}
    for layer in graph.flat_layers(model):
        if range_of(layer) is None and not trains_with(layer, readers):
            name, kind = graph.origin(layer)
            found[f"{symbol(layer) or kind} {name}{_why(layer)}"] = None
    return list(found)


def _why(layer: Layer) -> str:
    if isinstance(layer, folding.AFFINE):
        return " (along another axis than the last, or called more than once)"
    if isinstance(layer, layers.ReLU):
        return " (with a step, or a slope and an end, of its own)"
    name = activation_name(layer) if type(layer) in (layers.Activation, *WITH_KERNEL) else "linear"
    return "" if name == "linear" else f" (activation {name})"


def range_of(layer: Layer) -> str | None:
    """Returns whose range the output of a layer's integer operator has: "own", "fixed", "input" or None.

    None says that there is no such operator. A fixed one is known without being measured (sigmoid: 0 to 1).
    """
    kind, name = type(layer), symbol(layer)
    if name:
        moving = name in _MOVING and not _pads_with_values(layer)
        return "input" if moving else "own" if name in (*_MOVING, *_COMPUTING) else "fixed" if name in _FIXED else None
    if kind in (layers.Activation, *WITH_KERNEL):
        activation = activation_name(layer)
        if activation in _FIXED_ACTIVATIONS:
            return "fixed"
        if activation == "linear":
            return "own" if kind in WITH_KERNEL else "input"
        return "own" if activation in (_OWN_ACTIVATIONS if kind is layers.Activation else ("relu",)) else None
    if kind is layers.ReLU:
        return None if layer.threshold or (layer.negative_slope and layer.max_value is not None) else "own"
    if kind in (layers.Softmax, layers.UnitNormalization):
        return "fixed"
    return "input" if kind in _KEEP_RANGE else "own" if kind in _OWN_RANGE else None


def quantised(
    model: keras.Model, chosen: Callable[[np.ndarray], bool] = lambda kernel: False, zeros: bool = False
) -> keras.Model:
    """Returns a flat copy with fake quantisers: of its input, its kernels, and every activation that a file stores.

    Args:
        model: A functional model without `unsupported` layers.
        chosen: Says for a kernel (float32 [..., c_in, c_out]) whether all its output channels get one range, so that
            equal weights become equal integers. It is stored per channel, where the converter can fold BatchNorm in.
        zeros: Whether weights that are 0 now stay so.
    """
    readers, copies = graph.only_reader(model), {}

    def replacement(layer: Layer) -> list[Layer]:
        made = graph.fresh(layer)
        if type(layer) in WITH_KERNEL:
            with tf.name_scope(layer.name):
                made.build(layer.input_shape)
            made.set_weights(layer.get_weights())  # the wrapper puts rounded weights in their place
            made = QuantizeWrapperV2(made, kernel_config(layer, chosen, zeros))
        else:
            copies[layer.name] = made
        norm = trains_with(layer, readers)
        if not (norm or range_of(layer) == "own") or _ends_in(readers.get(layer.name), layer, readers):
            return [made]
        return [made, QuantizeLayer(_moving_average(), name=f"quant_range_{layer.name}")]

    def of_input(tensor: Any) -> Any:
        every = quantizers.AllValuesQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
        several = len(model.inputs) > 1
        return QuantizeLayer(every, name=f"quantize_{tensor.node.layer.name}" if several else "quantize_layer")(tensor)

    made = graph.rebuilt(model, replacement, of_input)
    for layer in graph.flat_layers(model):
        if layer.name in copies:
            copies[layer.name].set_weights(layer.get_weights())
    return made


def float_kernels(model: keras.Model) -> list[str]:
    """Returns the layers of a quantised model with a kernel that has no fake quantiser, in order.

    What activations lack shows in the file, which then has float operators.
    """
    quantised = {variable.ref() for layer in model.layers for variable, _, _ in getattr(layer, "_weight_vars", ())}
    return [
        bare(layer.name)
        for layer in model.layers
        if any("kernel" in weight.name and weight.ref() not in quantised for weight in layer.trainable_weights)
    ]


def _moving_average() -> quantizers.Quantizer:
    return quantizers.MovingAverageQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)


def kernel_config(layer: Layer, chosen: Callable[[np.ndarray], bool], zeros: bool) -> Any:
    """Returns tfmot's configuration of a layer with a kernel, for its weights alone."""
    config = copy.copy(Default8BitQuantizeRegistry().get_quantize_config(layer))
    config.activation_attrs, config.quantize_output = [], False
    if type(layer) is layers.Conv2D and chosen(layer.kernel.numpy()):
        config.weight_quantizer = _KernelRange(float(tf.reduce_max(tf.abs(layer.kernel))))
    if zeros:
        config.weight_quantizer = _ZerosStay(config.weight_quantizer)
    return config


def _ends_in(reader: Layer | None, layer: Layer, readers: dict[str, Layer]) -> bool:
    """Says whether a layer's output is stored only behind `reader`, or with its range."""
    return reader is not None and (_takes_in(reader, layer, readers) or _shares_range(reader, layer))


def _takes_in(reader: Layer, layer: Layer, readers: dict[str, Layer]) -> bool:
    """Says whether one integer operator computes `layer` and, without a rounding between, `reader` behind it."""
    if trains_with(reader, readers):
        return True
    takes_relu = type(layer) in _WITH_RELU and activation_name(layer) == "linear" or trains_with(layer, readers)
    return takes_relu and is_plain_relu(reader)


def _shares_range(reader: Layer, layer: Layer) -> bool:
    shares = isinstance(reader, layers.Concatenate) or _pads_with_values(reader)
    return shares and activation_name(layer) in ("linear", "relu")


def _pads_with_values(layer: Layer) -> bool:
    """Says whether the layer puts constants beside what it reads, which must lie in one range with it."""
    return symbol(layer) == "pad" and layer.inbound_nodes[0].call_kwargs.get("constant_values", 0) != 0


def is_plain_relu(layer: Layer) -> bool:
    """Says whether the layer is one of the two ReLUs that integer operators end in: up to 6, or without an end."""
    if isinstance(layer, layers.ReLU):
        return layer.max_value in (None, 6.0) and not layer.negative_slope and not layer.threshold
    return type(layer) is layers.Activation and activation_name(layer) in ("relu", "relu6")


def activation_name(layer: Layer) -> str:
    """Returns the name of the layer's own activation; "linear" where it has none."""
    activation = getattr(layer, "activation", None)
    return getattr(activation, "__name__", type(activation).__name__) if activation is not None else "linear"


class _ZerosStay(quantizers.Quantizer):
    """Quantises weights by another quantiser, times the mask of those that are not 0 when it is built."""

    def __init__(self, quantizer: quantizers.Quantizer):
        self.quantizer = quantizer

    def build(self, tensor_shape, name, layer):
        weights = getattr(layer.layer, name)
        mask = tf.cast(tf.not_equal(weights, 0), weights.dtype)
        return self.quantizer.build(tensor_shape, name, layer) | {"mask": mask}

    def __call__(self, inputs, training, weights, **kwargs):
        return self.quantizer(inputs * weights["mask"], training, weights, **kwargs)

    def get_config(self):
        return {"quantizer": self.quantizer}


class _KernelRange(Default8BitConvWeightsQuantizer):
    """Gives all output channels of a kernel one range.

    It trains in plain ops, as `fast` does, and exports the standard op.
    """

    def __init__(self, largest: float):
        super().__init__()
        self.largest = largest

    def build(self, tensor_shape, name, layer):
        def ends(suffix: str, value: float):
            initial = keras.initializers.Constant(value)
            return layer.add_weight(name + suffix, shape=(tensor_shape[-1],), initializer=initial, trainable=False)

        return {"min_var": ends("_min", -self.largest), "max_var": ends("_max", self.largest)}

    def __call__(self, inputs, training, weights, **kwargs):
        low, high = weights["min_var"], weights["max_var"]
        if not training:
            return tf.quantization.fake_quant_with_min_max_vars_per_channel(inputs, low, high, narrow_range=True)
        largest = tf.reduce_max(tf.abs(inputs))
        low.assign(tf.fill(low.shape, -largest))
        high.assign(tf.fill(high.shape, largest))
        return round_symmetric(inputs, largest)
