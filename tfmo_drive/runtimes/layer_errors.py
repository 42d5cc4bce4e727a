"""Measures what int8 costs each layer by itself: the signal to noise of its output.

It reads the float file's values, rounded. Errors that earlier layers made are not in it, so that a layer that loses
the signal is told from those that pass the loss on. The kernels are the runtime's own.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfmo_drive.base.inputs import pieces
from tfmo_drive.contracts import Arrays
from tfmo_drive.runtimes.flatbuffer_edit import Exposed, kind, name, read_values, unpack
from tfmo_drive.runtimes.tflite_file import layer_name

SCALING = ("QUANTIZE", "DEQUANTIZE")
"""The operators that give the same values another scale."""
BEST_DB = 100.0
"""The largest ratio that a channel counts with: one without any error is no reason to overlook another."""


@dataclasses.dataclass(frozen=True)
class LayerError:
    """Describes the error of one operator of an int8 file."""

    output: str
    """The name of the tensor that it writes, the same in both files."""
    operator: str
    sqnr_db: float
    """10 log10(signal / noise) of each output channel, averaged over the channels that are ever active."""

    @property
    def layer(self) -> str:
        """Returns the name of the Keras layer that the operator comes from."""
        return layer_name(self.output)


def layer_errors(floating: bytes, integer: bytes, images: Arrays) -> list[LayerError]:
    """Returns the errors, in graph order, of every operator that both files have.

    Args:
        floating: The bytes of the float32 file.
        integer: The bytes of the int8 file.
        images: What the files take, float32 [n, ...]; several inputs by name.
    """
    theirs, ours = unpack(floating), unpack(integer)
    numbers = {name(tensor): number for number, tensor in enumerate(theirs.subgraphs[0].tensors)}
    apart, reads, makes = _apart(ours, numbers)
    given = {int(number): name(theirs.subgraphs[0].tensors[number]) for number in theirs.subgraphs[0].inputs}
    wanted = sorted({*reads.values(), *makes.values()} - {*given})
    probe, alone = Exposed(theirs, wanted), Exposed(apart, list(makes), list(reads))
    signal, noise = dict.fromkeys(makes, 0.0), dict.fromkeys(makes, 0.0)
    for image in pieces(images, 1):
        exact = dict(zip(wanted, probe(image), strict=True))
        exact |= {number: image[called] if isinstance(image, Mapping) else image for number, called in given.items()}
        made = alone(*(exact[number] for number in reads.values()))
        for (twin, number), values in zip(makes.items(), made, strict=True):
            signal[twin] += _power(exact[number])
            noise[twin] += _power(values - exact[number])
    return [
        LayerError(name(apart.subgraphs[0].tensors[twin]), kind(apart, operator), _decibels(signal[twin], noise[twin]))
        for twin, operator in zip(makes, apart.subgraphs[0].operators, strict=True)
    ]


def _apart(model: Any, numbers: dict[str, int]) -> tuple[Any, dict[int, int], dict[int, int]]:
    """Rewires the operators of an unpacked file so that each writes a tensor that no other reads.

    All can then be fed from outside. An operator whose tensors are not all known in the float file is left out.

    Args:
        model: The unpacked int8 file.
        numbers: The float file's tensors by name.

    Returns:
        The rewired model, and by the number of each tensor that is read, and of each that is written, the float file's
            tensor for the same values.
    """
    apart, graph = copy.copy(model), copy.copy(model.subgraphs[0])
    apart.subgraphs, graph.tensors, graph.operators = [graph], list(graph.tensors), []
    scaling = [one for one in model.subgraphs[0].operators if kind(model, one) in SCALING]
    same = {int(one.outputs[0]): int(one.inputs[0]) for one in scaling}

    def known(number: int) -> int | None:
        return numbers.get(name(graph.tensors[same.get(number, number)]))

    reads, makes = {}, {}
    for operator in model.subgraphs[0].operators:
        given = {number: known(number) for number in read_values(model, operator)}
        written = known(int(operator.outputs[0]))
        if operator not in scaling and len(operator.outputs) == 1 and None not in (*given.values(), written):
            twin = copy.copy(operator)
            twin.outputs = [len(graph.tensors)]
            makes[len(graph.tensors)] = written
            reads |= given
            graph.tensors.append(graph.tensors[operator.outputs[0]])
            graph.operators.append(twin)
    return apart, reads, makes


def _power(values: np.ndarray) -> np.ndarray:
    """Returns the sum of squares of each channel, float64 [c]."""
    return np.sum(np.square(values, dtype=np.float64), axis=tuple(range(values.ndim - 1)))


def _decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    active = signal > 0
    if not active.any():
        return BEST_DB
    ratio = signal[active] / np.maximum(noise[active], signal[active] * 10 ** (-BEST_DB / 10))
    return float(np.mean(10 * np.log10(ratio)))
