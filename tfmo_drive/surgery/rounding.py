"""Rounds kernels in float as integers would: symmetric, with a step for each output channel, as int8 files have them.

https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks.layers import output_axes


def rounded_kernel(layer: keras.layers.Layer, bits: int = 8) -> np.ndarray:
    """Returns the layer's kernel, float32, rounded to the values that it has in a file of `bits` bits a weight.

    8 bits use -127..127, so that zero is in the middle. A BatchNorm behind the layer changes nothing: folded, it
    multiplies an output channel and its step alike.
    """
    kernel, levels = layer.get_weights()[0], np.float32(2 ** (bits - 1) - 1)
    axes = tuple(axis for axis in range(-kernel.ndim, 0) if axis not in output_axes(layer))
    step = np.maximum(np.abs(kernel).max(axis=axes, keepdims=True) / levels, np.finfo(np.float32).tiny)
    return np.rint(kernel / step) * step
