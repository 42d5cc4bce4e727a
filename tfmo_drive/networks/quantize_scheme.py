"""Decides where a Keras model gets fake quantisation, so that its int8 file holds what was trained.

tfmot places it by patterns on the model's JSON, and places it wrong in silence: a convolution or dense layer in front
of a ReLU loses the quantiser of its kernel, so do those that a Concatenate reads where zeros are to be kept, the inputs
of a Concatenate come back in another order where its branches differ in depth, a ReLU that stops at 4 counts as one
that the convolution absorbs, and "Conv2D" is a prefix of "Conv2DTranspose". Here it only puts a layer behind the input;
the rest is decided on Keras's own graph by what the integer operators are: a convolution absorbs the BatchNorm and the
ReLU behind it, and a concatenation has one range for all that it reads and gives
(https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_transforms
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_configs import (
    Default8BitOutputQuantizeConfig,
    NoOpQuantizeConfig,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_scheme import (
    Default8BitQuantizeScheme,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantizers import (
    Default8BitConvWeightsQuantizer,
)
from tensorflow_model_optimization.python.core.quantization.keras.graph_transformations.model_transformer import (
    ModelTransformer,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layout_transform import (
    QuantizeLayoutTransform,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import Quantizer

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import folding, graph
from tfmo_drive.networks.fake_quant import round_symmetric
from tfmo_drive.networks.layers import WITH_KERNEL
from tfmo_drive.networks.plain_layers import TAKEN_IN

layers = keras.layers
Layer = layers.Layer
_WITH_BATCH_NORM = (layers.Conv2D, layers.DepthwiseConv2D)
"""The layers that absorb the BatchNorm behind them, with one range for each output channel; dense layers have one."""
_WITH_RELU = (*WITH_KERNEL, layers.Add)
_KEEP_RANGE = (layers.UpSampling2D,)
"""The layers whose integer operators keep their input's range; tfmot gives them one that the file cannot follow."""


def trains_with(norm: Layer, readers: dict[str, Layer]) -> bool:
    """Says whether a BatchNorm can be trained under fake quantisation: behind a convolution that absorbs it.

    Args:
        norm: Any layer.
        readers: `graph.only_reader` of its model.
    """
    if type(norm) is not layers.BatchNormalization or len(norm.inbound_nodes) != 1:
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
    """Returns "Multiply multiply_1" for every layer that has no fake-quantised form, in order.

    Where only a part of a layer has none, the part stands behind it in parentheses.
    """
    registry, readers = Scheme().get_quantize_registry(), graph.only_reader(model)
    return [
        f"{type(layer).__name__} {layer.name}{_why(layer)}"
        for layer in graph.flat_layers(model)
        if not (trains_with(layer, readers) or _is_known(layer, registry))
    ]


def _why(layer: Layer) -> str:
    if isinstance(layer, layers.BatchNormalization):
        return " (no layer beside it can take it in)"
    if isinstance(layer, folding.AFFINE):
        return " (no layer behind it can take it in; task.preprocessing_name can do the like outside the model)"
    if isinstance(layer, layers.ReLU):
        return " (with an end or a step of its own)"
    name = activation_name(layer)
    return "" if name in TAKEN_IN else f" (activation {name})"


def _is_known(layer: Layer, registry: Any) -> bool:
    """Says whether tfmot knows the layer and its activation, and the converter an integer operator for both."""
    if isinstance(layer, layers.BatchNormalization) or not registry.supports(layer):
        return False
    if isinstance(layer, layers.ReLU) and not is_plain_relu(layer):
        return layer.max_value is None and not layer.threshold  # a slope is one operator, an end or a step are several
    config = registry.get_quantize_config(layer)
    try:
        config.get_output_quantizers(layer)
    except ValueError:  # an Activation that tfmot does not know
        return False
    return not getattr(config, "activation_attrs", ()) or activation_name(layer) in TAKEN_IN


class Scheme(Default8BitQuantizeScheme):
    """Quantises to tfmot's 8 bits with another placement.

    Args:
        chosen: Says for a kernel (float32 [..., c_in, c_out]) whether all its output channels get one range, so that
            equal weights become equal integers. It is stored per channel, where the converter can fold BatchNorm in.
        zeros: Whether weights that are 0 now stay so (tfmot's own scheme for that knows Conv2D and Dense alone).
    """

    def __init__(self, chosen: Callable[[np.ndarray], bool] = lambda kernel: False, zeros: bool = False):
        super().__init__()
        self.chosen, self.zeros = chosen, zeros

    def get_layout_transformer(self):
        """Returns what tfmot asks for to decide where a model is quantised."""
        return _Layout(self.get_quantize_registry())

    def get_quantize_registry(self):
        """Returns tfmot's registry of how each layer is quantised, changed as `chosen` and `zeros` say."""
        registry = super().get_quantize_registry()
        known = registry.get_quantize_config

        def get_quantize_config(layer):
            if type(layer) in _KEEP_RANGE:
                return NoOpQuantizeConfig()
            config = copy.copy(known(layer))  # one object serves all layers of a kind
            if type(layer) is layers.Conv2D and self.chosen(layer.kernel.numpy()):
                config.weight_quantizer = _KernelRange(float(tf.reduce_max(tf.abs(layer.kernel))))
            if self.zeros and getattr(config, "weight_attrs", ()):
                config.weight_quantizer = _ZerosStay(config.weight_quantizer)
            return config

        registry.get_quantize_config = get_quantize_config
        return registry


class _Layout(QuantizeLayoutTransform):
    def __init__(self, registry: Any):
        self.registry = registry

    def apply(self, model: keras.Model, layer_quantize_map: dict[str, dict]) -> tuple[keras.Model, dict[str, dict]]:
        """Returns the model with a quantiser behind its input, and every layer's configuration by its name."""
        transforms = [default_8bit_transforms.InputLayerQuantize()]
        model, found = ModelTransformer(model, transforms, set(layer_quantize_map), layer_quantize_map).transform()
        readers = graph.only_reader(model)
        for layer in model.layers:
            given = found.get(layer.name, {})
            if "quantize_config" in given and not given["quantize_config"]:
                found[layer.name]["quantize_config"] = self._config(layer, readers)
        return model, found

    def _config(self, layer: Layer, readers: dict[str, Layer]) -> Any:
        """Returns how a layer is quantised, or None where nothing is known of it.

        tfmot then refuses it by its name.
        """
        if trains_with(layer, readers):
            own = Default8BitOutputQuantizeConfig()
        elif _is_known(layer, self.registry):
            own = self.registry.get_quantize_config(layer)
        else:
            return None
        reader = readers.get(layer.name)
        if reader is None or not (_takes_in(reader, layer, readers) or _shares_range(reader, layer)):
            return own
        if not getattr(own, "weight_attrs", ()):
            return NoOpQuantizeConfig()
        own.activation_attrs = []
        return own


def _takes_in(reader: Layer, layer: Layer, readers: dict[str, Layer]) -> bool:
    """Says whether one integer operator computes `layer` and, without a rounding between, `reader` behind it."""
    if trains_with(reader, readers):
        return True
    takes_relu = type(layer) in _WITH_RELU and activation_name(layer) == "linear" or trains_with(layer, readers)
    return takes_relu and is_plain_relu(reader)


def _shares_range(reader: Layer, layer: Layer) -> bool:
    return isinstance(reader, layers.Concatenate) and activation_name(layer) in ("linear", "relu")


def is_plain_relu(layer: Layer) -> bool:
    """Says whether the layer is one of the two ReLUs that integer operators end in: up to 6, or without an end."""
    if isinstance(layer, layers.ReLU):
        return layer.max_value in (None, 6.0) and not layer.negative_slope and not layer.threshold
    return type(layer) is layers.Activation and activation_name(layer) in ("relu", "relu6")


def activation_name(layer: Layer) -> str:
    """Returns the name of the layer's own activation, also while it is fake-quantised; "linear" where it has none."""
    activation = getattr(layer, "activation", None)
    activation = getattr(activation, "activation", activation)  # inside tfmot's QuantizeAwareActivation
    return getattr(activation, "__name__", type(activation).__name__) if activation is not None else "linear"


class _ZerosStay(Quantizer):
    """Quantises weights by another quantiser, times the mask of those that are not 0 when it is built."""

    def __init__(self, quantizer: Quantizer):
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
