"""Handles a model's inputs alike, whether they are one array or several by name (`contracts.Arrays`).

Several inputs are called after the model's input layers, as the files that ship call them. What takes the arrays of one
example out of them, or joins them, is in `base.outputs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tfmo_drive.base.outputs import at, by_name, flat
from tfmo_drive.contracts import Arrays

if TYPE_CHECKING:
    import tf_keras as keras


def named(model: keras.Model) -> Any:
    """Returns the model's only input (a Keras tensor), or its inputs by the names of their layers, in its order."""
    return by_name(model.input_names, model.inputs)


def seen(arrays: Arrays) -> Any:
    """Returns what a person can look at of inputs [n, ...]: the only one, or the first of several that is an image."""
    several = flat(arrays)
    return next((one for one in several if one.ndim == 4), several[0])


def count(arrays: Arrays) -> int:
    """Returns the number of examples in inputs [n, ...]."""
    return len(flat(arrays)[0])


def pieces(arrays: Arrays, size: int) -> Iterator[Arrays]:
    """Yields the inputs in order, at most `size` examples [b, ...] at a time."""
    for start in range(0, count(arrays), size):
        yield at(arrays, slice(start, start + size))
