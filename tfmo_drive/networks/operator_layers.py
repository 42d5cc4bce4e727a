"""Replaces TensorFlow functions in a model's graph by the built-in layers that compute the same.

`x + 3`, `tf.nn.relu6(x)` and `tf.concat` on Keras tensors become layers of TensorFlow operators, which no step looks
into. As Add, ReLU, Rescaling or Concatenate they are folded, pruned and quantised as the layers are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import graph

layers = keras.layers
Layer = layers.Layer
ACTIVATIONS = {
    "nn.relu": "relu", "nn.elu": "elu", "nn.selu": "selu", "nn.silu": "swish", "math.sigmoid": "sigmoid",
    "math.tanh": "tanh", "math.softplus": "softplus",
}  # fmt: skip
"""TensorFlow's functions that are activations, by the names that Keras has for both."""
_MERGED = {
    "__operators__.add": layers.Add, "math.add": layers.Add, "math.subtract": layers.Subtract,
    "math.multiply": layers.Multiply, "math.maximum": layers.Maximum, "math.minimum": layers.Minimum,
}  # fmt: skip
_BATCH = 2
_TOLERANCE = 1e-6
"""How far the operators' answers may be from the Lambda's, as a part of the largest."""


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
    if name in ACTIVATIONS and _read(args[0]):
        return layers.Activation(ACTIVATIONS[name], name=own)(args[0])
    if name == "nn.relu6":
        return layers.ReLU(6.0, name=own)(args[0])
    if name == "nn.leaky_relu":
        return layers.LeakyReLU(float(_given(args, kwargs, 1, "alpha", 0.2)), name=own)(args[0])
    if name == "nn.softmax" and _given(args, kwargs, 1, "axis", -1) in (-1, None, len(args[0].shape) - 1):
        return layers.Softmax(name=own)(args[0])
    if name == "concat" and all(map(_read, args[0])):
        return layers.Concatenate(int(_given(args, kwargs, 1, "axis", -1)), name=own)(args[0])
    if name == "__operators__.getitem":
        return _sliced(own, args[0], _given(args, kwargs, 1, "slice_spec", ()))
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


def _sliced(own: str, x: Any, key: Any) -> Any:
    """Returns x[key] with whole axes in place of an Ellipsis, which Keras cannot save; None where there is none."""
    key = key if isinstance(key, tuple) else (key,)
    place = next((number for number, one in enumerate(key) if one is Ellipsis), None)
    if place is None:
        return None
    whole = [dict.fromkeys(("start", "stop", "step"))] * (x.shape.rank + 1 - sum(one is not None for one in key))
    layer = SlicingOpLambda.from_config({"name": own, "function": "__operators__.getitem"})
    return layer(x, (*key[:place], *whole, *key[place + 1 :]))


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


def opened(model: keras.Model) -> keras.Model:
    """Returns the flat model, flat and with equal outputs of equal names, with operators in place of Lambda layers.

    A Lambda whose code cannot be called on Keras tensors, whose operators cannot be saved, or which answers otherwise
    then, stays as it is. Where none can be opened, it returns the model itself.
    """
    shown = set(model.output_names)
    found = {layer.name: _inside(layer, layer.name in shown) for layer in model.layers if type(layer) is layers.Lambda}
    found = {name: inside for name, inside in found.items() if inside is not None}
    if not found:
        return model
    return graph.flat(graph.rebuilt(model, lambda layer: [found[layer.name]] if layer.name in found else None))


def _inside(layer: layers.Lambda, shown: bool) -> keras.Model | None:
    """Returns a model of the operators that the layer's code calls, or None.

    Its last layer is called as the layer is where that is `shown` as an output of the whole model.
    """
    calls = [node.input_tensors for node in layer.inbound_nodes]
    if len(calls) != 1 or layer.weights:
        return None
    try:
        inputs = tf.nest.map_structure(lambda one: keras.Input(one.shape[1:], dtype=one.dtype), calls[0])
        outputs = layer.function(inputs, **(layer.arguments or {}))
        if shown:
            outputs = layers.Activation("linear", name=layer.name)(outputs)
        inside = keras.Model(inputs, outputs, name=layer.name)
        inside = graph.rebuilt(inside, lambda one: [other] if (other := replacement(one)) else None)
        inside.to_json()  # raises where an operator's arguments cannot be saved
        return inside if _equal(layer, inside) else None
    except Exception:  # a user's own code, which Keras or TensorFlow cannot call on a Keras tensor
        return None


def _equal(layer: layers.Lambda, inside: keras.Model) -> bool:
    """Says whether both answer random inputs alike."""
    random = np.random.default_rng(0)

    def drawn(tensor: Any) -> Any:
        return tf.cast(random.uniform(0, 255, [_BATCH, *tensor.shape[1:]]), tensor.dtype)

    inputs = tf.nest.map_structure(drawn, layer.inbound_nodes[0].input_tensors)
    pairs = zip(tf.nest.flatten(layer(inputs)), tf.nest.flatten(inside(inputs, training=False)), strict=True)
    return all(
        theirs.shape == ours.shape
        and np.allclose(theirs, ours, rtol=0, atol=_TOLERANCE * max(1.0, float(np.abs(theirs).max())))
        for theirs, ours in pairs
    )
