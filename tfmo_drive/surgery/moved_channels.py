"""Follows channel numbers through layers that only move values: reshapes, transpositions, slices, splits.

Such a layer, called on the numbers of what it reads, gives the numbers of what it makes. Numbers lie along the last
axes of a tensor: behind Reshape((h, w, 2, c / 2)) along two, until the channels are shuffled and lie along one again.
The channels that stay must then form a rectangle, or the next reshape would put them elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import graph
from tfmo_drive.networks.operator_layers import symbol

layers = keras.layers
Layer = layers.Layer
_LAYERS = (layers.Reshape, layers.Permute, layers.Flatten, layers.RepeatVector)
_SLICE, _SPLIT = "__operators__.getitem", "split"
_FUNCTIONS = (
    _SLICE, _SPLIT, "transpose", "squeeze", "expand_dims", "tile", "repeat", "reverse", "identity", "stop_gradient",
    "nn.depth_to_space", "nn.space_to_depth",
)  # fmt: skip
"""TensorFlow's functions, as Keras names them, whose arguments say nothing of channels, but for the first two."""


def moves(layer: Layer) -> bool:
    """Says whether a layer only moves the values that it reads."""
    return type(layer) in _LAYERS or symbol(layer) in _FUNCTIONS


def names_counts(layer: Layer) -> bool:
    """Says whether a layer without weights may hold a count of channels in its settings, or in those of its call."""
    return type(layer) is layers.Reshape or symbol(layer) in (_SLICE, _SPLIT)


def moved(node: Any, numbers: np.ndarray) -> list[np.ndarray] | str:
    """Returns the numbers of each output of a call of one input, along its last axes; or why they are not known.

    Args:
        node: A call of a layer that `moves`.
        numbers: The numbers of its input, int64, along its last axes.
    """
    shapes = [tuple(tensor.shape[1:]) for tensor in tf.nest.flatten(node.input_tensors)]
    if len(shapes) != 1 or None in shapes[0]:
        return "its input has no one size"
    if symbol(node.layer) == _SLICE and _cut(node, shapes[0][-1]) == "":
        return "it takes channels at a distance from one another"
    whole = tf.constant(np.broadcast_to(numbers, shapes[0])[None])
    args, kwargs = graph.arguments(node, dict.fromkeys(node.flat_input_ids, whole))
    made = [one.numpy() for one in tf.nest.flatten(graph.fresh(node.layer)(*args, **kwargs))]
    wanted = [tuple(tensor.shape[1:]) for tensor in tf.nest.flatten(node.outputs)]
    if [one.shape[1:] for one in made] != wanted or not all(wanted):
        return "it moves values between examples"
    return [_along_last_axes(one[0]) for one in made]


def _along_last_axes(whole: np.ndarray) -> np.ndarray:
    """Returns the numbers along as few of the last axes as say all."""
    for axes in range(1, whole.ndim):
        rows = whole.reshape(-1, *whole.shape[-axes:])
        if (rows == rows[:1]).all():
            return rows[0]
    return whole


def _cut(node: Any, width: int) -> slice | str | None:
    """Returns which channels a slice takes, None where it takes all, or "" where these are no run of neighbours."""
    where = _slices(node)
    if not isinstance(where, list) or not (len(where) == len(node.input_shapes) or Ellipsis in where[:-1]):
        return None
    if not isinstance(where[-1], slice):
        return None if where[-1] is Ellipsis else ""
    start, stop, step = where[-1].indices(width)
    return slice(start, stop) if step == 1 else ""


def _slices(node: Any) -> Any:
    given = node.call_args[1] if len(node.call_args) > 1 else node.call_kwargs.get("slice_spec")
    return [_as_slice(one) for one in given] if isinstance(given, list | tuple) else _as_slice(given)


def _as_slice(one: Any) -> Any:
    return slice(one["start"], one["stop"], one["step"]) if isinstance(one, dict) else one


def narrowed(node: Any, read: np.ndarray, keep: np.ndarray) -> Callable:
    """Returns what takes a layer's place that `names_counts`, where only some channels are left.

    Args:
        node: The layer's only call.
        read: Which channels of its input stay, bool, along its last axes.
        keep: Which channels of its outputs stay, likewise, one output after the other.
    """
    layer = node.layer
    if type(layer) is layers.Reshape:
        return layers.Reshape.from_config(layer.get_config() | {"target_shape": _narrow_shape(layer, keep)})
    widths = [tensor.shape[-1] for tensor in tf.nest.flatten(node.outputs)]
    if len(read) in widths:  # along another axis
        return graph.fresh(layer)
    if symbol(layer) == _SLICE:
        start = int(read[: _cut(node, len(read)).start].sum())
        where = (*_slices(node)[:-1], slice(start, start + int(keep.sum())))
        return lambda tensor, *_, **__: tensor[where]
    counts = [int(one.sum()) for one in np.split(keep, np.cumsum(widths)[:-1])]
    return lambda tensor, *_, **__: graph.fresh(layer)(tensor, counts, axis=-1)


def _narrow_shape(layer: layers.Reshape, keep: np.ndarray) -> tuple[int, ...]:
    """Returns a reshape's shape for what is left along its last axes; the -1 that it may hold once stays."""
    places = len(layer.target_shape) - keep.ndim
    others = [tuple(other for other in range(keep.ndim) if other != axis) for axis in range(keep.ndim)]
    sizes = [int(keep.any(others[axis]).sum()) for axis in range(keep.ndim)]
    behind = (given if given == -1 else size for given, size in zip(layer.target_shape[places:], sizes, strict=True))
    return (*layer.target_shape[:places], *behind)
