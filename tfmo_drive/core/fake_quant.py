"""Fake quantisation that trains fast and converts as tfmot's does, and ranges that start where the data is.

tfmot fake-quantises kernels with `fake_quant_with_min_max_vars_per_channel`, whose CPU kernel takes 37.7 ms for a
3x3x512x512 kernel (DESIGN, section 5). The same arithmetic in plain ops with a straight-through gradient (Bengio et al.
2013; Jacob et al. 2018) takes a hundredth of it. The converter knows only the standard op, so `fast()` is entered where
a training graph is traced, and left out where a graph is exported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
from tensorflow_model_optimization.python.core.quantization.keras import quant_ops
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_configs import (
    NoOpQuantizeConfig,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_registry import (
    Default8BitConvQuantizeConfig,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_scheme import (
    Default8BitQuantizeScheme,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantizers import (
    Default8BitConvWeightsQuantizer,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapper

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.keras2 import keras, tf

_DEAD, _WIDE = 1e-4, 1.0
"""A map whose values stay within the first is always 0, to 8 bits of its neighbours; it is given the second."""


def is_quantize_aware(model: keras.Model) -> bool:
    """Whether the model carries tfmot's fake-quant wrappers, so that it converts to int8 without calibration."""
    return any(isinstance(module, QuantizeWrapper | QuantizeLayer) for module in model.submodules)


def refuse_quantize_aware(model: keras.Model, step: str) -> None:
    """BadInput where `step` (its class's name) would come after QuantizeAware, whose ranges belong to what it saw."""
    if is_quantize_aware(model):
        raise BadInput(f"{step} cannot follow QuantizeAware: put {step} first.")


@contextlib.contextmanager
def fast() -> Iterator[None]:
    """Graphs traced inside quantise kernels in plain ops; the variables and the values are tfmot's."""
    with mock.patch.object(quant_ops, "LastValueQuantize", _last_value):
        yield


def calibrate(model: keras.Model, batches: list[np.ndarray]) -> None:
    """Set every activation range of a quantize-aware model to what it sees on these preprocessed batches.

    tfmot starts at -6..6 and moves with decay 0.999, which costs 35 points in the first steps (DESIGN, section 5).
    Ranges are the mean over batches of each batch's minimum and maximum, as a moving average would settle.
    """
    seen: dict = {}

    def observe(inputs, min_var, max_var, **_):
        _, _, lows, highs = seen.setdefault(min_var.ref(), (min_var, max_var, [], []))
        lows.append(min(0.0, float(tf.reduce_min(inputs))))
        highs.append(max(0.0, float(tf.reduce_max(inputs))))
        return inputs

    with (
        mock.patch.object(quant_ops, "MovingAvgQuantize", observe),
        mock.patch.object(quant_ops, "AllValuesQuantize", observe),
        mock.patch.object(quant_ops, "LastValueQuantize", _settle),
    ):
        for batch in batches:
            model(tf.constant(batch), training=False)
    for min_var, max_var, lows, highs in seen.values():
        min_var.assign(np.mean(lows))
        max_var.assign(np.mean(highs))
    widen(model)


def widen(model: keras.Model) -> None:
    """Give maps that are always 0 (a ReLU that died) a range all the same: the converter leaves those without one in
    float, and TensorFlow Lite's addition aborts the whole process where a sum's scale is a 2^19th of an addend's."""
    ends = {variable.name: variable for variable in model.variables if variable.shape.rank == 0}
    for name, low in ends.items():
        high = ends.get(name.replace("_min:", "_max:"))
        if "_min:" in name and high is not None and float(high) - float(low) < _DEAD:
            high.assign(low + _WIDE)


class Scheme(Default8BitQuantizeScheme):
    """A scheme of tfmot's with two changes.

    Convolutions whose kernel is `chosen` get one range for all their output channels, so that equal weights become
    equal integers; it is stored per channel, where the converter can fold BatchNorm into it. Up-sampling keeps the
    range of what it reads, as the integer operators must; tfmot gives it one of its own, which the file cannot follow.
    """

    def __init__(self, scheme: Default8BitQuantizeScheme, chosen: Callable[[np.ndarray], bool] = lambda kernel: False):
        super().__init__()
        self.scheme, self.chosen = scheme, chosen

    def get_quantize_registry(self):
        registry = self.scheme.get_quantize_registry()
        known = registry.get_quantize_config

        def get_quantize_config(layer):
            if type(layer) is keras.layers.UpSampling2D:
                return NoOpQuantizeConfig()
            if type(layer) is not keras.layers.Conv2D or not self.chosen(layer.kernel.numpy()):
                return known(layer)
            config = Default8BitConvQuantizeConfig(["kernel"], ["activation"], False)
            config.weight_quantizer = _KernelRange(float(tf.reduce_max(tf.abs(layer.kernel))))
            return config

        registry.get_quantize_config = get_quantize_config
        return registry


class _KernelRange(Default8BitConvWeightsQuantizer):
    """Trains in plain ops, as `fast`; exports the standard op."""

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
        return _round_symmetric(inputs, largest)


@tf.custom_gradient
def _round_to(values, step):
    """The nearest multiple of `step` (broadcast over the last axis); the gradient passes straight through."""
    return tf.round(values / step) * step, lambda upstream: (upstream, None)


def _last_value(inputs, min_var, max_var, **kwargs):
    """quant_ops.LastValueQuantize; in symmetric narrow ranges nothing is clipped, since the range is the data's."""
    if not (kwargs.get("is_training", True) and kwargs.get("symmetric") and kwargs.get("narrow_range")):
        return _standard_last_value(inputs, min_var, max_var, **kwargs)
    axes = list(range(len(inputs.shape) - 1)) if kwargs.get("per_channel") else None
    largest = tf.reduce_max(tf.abs(inputs), axis=axes)
    min_var.assign(-largest)
    max_var.assign(largest)
    return _round_symmetric(inputs, largest, kwargs.get("num_bits", 8))


def _round_symmetric(inputs, largest, bits: int = 8):
    levels = 2 ** (bits - 1) - 1
    return _round_to(inputs, tf.maximum(tf.stop_gradient(largest) / levels, np.finfo(np.float32).tiny))


def _settle(inputs, min_var, max_var, **kwargs):
    """quant_ops.LastValueQuantize outside training too: kernels also start at -6..6, which rounds most of them to 0."""
    return _standard_last_value(inputs, min_var, max_var, **{**kwargs, "is_training": True})


_standard_last_value = quant_ops.LastValueQuantize
