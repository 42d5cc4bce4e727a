"""What int8 costs each layer by itself: signal to noise of its output when it reads the float file's values, rounded.

Errors that earlier layers made are not in it, so that a layer that loses the signal is told from those that pass the
loss on. The kernels are the runtime's own.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np

from tfmo_drive.runtimes.flatbuffer_edit import Exposed, kind, name, read_values, unpack

SCALING = ("QUANTIZE", "DEQUANTIZE")
"""Operators that give the same values another scale."""
BEST_DB = 100.0
"""What a channel counts as at most: one without any error is no reason to overlook another."""


@dataclasses.dataclass(frozen=True)
class LayerError:
    """One operator of an int8 file."""

    output: str
    """The tensor that it writes, called alike in both files."""
    operator: str
    sqnr_db: float
    """10 log10(signal / noise) of each output channel, averaged over the channels that are ever active."""

    @property
    def layer(self) -> str:
        return layer_name(self.output)


def layer_name(tensor: str) -> str:
    """The Keras layer that a tensor is called after: conv1_relu for "resnet/conv1_relu/Relu;resnet/conv1_bn/..."."""
    folders = tensor.split(";")[0].split("/")
    return folders[max(0, len(folders) - 2)]


def layer_errors(floating: bytes, integer: bytes, images: np.ndarray) -> list[LayerError]:
    """In graph order, of every operator that both files have; images: uint8 [n, h, w, 3]."""
    theirs, ours = unpack(floating), unpack(integer)
    numbers = {name(tensor): number for number, tensor in enumerate(theirs.subgraphs[0].tensors)}
    apart, reads, makes = _apart(ours, numbers)
    pixels = int(theirs.subgraphs[0].inputs[0])
    wanted = sorted({*reads.values(), *makes.values()} - {pixels})
    probe, alone = Exposed(theirs, wanted), Exposed(apart, list(makes), list(reads))
    signal, noise = dict.fromkeys(makes, 0.0), dict.fromkeys(makes, 0.0)
    for image in images:
        exact = dict(zip(wanted, probe(image[None]), strict=True)) | {pixels: image[None]}
        made = alone(*(exact[number] for number in reads.values()))
        for (twin, number), values in zip(makes.items(), made, strict=True):
            signal[twin] += _power(exact[number])
            noise[twin] += _power(values - exact[number])
    return [
        LayerError(name(apart.subgraphs[0].tensors[twin]), kind(apart, operator), _decibels(signal[twin], noise[twin]))
        for twin, operator in zip(makes, apart.subgraphs[0].operators, strict=True)
    ]


def _apart(model: Any, numbers: dict[str, int]) -> tuple[Any, dict[int, int], dict[int, int]]:
    """The operators of an unpacked file, each writing a tensor that no other reads: all can be fed from outside.

    numbers: the float file's tensors by name. Also gives, by the number of a tensor that is read or written here, the
    float file's for the same values; an operator whose tensors are not all there is left out.
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
    """float64 [c]: sum of squares of each channel."""
    return np.sum(np.square(values, dtype=np.float64), axis=tuple(range(values.ndim - 1)))


def _decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    active = signal > 0
    if not active.any():
        return BEST_DB
    ratio = signal[active] / np.maximum(noise[active], signal[active] * 10 ** (-BEST_DB / 10))
    return float(np.mean(10 * np.log10(ratio)))
