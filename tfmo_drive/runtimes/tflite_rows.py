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


def standardise_first(model: Any, preprocessing: Preprocessing, place: int = 0) -> None:
    """Changes `model` in place so that an input is raw float32.

    Args:
        model: A schema.ModelT with its default signature; where the input is of integers, a `QUANTIZE` comes before it.
        preprocessing: The scales and offsets of the input's n columns.
        place: The place of the input, [batch, ..., n], among the model's.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph, number_of = model.subgraphs[0], f"_{place}" if place else ""
    taken = graph.tensors[graph.inputs[place]]
    shape = list(taken.shape)

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

    raw, scaled = tensor(taken.name, shape), tensor(f"{STANDARDISE}/mul{number_of}", shape)
    scale, offset = (
        tensor(f"{STANDARDISE}/{part}{number_of}", shape[-1:], getattr(preprocessing, part))
        for part in ("scale", "offset")
    )
    integer = taken.type != schema.TensorType.FLOAT32
    taken.name = f"{STANDARDISE}/{'quantize' if integer else 'add'}{number_of}"
    standardised = tensor(f"{STANDARDISE}/add{number_of}", shape) if integer else int(graph.inputs[place])
    first = [operator("Mul", [raw, scale], scaled), operator("Add", [scaled, offset], standardised)]
    if integer:
        first.append(operator("Quantize", [standardised], int(graph.inputs[place])))
    graph.operators[:0] = first
    graph.inputs = [raw if i == place else number for i, number in enumerate(graph.inputs)]
    model.signatureDefs[0].inputs[place].tensorIndex = raw
