"""Converts a given model's numbers to the task's unit where it is stated, and checks them against the data's truth.

A model of one's own may answer degrees, radians or a share of full lock, raw values or standardised ones; its file says
nothing of that. What it answers on real data does: a model that follows the truth at 25 times its size answers degrees.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.networks import graph

NUMBER = "number"
"""The kind of an output that stands for one number, in an artifact's metadata."""
_FOLLOWS, _CHANCE = 0.5, 3.0
"""The correlation from which answers tell their scale; with n examples at least 3 / sqrt(n): rare by chance."""
_CLOSELY, _FACTOR = 0.8, 2.0
"""Least squares answer the correlation's share of the truth's deviation, a model that learnt little even less: only
answers that follow closely are too narrow for their unit."""
_FAR = 5.0
"""The multiple of the truth's range beyond which no useful model's answers lie, or spread, whatever they follow."""
_FEWEST = 8


class Fit(NamedTuple):
    """Describes how a model's answers relate to the truth, both float64 [n]."""

    correlation: float
    ratio: float
    """The ratio of the answers' standard deviation to the truth's; negative where they run against it."""
    follows: bool
    """Whether the answers go with the truth or against it, so that their ratio tells their unit."""
    odd: bool
    """Whether no model that answers in the truth's unit would give these answers."""


def fit(answers: np.ndarray, truth: np.ndarray) -> Fit:
    """Returns the Fit of answers to the truth, numbers of any shape in the same order.

    With fewer than 8 examples, a constant truth or answers that are not finite, nothing is called odd.
    """
    answers, truth = (np.asarray(values, np.float64).ravel() for values in (answers, truth))
    spread, range_ = truth.std(), np.ptp(truth)
    if len(truth) < _FEWEST or not spread or not np.isfinite(answers).all():
        return Fit(0.0, 1.0, False, False)
    ratio = answers.std() / spread
    correlation = float(np.corrcoef(answers, truth)[0, 1]) if ratio > 1e-9 else 0.0
    follows = abs(correlation) >= max(_FOLLOWS, _CHANCE / math.sqrt(len(truth)))
    narrow = abs(correlation) >= _CLOSELY and ratio < abs(correlation) / _FACTOR
    far = np.abs(answers - truth).max() > _FAR * range_ and np.median(np.abs(answers - truth)) > range_
    odd = far or (follows and (ratio > _FACTOR or narrow or correlation < 0))
    return Fit(correlation, float(np.copysign(ratio, correlation)), follows, bool(odd))


def decode(unit: str, scale: float, offset: float = 0.0, positive: str = "") -> dict[str, Any]:
    """Returns what an artifact's metadata says of how an output [n, 1] that stands for a number is read, in JSON types.

    Args:
        unit: The unit of the number as a person wants it, "m" or "degrees"; "" where nobody knows.
        scale: The factor in number = output * scale + offset (of an integer output: once it is dequantised).
        offset: The summand there, in the unit.
        positive: What a number above 0 means where the sign says a direction ("to the right").
    """
    rule = "number = output * scale + offset (of an integer output: once it is dequantised)"
    said = {"kind": NUMBER, "scale": float(scale), "offset": float(offset), "unit": unit, "rule": rule}
    return said | ({"positive": positive} if positive else {})


def ranged(values: np.ndarray) -> str:
    """Returns the range of numbers in words: "-24.8 to 25.1"."""
    return f"{values.min():.4g} to {values.max():.4g}"


def rescaled(model: keras.Model, output: str, scale: float, offset: float) -> keras.Model:
    """Returns the flat `model` with the output of that name, [b, 1], times `scale` plus `offset`.

    Both go into the weights of the linear layer that the output ends in (the model's own variables change) where
    nothing else reads that, else into one more Dense layer behind it, of its name, in a copy of the model.
    """
    tensor = model.outputs[names(model).index(output)]
    layer = tensor._keras_history.layer
    linear = getattr(layer, "activation", None) is keras.activations.linear and (layer.use_bias or not offset)
    alone = not any(str(id(tensor)) in node.flat_input_ids for node in graph.calls(model))
    once = len(layer.inbound_nodes) == 1
    if isinstance(layer, (keras.layers.Dense, keras.layers.Conv2D)) and linear and alone and once:
        layer.set_weights([one * scale + (offset if one.ndim == 1 else 0) for one in layer.get_weights()])
        return model
    before = graph.fresh(layer, f"{layer.name}_in_its_own_unit")
    made = graph.rebuilt(model, lambda one: [before] if one is layer else None)
    before.set_weights(layer.get_weights())
    last = keras.layers.Dense(1, name=layer.name.replace(".", "_"))
    ends = [last(one) if own == output else one for own, one in zip(names(model), made.outputs, strict=True)]
    made = keras.Model(made.inputs, ends if len(ends) > 1 else ends[0], name=model.name)
    last.set_weights([np.float32([[scale]]), np.float32([offset])])
    return made
