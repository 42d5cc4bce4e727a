"""Replaces TensorFlow functions in a model's graph by the built-in layers that compute the same.

`x + 3`, `tf.nn.relu6(x)` and `tf.concat` on Keras tensors become layers of TensorFlow operators, which no step looks
into. As Add, ReLU, Rescaling or Concatenate they are folded, pruned and quantised as the layers are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tf_keras.src.layers.core.tf_op_layer import TFOpLambda

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import graph

layers = keras.layers
Layer = layers.Layer
_ACTIVATIONS = {
    "nn.relu": "relu", "nn.elu": "elu", "nn.selu": "selu", "nn.silu": "swish", "math.sigmoid": "sigmoid",
    "math.tanh": "tanh",
}  # fmt: skip
_MERGED = {
    "__operators__.add": layers.Add, "math.add": layers.Add, "math.subtract": layers.Subtract,
    "math.multiply": layers.Multiply, "math.maximum": layers.Maximum, "math.minimum": layers.Minimum,
}  # fmt: skip


def symbol(layer: Layer) -> str:
    """Returns the TensorFlow function that a layer calls, "math.add", without compat.v1; "" of any other layer."""
    return (getattr(layer, "symbol", "") or "").removeprefix("compat.v1.") if hasattr(layer, "function") else ""


def operator(name: str, own: str) -> Layer:
    """Returns a layer called `own` that calls the TensorFlow function of that name, "math.reduce_mean"."""
    return TFOpLambda.from_config({"name": own, "function": name})


def replacement(layer: Layer) -> Callable | None:
    """Returns what takes the arguments of a layer's call and makes that of built-in layers; None for other layers.

    The last layer is called as `layer` is. A function that no built-in layer computes is called again.
    """
    name = symbol(layer)
    if not name or len(layer.inbound_nodes) != 1:
        return None

    def call(*args: Any, **kwargs: Any) -> Any:
        made = _as_layer(name, layer.name, list(args), {key: one for key, one in kwargs.items() if key != "name"})
        return graph.fresh(layer)(*args, **kwargs) if made is None else made

    return call


def _as_layer(name: str, own: str, args: list, kwargs: dict) -> Any:
    """Returns the output of the layer called `own` that computes the function, or None."""
    if name in _ACTIVATIONS and _read(args[0]):
        return layers.Activation(_ACTIVATIONS[name], name=own)(args[0])
    if name == "nn.relu6":
        return layers.ReLU(6.0, name=own)(args[0])
    if name == "nn.leaky_relu":
        return layers.LeakyReLU(float(_given(args, kwargs, 1, "alpha", 0.2)), name=own)(args[0])
    if name == "nn.softmax" and _given(args, kwargs, 1, "axis", -1) in (-1, None, len(args[0].shape) - 1):
        return layers.Softmax(name=own)(args[0])
    if name == "concat" and all(map(_read, args[0])):
        return layers.Concatenate(int(_given(args, kwargs, 1, "axis", -1)), name=own)(args[0])
    if name == "math.add_n" and len(args[0]) > 1:
        return layers.Add(name=own)(args[0])
    if name == "math.square" or name == "math.pow" and _constant(_given(args, kwargs, 1, "y", None)) == 2.0:
        return layers.Multiply(name=own)([args[0], args[0]])
    return _arithmetic(name, own, args[0], _given(args, kwargs, 1, "y", None))


def _arithmetic(name: str, own: str, first: Any, second: Any) -> Any:
    """Returns the output of the layer that adds, subtracts, multiplies or divides, or None."""
    if name in _MERGED and _read(first) and _read(second):
        same = first.shape.rank == second.shape.rank
        return _MERGED[name](name=own)([first, second]) if same else None
    if name == "math.negative":
        return _rescaled(own, first, -1.0, 0.0)
    first_value, second_value = _constant(first), _constant(second)
    tensor, value = (first, second_value) if first_value is None else (second, first_value)
    if value is None or not _read(tensor):
        return None
    if name in ("__operators__.add", "math.add"):
        return _rescaled(own, tensor, 1.0, value)
    if name == "math.multiply":
        return _rescaled(own, tensor, value, 0.0)
    if name == "math.subtract":
        return _rescaled(own, tensor, 1.0, -value) if tensor is first else _rescaled(own, tensor, -1.0, value)
    if name == "math.truediv" and tensor is first and np.all(value):
        return _rescaled(own, tensor, 1.0 / value, 0.0)
    return None


def _rescaled(own: str, tensor: Any, scale: np.ndarray | float, offset: np.ndarray | float) -> Any:
    """Returns tensor * scale + offset, of the layer Rescaling; None where they are no number and none a channel."""
    values = [np.asarray(value, np.float64) for value in (scale, offset)]
    if any(value.ndim > tensor.shape.rank or set(value.shape[:-1]) - {1} for value in values):
        return None  # along another axis than the channels'
    scale, offset = (value.reshape(()) if value.size == 1 else value.reshape(-1) for value in values)
    if any(value.ndim and len(value) != tensor.shape[-1] for value in (scale, offset)):
        return None
    return layers.Rescaling(scale.tolist(), offset.tolist(), name=own)(tensor)


def _read(value: Any) -> bool:
    """Says whether a value of a call is one that the model computes."""
    return hasattr(value, "_keras_history")


def _given(args: list, kwargs: dict, place: int, key: str, default: Any) -> Any:
    """Returns the argument of a call by its place or its name."""
    return args[place] if len(args) > place else kwargs.get(key, default)


def _constant(value: Any) -> np.ndarray | None:
    """Returns a constant of a call as float64, or None of what the model computes and of what is no number."""
    if value is None or _read(value) or isinstance(value, str | bool | dict):
        return None
    try:
        return np.asarray(value.numpy() if isinstance(value, tf.Tensor) else value, np.float64)
    except (TypeError, ValueError, AttributeError):
        return None
