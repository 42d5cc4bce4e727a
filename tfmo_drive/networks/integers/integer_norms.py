"""Writes LayerNormalization and GroupNormalization in operators that compute in integers.

A variance that is stored in 8 bits has one step for all places of a map, and the inverse of its root has another.
TensorFlow Lite's L2_NORMALIZATION needs neither, for it sums squares of int8 in 32 bits: at a place, all channels
without their mean, in unit length, are what LayerNormalization gives but for a factor. Over whole maps there are too
many values for its output's steps of 1/128; but there a group has one variance for each image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks.graph import weighted
from tfmo_drive.networks.operator_layers import operator

layers = keras.layers
Norm = layers.LayerNormalization | layers.GroupNormalization


def layer_norm(layer: layers.LayerNormalization, free: Callable[[str], str]) -> Callable | None:
    """Returns what normalises each place over its channels; None along other axes, or for sizes that are not known.

    The length is taken in two steps. The operator's output has steps of 1/128, and of many channels in unit length each
    is but a few of them: 24 dB for 768. So groups of about the root of them come to unit length each, then the lengths
    of the groups. The layer's epsilon is one more length, always sqrt(channels * epsilon).
    """
    shape = layer.output.shape
    if list(layer.axis) != [len(shape) - 1] or None in shape[1:] or len(shape) > 4:
        return None
    *places, channels = shape[1:]
    groups = _groups(channels)
    whole, apart = (*[1] * (3 - len(places)), *places, channels)[-3:], (math.prod(places), groups, channels // groups)
    least = math.sqrt(channels * layer.epsilon)

    def normalised(maps: Any) -> Any:
        mean = operator("math.reduce_mean", free(f"{layer.name}_mean"))(maps, axis=-1, keepdims=True)
        left = layers.Subtract(name=free(f"{layer.name}_left"))([maps, mean])
        left = layers.Reshape(apart, name=free(f"{layer.name}_groups"))(left)
        unit = layers.UnitNormalization(name=free(f"{layer.name}_unit"))(left)
        product = layers.Multiply(name=free(f"{layer.name}_along"))([left, unit])
        length = operator("math.reduce_sum", free(f"{layer.name}_length"))(product, axis=-1)
        wide = operator("pad", free(f"{layer.name}_epsilon"))(length, [[0, 0]] * 2 + [[0, 1]], constant_values=least)
        share = layers.UnitNormalization(name=free(f"{layer.name}_share"))(wide)
        share = operator("slice", free(f"{layer.name}_of_groups"))(share, [0] * 3, [-1] * 2 + [groups])
        share = layers.Reshape((*apart[:2], 1), name=free(f"{layer.name}_of_each"))(share)
        found = layers.Multiply(name=free(f"{layer.name}_normalised"))([unit, share])
        return layers.Reshape(whole, name=free(f"{layer.name}_whole"))(found)

    return _around(layer, normalised, whole, math.sqrt(channels), free)


def _groups(channels: int) -> int:
    """Returns into how many groups of equal size the channels are put: the divisor that is nearest to their root."""
    divisors = [one for one in range(1, channels + 1) if channels % one == 0]
    return min(divisors, key=lambda one: abs(math.log(one * one / channels)))


def group_norm(layer: layers.GroupNormalization, free: Callable[[str], str]) -> Callable | None:
    """Returns what normalises each group of channels over the whole map; None as for `layer_norm`."""
    shape = layer.output.shape
    if layer.axis not in (-1, len(shape) - 1) or None in shape[1:] or len(shape) > 4:
        return None
    *places, channels = shape[1:]

    def normalised(maps: Any) -> Any:
        apart = (math.prod(places), layer.groups, channels // layer.groups)
        maps = layers.Reshape(apart, name=free(f"{layer.name}_groups"))(maps)
        mean = operator("math.reduce_mean", free(f"{layer.name}_mean"))(maps, axis=[1, 3], keepdims=True)
        left = layers.Subtract(name=free(f"{layer.name}_left"))([maps, mean])
        square = layers.Multiply(name=free(f"{layer.name}_square"))([left, left])
        variance = operator("math.reduce_mean", free(f"{layer.name}_variance"))(square, axis=[1, 3], keepdims=True)
        least = layers.Rescaling(1.0, layer.epsilon, name=free(f"{layer.name}_epsilon"))(variance)
        root = operator("math.rsqrt", free(f"{layer.name}_root"))(least)
        found = layers.Multiply(name=free(f"{layer.name}_unit"))([left, root])
        return layers.Reshape(whole, name=free(f"{layer.name}_whole"))(found)

    whole = (*[1] * (3 - len(places)), *places, channels)[-3:]
    return _around(layer, normalised, whole, 1.0, free)


def _around(layer: Norm, normalised: Callable, shape: tuple[int, ...], times: float, free: Callable[[str], str]):
    """Returns what reshapes to maps [h, w, c], normalises, scales by gamma and adds beta, and reshapes back."""
    channels, flat = shape[-1], len(layer.output.shape) < 4
    gamma, beta = (weight.numpy() if weight is not None else None for weight in (layer.gamma, layer.beta))
    scaling = layers.DepthwiseConv2D(
        1, name=free(f"{layer.name}_scaled") if flat else layer.name, trainable=layer.trainable
    )
    scale = times * (np.ones(channels) if gamma is None else gamma)
    values = scale.reshape(1, 1, channels, 1), np.zeros(channels) if beta is None else beta

    def call(inputs: Any) -> Any:
        if not flat:
            return weighted(scaling, *values)(normalised(inputs))
        maps = layers.Reshape(shape, name=free(f"{layer.name}_map"))(inputs)
        found = weighted(scaling, *values)(normalised(maps))
        return layers.Reshape(layer.output.shape[1:], name=layer.name)(found)

    return call
