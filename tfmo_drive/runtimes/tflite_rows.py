"""Puts standardising in front of a finished `.tflite` that takes rows, so that a board feeds raw numbers.

Two float32 operators, `MUL` by the scales and `ADD` of the offsets, stand before all else. Put there after conversion,
they are the same in every file, and no quantiser can give raw columns of unlike ranges one 8-bit scale between them.
The quantised file then has a `QUANTIZE` between them and its first layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfmo_drive.contracts import Preprocessing

STANDARDISE = "standardise"
"""The folder in the names of both operators' tensors."""


def standardise_first(model: Any, preprocessing: Preprocessing) -> None:
    """Changes `model` in place so that its input is raw.

    Args:
        model: A schema.ModelT of one input float32 [batch, n], with its default signature.
        preprocessing: The scales and offsets of the n columns.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    standardised = graph.inputs[0]
    shape = list(graph.tensors[standardised].shape)

    def tensor(name: str, shape: list[int], values: tuple[float, ...] | None = None) -> int:
        made = schema.TensorT(shape=shape, name=name, type=schema.TensorType.FLOAT32, hasRank=True)
        if values is not None:
            model.buffers.append(schema.BufferT(np.frombuffer(np.float32(values).tobytes(), np.uint8)))
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def operator(kind: str, inputs: list[int], output: int) -> Any:
        code = getattr(schema.BuiltinOperator, kind.upper())
        model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code))
        options, number = getattr(schema, f"{kind}OptionsT")(), getattr(schema.BuiltinOptions, f"{kind}Options")
        return schema.OperatorT(len(model.operatorCodes) - 1, inputs, [output], number, options)

    name = graph.tensors[standardised].name
    graph.tensors[standardised].name = f"{STANDARDISE}/add"
    raw, scaled = tensor(name, shape), tensor(f"{STANDARDISE}/mul", shape)
    scale, offset = (
        tensor(f"{STANDARDISE}/{part}", shape[-1:], getattr(preprocessing, part)) for part in ("scale", "offset")
    )
    multiply, add = operator("Mul", [raw, scale], scaled), operator("Add", [scaled, offset], standardised)
    graph.operators[:0] = [multiply, add]
    graph.inputs = [raw]
    model.signatureDefs[0].inputs[0].tensorIndex = raw
