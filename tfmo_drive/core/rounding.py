"""What int8 does to kernels, in float: symmetric, with a step for each output channel.

https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.core.keras2 import keras

LEVELS = 127
"""Kernels use -127..127, so that zero is in the middle."""


def kernel_to_int8(layer: keras.layers.Layer) -> np.ndarray:
    """The layer's kernel, float32, at the values that it has in an int8 file.

    A BatchNorm behind it changes nothing: folded, it multiplies an output channel and its step alike.
    """
    kernel = layer.get_weights()[0]
    # Kernels are [..., c_in, c_out], but depthwise [h, w, c, multiplier] and transposed [h, w, c_out, c_in].
    kept = {keras.layers.DepthwiseConv2D: (-2, -1), keras.layers.Conv2DTranspose: (-2,)}.get(type(layer), (-1,))
    axes = tuple(axis for axis in range(kernel.ndim) if axis - kernel.ndim not in kept)
    step = np.maximum(np.abs(kernel).max(axis=axes, keepdims=True) / np.float32(LEVELS), np.finfo(np.float32).tiny)
    return np.rint(kernel / step) * step
