"""Computes how much memory a `.tflite` file's activations need at least, where, and which of them hold it.

No arena can be smaller than what is alive at once: https://arxiv.org/abs/2001.03288 (Pisarchyk & Lee 2020, section 3).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tfmo_drive.runtimes import tflite_file
from tfmo_drive.runtimes.tflite_file import layer_name

_BYTES = {"FLOAT32": 4, "INT32": 4, "FLOAT16": 2, "INT16": 2, "INT64": 8, "FLOAT64": 8}
"""The bytes of one element; those of all other types have 1."""


@dataclasses.dataclass(frozen=True)
class Peak:
    """Describes the moment of an inference at which most bytes are alive."""

    bytes: int
    layer: str
    """The layer that runs then."""
    held: tuple[tuple[str, int], ...]
    """(layer, bytes) of every activation alive then, the largest first: inputs of this layer and of later ones."""

    def to_dict(self) -> dict:
        """Returns the peak in JSON types."""
        return {"bytes": self.bytes, "layer": self.layer, "held": [list(one) for one in self.held]}


def peak(source: Path | bytes) -> Peak:
    """Returns the moment of an inference at which most bytes are alive: written, and still to be read."""
    graph = tflite_file.read(source)
    first, last = _lifetimes(graph)
    tensors = {id(tensor): tensor for operator in graph.operators for tensor in _values(operator)}
    tensors |= {id(tensor): tensor for tensor in graph.inputs}
    best: tuple[int, int, list] = (-1, 0, [])
    for moment in range(len(graph.operators)):
        alive = [tensors[key] for key in tensors if first[key] <= moment <= last[key]]
        held = [(layer_name(tensor.name), _size(tensor)) for tensor in alive]
        best = max(best, (sum(size for _, size in held), -moment, held), key=lambda one: one[:2])
    total, moment, held = best
    running = graph.operators[-moment].outputs[0].name
    return Peak(total, layer_name(running), tuple(sorted(held, key=lambda one: -one[1])))


def _lifetimes(graph: tflite_file.Graph) -> tuple[dict[int, int], dict[int, int]]:
    """Returns, by a tensor's identity, the first and the last operator that need it.

    The model's outputs live to the end.
    """
    first = {id(tensor): 0 for tensor in graph.inputs}
    last = dict(first)
    for moment, operator in enumerate(graph.operators):
        for tensor in _values(operator):
            first.setdefault(id(tensor), moment)
            last[id(tensor)] = moment
    return first, last | {id(tensor): len(graph.operators) for tensor in graph.outputs}


def _values(operator: tflite_file.Operator) -> list[tflite_file.Tensor]:
    """Returns what the operator reads and writes that is no constant of the file."""
    return [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor is not None and tensor.data is None]


def _size(tensor: tflite_file.Tensor) -> int:
    return int(np.prod(tensor.shape, dtype=np.int64)) * _BYTES.get(tensor.dtype, 1)
