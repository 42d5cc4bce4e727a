"""Lets an int8 file compute ELU in integers, which the converter of TensorFlow 2.21 leaves in float.

It writes DEQUANTIZE, ELU, QUANTIZE, although the runtimes have an int8 ELU (a table of 256 values; LiteRT's and
tflite-micro's elu.cc). Here the three become that one operator. What only moves the values between the last two (a
flattening) moves integers then.
"""

from __future__ import annotations

import copy
from typing import Any

from tfmo_drive.runtimes.flatbuffer_edit import kind, pack, unpack

_INT8 = 9  # schema.TensorType.INT8
_MOVING = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS")


def with_integer_elu(tflite: bytes) -> bytes:
    """Returns the file with every ELU between two int8 tensors in integers; the same bytes where there is none."""
    model = unpack(tflite)
    graph = model.subgraphs[0]
    makers = {int(number): operator for operator in graph.operators for number in operator.outputs}
    dropped: list[Any] = []
    for elu in [operator for operator in graph.operators if kind(model, operator) == "ELU"]:
        before = makers.get(int(elu.inputs[0]))
        *moving, last = _behind(model, elu)
        if before is None or kind(model, before) != "DEQUANTIZE" or last is None:
            continue
        ends = [int(before.inputs[0]), int(last.outputs[0])]
        if any(graph.tensors[number].type != _INT8 for number in ends):
            continue
        stored = graph.tensors[ends[1]]
        for one in [elu, *moving][:-1]:
            between = graph.tensors[int(one.outputs[0])]
            between.type, between.quantization = stored.type, copy.copy(stored.quantization)
        elu.inputs, [elu, *moving][-1].outputs = ends[:1], ends[1:]
        dropped += [before, last]
    if not dropped:
        return tflite
    read = {int(number) for one in graph.operators if one not in dropped for number in one.inputs}
    kept = [one for one in dropped if kind(model, one) == "DEQUANTIZE" and int(one.outputs[0]) in read]
    graph.operators = [one for one in graph.operators if one not in dropped or one in kept]
    return pack(model)


def _behind(model: Any, elu: Any) -> list[Any]:
    """Returns the operators that alone read what the ELU gives, one after the other, up to a QUANTIZE; else [None]."""
    graph, found = model.subgraphs[0], [elu]
    while True:
        readers = [one for one in graph.operators if int(found[-1].outputs[0]) in map(int, one.inputs)]
        if len(readers) != 1 or kind(model, readers[0]) not in ("QUANTIZE", *_MOVING):
            return [None]
        found.append(readers[0])
        if kind(model, readers[0]) == "QUANTIZE":
            return found[1:]
