"""Reads what an `.onnx` file really holds: weights, multiply-accumulates, and the scales of integer inputs and outputs.

Operators: https://onnx.ai/onnx/operators/ . Integer weights are initializers behind DequantizeLinear.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base.given_file import reads
from tfmo_drive.contracts import BadInput

_FILE = reads("an ONNX model", "Give a .onnx file.")
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_LAYOUT = ("Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze")
"""The operators that rearrange numbers and leave them as they are."""


@_FILE
def weights(path: Path | bytes) -> dict[str, np.ndarray]:
    """Returns `layer/kernel` and `layer/bias` as stored (float32, int8, int32), each constant once."""
    from onnx import numpy_helper

    graph = _load(path).graph
    constants, makers = {tensor.name: tensor for tensor in graph.initializer}, _makers(graph)
    users = {name: node for node in graph.node for name in node.input}
    found: dict[str, np.ndarray] = {}
    seen: set[str] = set()
    for node in graph.node:
        if node.op_type not in _LAYERS:
            continue
        layer = _layer(node)
        parts = list(zip(node.input[1:3], ("kernel", "bias"), strict=False))
        after = users.get(node.output[0])
        if node.op_type == "MatMul" and after is not None and after.op_type == "Add":
            parts += [(name, "bias") for name in after.input if name != node.output[0]]
        for name, part in parts:
            source = _source(name, constants, makers)
            if source is None or source in seen:
                continue
            seen.add(source)
            key, count = f"{layer}/{part}", 1
            while key in found:
                count += 1
                key = f"{layer}/{part}_{count}"
            found[key] = numpy_helper.to_array(constants[source])
    return found


@_FILE
def macs(path: Path | bytes) -> int:
    """Returns the multiply-accumulates of one inference at the file's batch."""
    import onnx

    model = onnx.shape_inference.infer_shapes(_load(path), data_prop=True)
    graph = model.graph
    known = [*graph.value_info, *graph.input, *graph.output]
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in known}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type not in _LAYERS:
            continue
        data, kernel, output = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
        if node.op_type == "Conv":  # kernel [out, in / groups, *taps]
            total += math.prod(output) * math.prod(kernel[1:])
        elif node.op_type == "ConvTranspose":  # kernel [in, out / groups, *taps], per input pixel
            total += math.prod(data) * math.prod(kernel[1:])
        else:
            total += math.prod(output) * data[-1]
    return total


@_FILE
def quantization(path: Path | bytes) -> dict[str, tuple[float, int]]:
    """Returns scale and zero point of integer inputs and outputs by name.

    They are those of the Q/DQ node beside each, seen through changes of layout.
    """
    from onnx import numpy_helper

    graph = _load(path).graph
    constants, makers = {tensor.name: tensor for tensor in graph.initializer}, _makers(graph)
    users = {name: node for node in graph.node for name in node.input}
    beside = {value.name: _reach(value.name, users, lambda node: node.output[0]) for value in graph.input}
    beside |= {value.name: _reach(value.name, makers, lambda node: node.input[0]) for value in graph.output}
    found = {}
    for name, node in beside.items():
        if node is not None and node.op_type in ("DequantizeLinear", "QuantizeLinear"):
            scale, zero_point = (numpy_helper.to_array(constants[constant]) for constant in node.input[1:3])
            found[name] = float(scale), int(zero_point)
    return found


@_FILE
def signature(source: Path | bytes) -> dict[str, list[dict[str, Any]]]:
    """Returns inputs and outputs in JSON types: name, shape, dtype, and of integers scale and zero_point."""
    import onnx

    graph, scales = _load(source).graph, quantization(source)
    found: dict[str, list] = {"inputs": [], "outputs": []}
    for kind, values in (("inputs", graph.input), ("outputs", graph.output)):
        for value in values:
            tensor = value.type.tensor_type
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
            end = {"name": value.name, "shape": [d.dim_value for d in tensor.shape.dim], "dtype": dtype}
            if value.name in scales:
                end |= dict(zip(("scale", "zero_point"), scales[value.name], strict=True))
            found[kind].append(end)
    return found


def _load(source: Path | bytes):
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source)
    except DecodeError:
        name = "This" if isinstance(source, bytes) else source
        raise BadInput(f"{name} is not an ONNX model. Give a .onnx file.") from None


def _makers(graph) -> dict:
    return {output: node for node in graph.node for output in node.output}


def _reach(name: str, nodes: dict, onward: Callable) -> Any:
    """Returns the first node from `name` on that does more than rearrange."""
    node = nodes.get(name)
    while node is not None and node.op_type in _LAYOUT:
        node = nodes.get(onward(node))
    return node


def _source(name: str, constants: dict, makers: dict) -> str | None:
    """Returns the initializer that `name` comes from, seen through dequantisation and changes of layout."""
    while name not in constants:
        node = makers.get(name)
        if node is None or node.op_type not in (*_LAYOUT, "DequantizeLinear"):
            return None
        name = node.input[0]
    return name


def _layer(node) -> str:
    path = next((p for p in (node.name or node.output[0]).split(";") if "/" in p), node.name).split("/")
    return path[max(0, len(path) - 2)].removeprefix("quant_")
