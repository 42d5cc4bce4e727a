"""Stores the constants of a finished float `.tflite` in fewer bits, as TensorFlow's converter does of a Keras model.

float16 constants stand behind DEQUANTIZE; dynamic range is int8 kernels, whose activations the runtime quantises.
Schema: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec (symmetric, per channel).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tfmo_drive.runtimes.flatbuffer_edit import kind, pack, unpack

_LEAST = 1024
"""The elements from which the converter makes a kernel int8."""
_HYBRID = {"CONV_2D": (0, 5), "DEPTHWISE_CONV_2D": (3, 6), "TRANSPOSE_CONV": (0, 2), "FULLY_CONNECTED": (0, 12)}
"""The operators that take int8 kernels for float activations: the kernel's axis of channels, the operator's version."""
_KERNEL = 1  # the place of the kernel among an operator's inputs
_FLOAT16_VERSION = 3  # of DEQUANTIZE


def float16(tflite: bytes) -> bytes:
    """Returns a float32 file with its constants in float16; a number beyond float16's range becomes its largest."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(tflite)
    graph = model.subgraphs[0]
    code = _code(model, "DEQUANTIZE", _FLOAT16_VERSION)
    largest = np.finfo(np.float16).max
    read = {int(number) for operator in graph.operators for number in operator.inputs} - {-1}
    for number in sorted(read):
        values = _floats(model, graph.tensors[number])
        if values is None:
            continue
        tensor = graph.tensors[number]
        half = schema.TensorT(shape=tensor.shape, name=tensor.name, hasRank=True, type=schema.TensorType.FLOAT16)
        half.buffer = _stored(model, np.clip(values, -largest, largest).astype(np.float16))
        tensor.buffer = 0
        graph.tensors.append(half)
        graph.operators.insert(0, schema.OperatorT(code, [len(graph.tensors) - 1], [number]))
    return _packed(model)


def dynamic(tflite: bytes) -> bytes:
    """Returns a float32 file with int8 kernels, one scale for each channel, where an operator takes them."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(tflite)
    graph = model.subgraphs[0]
    readers = Counter(int(number) for operator in graph.operators for number in operator.inputs)
    for operator in graph.operators:
        name = kind(model, operator)
        if name not in _HYBRID:
            continue
        tensor, (axis, version) = graph.tensors[operator.inputs[_KERNEL]], _HYBRID[name]
        values = _floats(model, tensor)
        if values is None or values.size < _LEAST or readers[int(operator.inputs[_KERNEL])] > 1:
            continue
        others = tuple(place for place in range(values.ndim) if place != axis)
        scale = np.abs(values).max(others, keepdims=True) / np.float32(127)
        scale[scale == 0] = 1
        tensor.buffer, tensor.type = _stored(model, np.round(values / scale).astype(np.int8)), schema.TensorType.INT8
        zeros = np.zeros(scale.size, np.int64)
        tensor.quantization = schema.QuantizationParametersT(
            scale=np.float32(scale.ravel()), zeroPoint=zeros, quantizedDimension=axis
        )
        operator.opcodeIndex = _code(model, name, version)
        if name == "FULLY_CONNECTED":
            operator.builtinOptions.asymmetricQuantizeInputs = True
    return _packed(model)


def _packed(model: Any) -> bytes:
    """Returns the bytes of a model without the contents of buffers that nothing reads any more."""
    used = {int(tensor.buffer) for graph in model.subgraphs for tensor in graph.tensors}
    used |= {int(entry.buffer) for entry in model.metadata or ()}
    for place, buffer in enumerate(model.buffers):
        if place not in used:
            buffer.data = None
    return pack(model)


def _floats(model: Any, tensor: Any) -> np.ndarray | None:
    """Returns a tensor's numbers in its shape where it is a float32 constant, else None."""
    from ai_edge_litert import schema_py_generated as schema

    data = model.buffers[tensor.buffer].data
    if tensor.type != schema.TensorType.FLOAT32 or data is None or tensor.sparsity is not None:
        return None
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.float32).reshape(tensor.shape)


def _stored(model: Any, values: np.ndarray) -> int:
    """Returns the number of a new buffer that holds the values."""
    from ai_edge_litert import schema_py_generated as schema

    model.buffers.append(schema.BufferT(np.frombuffer(values.tobytes(), np.uint8)))
    return len(model.buffers) - 1


def _code(model: Any, operator: str, version: int) -> int:
    """Returns the place of an operator of this version among the model's codes, where it is put if it is missing."""
    from ai_edge_litert import schema_py_generated as schema

    number = getattr(schema.BuiltinOperator, operator)
    for place, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version == version:
            return place
    made = schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=version)
    model.operatorCodes.append(made)
    return len(model.operatorCodes) - 1
