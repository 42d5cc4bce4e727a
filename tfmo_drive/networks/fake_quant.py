"""Fake-quantises fast, as tfmot's operators would, and starts activation ranges where the data lies.

tfmot fake-quantises kernels with `fake_quant_with_min_max_vars_per_channel`, whose CPU kernel takes 37.7 ms for a
3x3x512x512 kernel. The same arithmetic in plain ops with a straight-through gradient (Bengio et al. 2013; Jacob et al.
2018) takes a hundredth of it. The converter knows only the standard op, so `fast()` is entered where a training graph
is traced, and left out where a graph is exported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from unittest import mock

import numpy as np
from tensorflow_model_optimization.python.core.quantization.keras import quant_ops
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapper
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import AllValuesQuantizer

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import each
from tfmo_drive.contracts import Arrays, BadInput, Preprocessing, Preprocessings
from tfmo_drive.networks import graph

_DEAD, _WIDE = 1e-4, 1.0
"""A map whose range is narrower than the first number is 0 to 8 bits of its neighbours; it gets the second."""
_LEAST_REACH = 1e-3
"""The largest weight of an output channel counts as at least this share of the whole kernel's largest."""


def is_quantize_aware(model: keras.Model) -> bool:
    """Says whether the model carries tfmot's fake-quant wrappers, so that it converts to int8 without calibration."""
    return any(isinstance(layer, QuantizeWrapper | QuantizeLayer) for layer in model._flatten_layers())


def refuse_quantize_aware(model: keras.Model, step: str) -> None:
    """Raises BadInput where `step` (its class's name) would come after QuantizeAware.

    The ranges of a quantize-aware model belong to the activations that it saw, which the step would change.
    """
    if is_quantize_aware(model):
        raise BadInput(f"{step} cannot follow QuantizeAware: make QuantizeAware the last step.")


@contextlib.contextmanager
def fast() -> Iterator[None]:
    """Makes graphs traced inside the block quantise kernels in plain ops; the variables and the values are tfmot's."""
    with mock.patch.object(quant_ops, "LastValueQuantize", _last_value):
        yield


def calibrate(
    model: keras.Model, batches: Iterable[Arrays], preprocessing: Preprocessing | Preprocessings | None = None
) -> None:
    """Sets every activation range of a quantize-aware model to what the model sees on these preprocessed batches.

    tfmot starts at -6..6 and moves with decay 0.999, which costs 35 points in the first steps. Ranges are the mean over
    batches of each batch's minimum and maximum, as a moving average would settle.

    Args:
        model: A quantize-aware model.
        batches: Preprocessed inputs, float32 [b, ...] each.
        preprocessing: What the inputs went through. The range of one that has bounds is then these, whatever the
            batches show: no brighter pixel is clipped, and the range is the one that the file's own uint8 input has.
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
            model(each(tf.constant, batch), training=False)
    for min_var, max_var, lows, highs in seen.values():
        min_var.assign(np.mean(lows))
        max_var.assign(np.mean(highs))
    for rule in preprocessing.each if preprocessing else ():
        for layer in _quantising(model, rule.input) if rule.bounds else ():
            for end, bound in zip(("min_var", "max_var"), rule.bounds, strict=True):
                layer.quantizer_vars[end].assign(bound)
    widen(model)


def _quantising(model: keras.Model, name: str) -> Iterator[QuantizeLayer]:
    """Yields the layers that fake-quantise the input of that name; the only one may have another."""
    for layer in model.layers:
        if isinstance(layer, QuantizeLayer) and isinstance(layer.quantizer, AllValuesQuantizer):
            if len(model.inputs) == 1 or layer.input._keras_history.layer.name == name:
                yield layer


def freeze_what_does_not_train(model: keras.Model) -> None:
    """Keeps tfmot's wrappers from training the kernel of a layer that is not trainable."""
    for layer in model.layers:
        if isinstance(layer, QuantizeWrapper) and not layer.layer.trainable:
            layer._non_trainable_weights = layer._trainable_weights + layer._non_trainable_weights
            layer._trainable_weights = []


def widen(model: keras.Model) -> None:
    """Gives kernels, biases and maps that became (nearly) 0 in training ranges and steps that the file can hold.

    The converter leaves a map without a range in float, and TensorFlow Lite's addition aborts the whole process where a
    sum's scale is a 2^19th of an addend's.
    """
    _widen_kernels(model)
    _tell_biases_apart(model)
    ends = {variable.name: variable for variable in model.variables if variable.shape.rank == 0}
    for name, low in ends.items():
        high = ends.get(name.replace("_min:", "_max:"))
        if "_min:" in name and high is not None and float(high) - float(low) < _DEAD:
            high.assign(low + _WIDE)


def _widen_kernels(model: keras.Model) -> None:
    """Gives output channels whose weights are (nearly) 0 beside the others' steps that are large enough for their bias.

    An int8 file stores a bias in 32 bits, in steps of the input's times the channel's: the bias of a channel that
    became 0 is clipped to nothing, and a layer one of whose channels BatchNorm multiplies by 0 stays in float. What
    `_LEAST_REACH` adds is less than a step of the output, whose channels have one range.
    """
    readers = graph.only_reader(model)
    for layer in model.layers:
        norm = readers.get(layer.name)
        norm = norm if isinstance(norm, keras.layers.BatchNormalization) else None
        for _, _, ends in getattr(layer, "_weight_vars", ()):
            if ends["max_var"].shape.rank == 1:
                _widen_channels(ends, norm)


def _widen_channels(ends: dict, norm: keras.layers.BatchNormalization | None) -> None:
    largest = ends["max_var"].numpy()
    largest = np.maximum(largest, _LEAST_REACH * largest.max())
    if norm is not None:
        deviation = np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
        gamma = norm.gamma.numpy() if norm.scale else np.ones_like(deviation)
        each = np.resize(largest, deviation.shape)  # a depthwise kernel has as many as its multiplier
        reach = each * np.abs(gamma) / deviation
        short = reach < _LEAST_REACH * max(reach.max(), np.finfo(np.float32).tiny)
        if norm.scale and short.any():
            least = _LEAST_REACH * (reach.max() or 0.1) * deviation / np.maximum(each, 1e-30)
            norm.gamma.assign(np.where(short, np.copysign(np.where(each > 0, least, 1), gamma), gamma))
    ends["max_var"].assign(largest)
    ends["min_var"].assign(-largest)


def _tell_biases_apart(model: keras.Model) -> None:
    """Moves one of a layer's biases by a millionth where all are equal.

    TensorFlow 2.21 converts a constant of equal values with the scale of the first channel alone.
    """
    for layer in model.layers:
        inner = getattr(layer, "layer", layer)
        for bias in (getattr(inner, "bias", None), getattr(inner, "beta", None)):
            values = bias.numpy() if bias is not None else np.zeros(1)
            if values.size > 1 and values[0] and (values == values[0]).all():
                values[0] *= 1 + 1e-6
                bias.assign(values)


@tf.custom_gradient
def _round_to(values, step):
    """Rounds to the nearest multiple of `step` (broadcast over the last axis); the gradient passes straight through."""
    return tf.round(values / step) * step, lambda upstream: (upstream, None)


def _last_value(inputs, min_var, max_var, **kwargs):
    """Replaces quant_ops.LastValueQuantize.

    In symmetric narrow ranges nothing is clipped, since the range is the data's.
    """
    if not (kwargs.get("is_training", True) and kwargs.get("symmetric") and kwargs.get("narrow_range")):
        return _standard_last_value(inputs, min_var, max_var, **kwargs)
    axes = list(range(len(inputs.shape) - 1)) if kwargs.get("per_channel") else None
    largest = tf.reduce_max(tf.abs(inputs), axis=axes)
    min_var.assign(-largest)
    max_var.assign(largest)
    return round_symmetric(inputs, largest, kwargs.get("num_bits", 8))


def round_symmetric(inputs, largest, bits: int = 8):
    """Rounds `inputs` to the integers of a range +-`largest` (broadcast over the last axis) without the lowest integer.

    The gradient passes straight through. `bits` is the width of the integers.
    """
    levels = 2 ** (bits - 1) - 1
    return _round_to(inputs, tf.maximum(tf.stop_gradient(largest) / levels, np.finfo(np.float32).tiny))


def _settle(inputs, min_var, max_var, **kwargs):
    """Applies quant_ops.LastValueQuantize outside training too.

    Kernels also start at -6..6, which rounds most of them to 0.
    """
    return _standard_last_value(inputs, min_var, max_var, **{**kwargs, "is_training": True})


_standard_last_value = quant_ops.LastValueQuantize
