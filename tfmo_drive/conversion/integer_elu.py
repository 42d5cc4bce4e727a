"""Lets an int8 file compute ELU in integers, which the converter of TensorFlow 2.21 leaves in float.

It writes DEQUANTIZE, ELU, QUANTIZE, although the runtimes have an int8 ELU (a table of 256 values; LiteRT's and
tflite-micro's elu.cc). Here the three become that one operator.
"""

from __future__ import annotations

from typing import Any

from tfmo_drive.runtimes.flatbuffer_edit import kind, pack, unpack

_INT8 = 9  # schema.TensorType.INT8


def with_integer_elu(tflite: bytes) -> bytes:
    """Returns the file with every ELU between two int8 tensors in integers; the same bytes where there is none."""
    model = unpack(tflite)
    graph = model.subgraphs[0]
    makers = {int(number): operator for operator in graph.operators for number in operator.outputs}
    dropped: list[Any] = []
    for elu in [operator for operator in graph.operators if kind(model, operator) == "ELU"]:
        before = makers.get(int(elu.inputs[0]))
        behind = [one for one in graph.operators if int(elu.outputs[0]) in map(int, one.inputs)]
        if before is None or kind(model, before) != "DEQUANTIZE" or not behind:
            continue
        if any(kind(model, one) != "QUANTIZE" for one in behind) or len(behind) > 1:
            continue
        ends = [int(before.inputs[0]), int(behind[0].outputs[0])]
        if any(graph.tensors[number].type != _INT8 for number in ends):
            continue
        elu.inputs, elu.outputs = ends[:1], ends[1:]
        dropped += [before, behind[0]]
    if not dropped:
        return tflite
    read = {int(number) for one in graph.operators if one not in dropped for number in one.inputs}
    kept = [one for one in dropped if kind(model, one) == "DEQUANTIZE" and int(one.outputs[0]) in read]
    graph.operators = [one for one in graph.operators if one not in dropped or one in kept]
    return pack(model)
