"""Says which layers hold kernels, how these lie in memory, and what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes.tflite_file import FOLDED

Layer = keras.layers.Layer
MAKERS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense)
"""Layers of exactly these classes, not of their subclasses, make new channels out of all that they read."""
WITH_KERNEL = (*MAKERS, keras.layers.DepthwiseConv2D)
"""Layers of exactly these classes have one kernel, at most one bias and an activation."""


class Kernel(NamedTuple):
    """Holds the kernel of one convolution or dense layer."""

    name: str
    """The float layer's own name ("conv1_conv", never "quant_conv1_conv")."""
    variable: tf.Variable
    """[..., c_in, c_out], as trained: a quantize wrapper puts a fake-quantised tensor in its place while it runs."""


def kernels(model: keras.Model) -> Iterator[Kernel]:
    """Yields every convolution's and dense layer's kernel in graph order.

    tfmot's wrappers and nested models are opened. Depthwise kernels are left out: they hold few weights, and tfmot does
    not prune them.
    """
    for layer in model.layers:
        inner = layer.layer if isinstance(layer, keras.layers.Wrapper) else layer
        if isinstance(inner, keras.Model):
            yield from kernels(inner)
        elif isinstance(inner, keras.layers.Conv2D | keras.layers.Dense):
            quantized = {_last_name(v): v for v, _, _ in getattr(layer, "_weight_vars", ())}
            yield Kernel(inner.name, quantized.get("kernel", inner.kernel))


def in_one_group(layer: Layer) -> bool:
    """Says whether a layer's channels come last and all belong to one group."""
    return getattr(layer, "groups", 1) == 1 and getattr(layer, "data_format", "channels_last") == "channels_last"


def input_axis(layer: Layer) -> int:
    """Returns the axis, counted from the last, along which a kernel's input channels lie.

    Kernels are [..., c_in, c_out], but transposed ones [h, w, c_out, c_in] and depthwise ones [h, w, c, multiplier].
    """
    return -1 if type(layer) is keras.layers.Conv2DTranspose else -2


def output_axes(layer: Layer) -> tuple[int, ...]:
    """Returns the axes, counted from the last, along which a kernel's output channels lie, as for `input_axis`."""
    kinds = {keras.layers.DepthwiseConv2D: (-2, -1), keras.layers.Conv2DTranspose: (-2,)}
    return kinds.get(type(layer), (-1,))


def along_inputs(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Returns `values` [c_in] in the shape in which each meets the weights of its input channel."""
    return values.reshape(-1 if input_axis(layer) == -1 else (-1, 1))


def along_outputs(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Returns `values` [c_out] in the shape in which each meets the weights of its output channel."""
    shape, axes = layer.weights[0].shape, output_axes(layer)
    return values.reshape([shape[axis] if axis in axes else 1 for axis in (-2, -1)])


def is_kernel(name: str, values: np.ndarray) -> bool:
    """Says whether a weight of an artifact is the kernel of a layer that `kernels` walks.

    Biases, depthwise kernels and the folded preprocessing are none.
    """
    # [1, h, w, c] in .tflite, [c, 1, h, w] in .onnx; a 1x1 convolution in .tflite is [c_out, 1, 1, c_in].
    depthwise = values.ndim == 4 and (values.shape[0] == 1 or (values.shape[1] == 1 and values.shape[2] != 1))
    return values.ndim >= 2 and not depthwise and name.split("/")[0] != FOLDED


def _last_name(variable: tf.Variable) -> str:
    return variable.name.split(":")[0].split("/")[-1]


def sparsity(model: keras.Model) -> dict[str, float]:
    """Returns the fraction in [0, 1] of zeros in each kernel, by layer name."""
    return {kernel.name: float(np.mean(kernel.variable.numpy() == 0)) for kernel in kernels(model)}


def weights_digest(model: keras.Model) -> str:
    """Returns a hex digest of every weight's values; 94 MB take a third of a second."""
    digest = hashlib.blake2b(digest_size=16)
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()))
    return digest.hexdigest()


def refuse_unknown(setting: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    """Raises BadInput where a layer that a setting names is not there, with the nearest one that is.

    Args:
        setting: The setting, with which the line begins.
        chosen: The layers' names that it gives.
        known: The layers' names that exist.
    """
    known = list(known)
    for name in chosen:
        if name not in known:
            raise BadInput(f"{setting}: no layer {name!r}. {suggestion(name, known)}")
