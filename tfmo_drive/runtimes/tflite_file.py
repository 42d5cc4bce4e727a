"""Reads what a `.tflite` file really holds, operators, tensors, weights and multiply-accumulates, from the flatbuffer.

Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs Weights are
symmetric, zero point 0: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base.given_file import reads
from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes.tflite_rows import STANDARDISE

_FILE = reads("a TensorFlow Lite model", "Give a .tflite file.")
FOLDED = "preprocessing"
"""The layer that preprocessing becomes in a file of any format (conversion.freezing); the model has none such."""
_LAYERS = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""The positions of each operator's input, kernel and bias among what it reads."""

_KERNEL_NODES = ("Conv2D", "MatMul", "depthwise", "conv2d_transpose", "FakeQuant")
_INNER_FOLDERS = ("LastValueQuant", "Tensordot", "")


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """Describes a tensor of a file; only constants have data."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """The type's name in the schema: FLOAT32, INT8, ..."""
    scale: np.ndarray
    zero_point: np.ndarray
    buffer: int
    data: np.ndarray | None
    """The values of a constant, None for any other tensor."""


@dataclasses.dataclass(frozen=True)
class Operator:
    """Describes an operator of a file, with the tensors that it reads and writes."""

    name: str
    inputs: tuple[Tensor | None, ...]
    """The tensors that it reads; None where an optional one is left out."""
    outputs: tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """Holds the first subgraph of a file."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]


@_FILE
def read(source: Path | bytes) -> Graph:
    """Returns the first subgraph of a file or of its bytes; raises BadInput for what is not a TensorFlow Lite model."""
    from ai_edge_litert import schema_py_generated as schema

    data, name = (source, "This") if isinstance(source, bytes) else (Path(source).read_bytes(), source)
    if data[4:8] != b"TFL3":
        raise BadInput(f"{name} is not a TensorFlow Lite model. Give a .tflite file.")
    model = schema.Model.GetRootAs(data, 0)
    names, types = schema_names("BuiltinOperator"), schema_names("TensorType")
    graph = model.Subgraphs(0)
    if max(graph.TensorsLength(), graph.OperatorsLength(), model.OperatorCodesLength()) > len(data):
        raise BadInput(f"{name} is a damaged TensorFlow Lite model: it says to hold more than it could. Get it again.")
    tensors = [_tensor(model, graph.Tensors(i), types) for i in range(graph.TensorsLength())]
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    # Files made before 2020 keep the code in the byte-wide field.
    kinds = [names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in codes]
    operators = []
    for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        inputs = tuple(tensors[i] if i >= 0 else None for i in _integers(operator.InputsAsNumpy()))
        outputs = tuple(tensors[i] for i in _integers(operator.OutputsAsNumpy()))
        operators.append(Operator(kinds[operator.OpcodeIndex()], inputs, outputs))
    ends = (tuple(tensors[i] for i in _integers(x)) for x in (graph.InputsAsNumpy(), graph.OutputsAsNumpy()))
    return Graph(*ends, tuple(operators))


@functools.cache
def schema_names(enumeration: str) -> dict[int, str]:
    """Returns the names of one of the schema's enumerations by their numbers: {3: "CONV_2D"} of "BuiltinOperator"."""
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(getattr(schema, enumeration)).items() if isinstance(value, int)}


@_FILE
def operators(path: Path | bytes) -> Counter[str]:
    """Returns how often each operator occurs."""
    return Counter(operator.name for operator in read(path).operators)


@_FILE
def weights(path: Path | bytes) -> dict[str, np.ndarray]:
    """Returns `layer/kernel` and `layer/bias` of convolutions and dense layers as stored.

    Shared constants appear once.
    """
    graph = read(path)
    # float16 files keep their constants behind DEQUANTIZE, pruned ones may keep them behind DENSIFY.
    behind = {id(o.outputs[0]): o.inputs[0] for o in graph.operators if o.name in ("DEQUANTIZE", "DENSIFY")}
    found: dict[str, np.ndarray] = {}
    seen: set[int] = set()
    for operator in graph.operators:
        if operator.name not in _LAYERS:
            continue
        layer = _layer(operator, behind)
        for position, part in zip(_LAYERS[operator.name][1:], ("kernel", "bias"), strict=True):
            tensor = operator.inputs[position] if position < len(operator.inputs) else None
            tensor = behind.get(id(tensor), tensor)
            if tensor is not None and tensor.data is not None and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                found[_free(f"{layer}/{part}", found)] = tensor.data
    return found


@_FILE
def macs(path: Path | bytes) -> int:
    """Returns the multiply-accumulates of one inference at the file's batch, those on padding included."""
    return sum(_macs(operator) for operator in read(path).operators)


@_FILE
def signature(source: Path | bytes) -> dict[str, list[dict[str, Any]]]:
    """Returns inputs and outputs in JSON types: name, shape, dtype, and of integers scale and zero_point."""
    graph = read(source)
    return {kind: [_end(tensor) for tensor in getattr(graph, kind)] for kind in ("inputs", "outputs")}


@_FILE
def float_operators(path: Path | bytes) -> Counter[str]:
    """Returns how often each operator computes in floating point (`float_layers`): never in a full-integer file."""
    return Counter({kind: len(names) for kind, names in float_layers(path).items()})


@_FILE
def float_layers(path: Path | bytes) -> dict[str, list[str]]:
    """Returns the layers that the operators come from which compute in floating point, by the operators' kinds.

    The standardising of raw rows does not count.
    """
    found: dict[str, list[str]] = {}
    for operator in read(path).operators:
        tensor = next((one for one in operator.outputs if one.dtype in ("FLOAT32", "FLOAT16")), None)
        if tensor and not tensor.name.startswith(f"{STANDARDISE}/"):
            found.setdefault(operator.name, []).append(layer_name(tensor.name))
    return found


def layer_name(tensor: str) -> str:
    """Returns the layer that a tensor is called after: conv1_relu for "resnet/conv1_relu/Relu;resnet/conv1_bn/..."."""
    folders = tensor.split(";")[0].split("/")
    return folders[max(0, len(folders) - 2)]


def _end(tensor: Tensor) -> dict[str, Any]:
    described = {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype.lower()}
    if tensor.scale.any():
        described |= {"scale": float(tensor.scale[0]), "zero_point": int(tensor.zero_point[0])}
    return described


def _macs(operator: Operator) -> int:
    if operator.name == "BATCH_MATMUL":
        return math.prod(operator.outputs[0].shape) * operator.inputs[0].shape[-1]
    if operator.name not in _LAYERS:
        return 0
    input_, kernel, _ = _LAYERS[operator.name]
    taps = operator.inputs[kernel].shape
    outputs = math.prod(operator.outputs[0].shape)
    if operator.name == "DEPTHWISE_CONV_2D":  # [1, height, width, channels]
        return outputs * taps[1] * taps[2]
    if operator.name == "TRANSPOSE_CONV":  # [output channels, height, width, input channels], per input pixel
        return math.prod(operator.inputs[input_].shape) * math.prod(taps[:3])
    return outputs * math.prod(taps[1:])


def _layer(operator: Operator, behind: dict[int, Tensor]) -> str:
    """Returns the Keras layer's own name: the folder that the kernel (else the output) had in the TensorFlow graph."""
    kernel = operator.inputs[_LAYERS[operator.name][1]]
    names = (behind.get(id(kernel), kernel).name, operator.outputs[0].name)
    paths = [path.split("/") for name in names for path in name.split(";") if "/" in path]
    parts = next((path for path in paths if path[-1].startswith(_KERNEL_NODES)), (paths or [[names[-1]]])[0])
    parts = [part for part in parts if part not in _INNER_FOLDERS]
    return parts[max(0, len(parts) - 2)].removeprefix("quant_")


def _free(name: str, taken: dict) -> str:
    count = 1
    while (candidate := name if count == 1 else f"{name}_{count}") in taken:
        count += 1
    return candidate


def _tensor(model, tensor, types: dict[int, str]) -> Tensor:
    shape, dtype = tuple(_integers(tensor.ShapeAsNumpy())), types[tensor.Type()]
    quantization = tensor.Quantization()
    scale = quantization.ScaleAsNumpy() if quantization else 0
    zero_point = quantization.ZeroPointAsNumpy() if quantization else 0
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    data = None
    if isinstance(raw, np.ndarray) and raw.size and dtype != "STRING" and hasattr(np, dtype.lower()):
        data = raw.view(dtype.lower())
        data = data.reshape(shape) if data.size == math.prod(shape) else data
    return Tensor(
        tensor.Name().decode(), shape, dtype, np.atleast_1d(scale), np.atleast_1d(zero_point), tensor.Buffer(), data
    )


def _integers(array: np.ndarray | int) -> list[int]:
    """Returns a flatbuffer's vector as a list; flatbuffers gives 0 where the vector is absent."""
    return [int(value) for value in array] if isinstance(array, np.ndarray) else []


@_FILE
def vanishing(source: Path | bytes) -> list[str]:
    """Returns the integer additions and layers whose outputs are too small beside their inputs for the file to load.

    TensorFlow Lite aborts the process where add.cc's multiplier 2 x addend's scale / (2^20 x result's) reaches 1, and
    XNNPACK refuses a layer where (input's x kernel's) / result's reaches 256.
    """
    return [
        _layer(operator, {}) if operator.name in _LAYERS else layer_name(operator.outputs[0].name)
        for operator in read(source).operators
        if operator.outputs and operator.outputs[0].dtype == "INT8" and _vanishes(operator)
    ]


def _vanishes(operator: Operator) -> bool:
    result = operator.outputs[0].scale.max()
    if operator.name in ("ADD", "SUB"):
        return 2 * max(one.scale.max() for one in operator.inputs) >= result * 2**20
    if operator.name in _LAYERS:
        source, kernel = (operator.inputs[place].scale.max() for place in _LAYERS[operator.name][:2])
        return source * kernel >= result * 256
    return False
