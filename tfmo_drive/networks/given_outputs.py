"""Gives a user's model the outputs that its task asks for, where somebody says which of its numbers is which.

A pilot may answer angle and throttle in two outputs of any name, or in one of two numbers; no graph tells which is
which, so their order is stated (a task's `given_outputs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.networks import graph


def named(model: keras.Model, order: Sequence[str], wanted: Mapping[str, tuple[int, ...]], subject: str) -> keras.Model:
    """Returns the model, flat and in new variables, with its outputs called as `order` says.

    One output of several numbers, [b, n], becomes n of one, each by a Dense layer that passes its number on.

    Args:
        model: A functional model.
        order: The task's outputs in the order in which the model gives them; () leaves it as it is.
        wanted: The shapes of the task's outputs for one example, by name.
        subject: What errors begin with.

    Raises:
        BadInput: The model does not give as many, or they are not the task's.
    """
    if not order:
        return model
    if sorted(order) != sorted(wanted):
        raise BadInput(f"{subject}: its outputs are said to be {quoted(order)}, the task's are {quoted(list(wanted))}.")
    shapes = [tuple(one.shape[1:]) for one in model.outputs]
    if shapes == [(len(order),)] and len(order) > 1 and all(shape == (1,) for shape in wanted.values()):
        return _split(model, order)
    if len(shapes) != len(order):
        raise BadInput(f"{subject} gives {shapes}, and is said to give {quoted(order)}. Name one for each.")
    return _renamed(graph.flat(model), order, subject)


def _split(model: keras.Model, order: Sequence[str]) -> keras.Model:
    ends = [keras.layers.Dense(1, use_bias=False, name=name) for name in order]
    made = keras.Model(model.inputs, [end(model.output) for end in ends], name=model.name)
    for end, column in zip(ends, np.eye(len(order), dtype=np.float32), strict=True):
        end.set_weights([column[:, None]])
    return made


def _renamed(model: keras.Model, order: Sequence[str], subject: str) -> keras.Model:
    last = [tensor._keras_history.layer for tensor in model.outputs]
    if len({id(layer) for layer in last}) < len(last):
        raise BadInput(f"{subject} gives several outputs of one layer, {last[0].name}. End each in a layer of its own.")
    fresh = {id(layer): graph.fresh(layer, name) for layer, name in zip(last, order, strict=True)}
    made = graph.rebuilt(model, lambda layer: [fresh[id(layer)]] if id(layer) in fresh else None)
    for layer in last:
        fresh[id(layer)].set_weights(layer.get_weights())
    return made
