"""Makes a given `.tflite` take raw pixels, as every file of this project does: preprocessing becomes a convolution.

It is the 1x1 convolution that `conversion.freezing` puts in front of a Keras model, here written into a finished file:
in float32, or in integers, where its result is exactly what rounding preprocessed pixels to the file's own input would
give. Types at the ends of an integer file (float32, uint8) give way to its own: int8 pixels are `pixel - 128`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfmo_drive.contracts import Preprocessing
from tfmo_drive.runtimes.flatbuffer_edit import kind, pack, unpack
from tfmo_drive.runtimes.tflite_file import FOLDED

_STEPS = 255
"""The steps of raw inputs between the ends of their range."""


def taking_raw(content: bytes, preprocessing: Preprocessing) -> bytes:
    """Returns the file with inputs of the task's `input_range`, or, where there is none, standardised float32 rows.

    Args:
        content: A file of one graph and one input, [1, ...] preprocessed, as numbers or as the file's own integers.
        preprocessing: What makes the file's input of a raw one.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    _strip_outputs(model)
    if preprocessing.input_range:
        _strip_input(model)
        edit = _Edit(model)
        taken = graph.tensors[graph.inputs[0]]
        if edit.integer(taken):
            raw = edit.raw_integers(taken, preprocessing.input_range)
            if not (preprocessing.is_identity and _same(raw, taken)):
                edit.convolve(raw, preprocessing)
        elif not preprocessing.is_identity:
            edit.convolve(edit.like(taken, "raw"), preprocessing)
    elif _Edit(model).integer(graph.tensors[graph.inputs[0]]):
        _Edit(model).quantize_first()
    return pack(model)


def _strip_input(model: Any) -> None:
    """Takes a QUANTIZE away that alone reads the input."""
    graph = model.subgraphs[0]
    readers = [operator for operator in graph.operators if graph.inputs[0] in operator.inputs]
    if len(readers) == 1 and kind(model, readers[0]) == "QUANTIZE":
        graph.operators.remove(readers[0])
        graph.inputs = [int(readers[0].outputs[0])]


def _strip_outputs(model: Any) -> None:
    """Takes what only converts int8 outputs to another type away: DEQUANTIZE, or QUANTIZE to uint8."""
    graph, made = model.subgraphs[0], []
    for number in graph.outputs:
        writer = next((one for one in graph.operators if number in one.outputs), None)
        inner = (
            int(writer.inputs[0]) if writer is not None and kind(model, writer) in ("QUANTIZE", "DEQUANTIZE") else None
        )
        plain = inner is not None and _Edit(model).integer(graph.tensors[inner])
        if plain and not any(number in one.inputs for one in graph.operators) and inner not in made:
            graph.operators.remove(writer)
            number = inner
        made.append(int(number))
    graph.outputs = made


def _same(one: Any, other: Any) -> bool:
    """Says whether two tensors stand for equal numbers by equal integers."""
    scales = np.isclose(one.quantization.scale[0], other.quantization.scale[0], rtol=1e-6, atol=0)
    return bool(one.type == other.type and scales and one.quantization.zeroPoint[0] == other.quantization.zeroPoint[0])


class _Edit:
    """Adds tensors and operators to an unpacked model."""

    def __init__(self, model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema, self._model, self._graph = schema, model, model.subgraphs[0]

    def integer(self, tensor: Any) -> bool:
        """Says whether a tensor holds int8 or int16."""
        return tensor.type in (self._schema.TensorType.INT8, self._schema.TensorType.INT16)

    def like(self, tensor: Any, name: str) -> Any:
        """Returns a new tensor of the shape and type of another one."""
        return self._schema.TensorT(shape=list(tensor.shape), name=name, type=tensor.type, hasRank=True)

    def raw_integers(self, tensor: Any, input_range: tuple[float, float]) -> Any:
        """Returns a new tensor of integers that stand for raw inputs: int8 with 255 steps, int16 symmetric."""
        made, (low, high) = self.like(tensor, "raw"), input_range
        narrow = tensor.type == self._schema.TensorType.INT8
        scale = np.float32((high - low) / _STEPS if narrow else max(abs(low), abs(high)) / np.iinfo(np.int16).max)
        zero = round(float(np.iinfo(np.int8).min - low / scale)) if narrow else 0
        made.quantization = self._schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero])
        return made

    def convolve(self, raw: Any, preprocessing: Preprocessing) -> None:
        """Puts the convolution in front that makes what the graph takes of the tensor `raw`, which is the new input."""
        kernel = np.float32(preprocessing.matrix.T)[:, None, None]
        bias = np.float32(preprocessing.offset)
        if self.integer(raw):
            scale = np.abs(kernel).max((1, 2, 3)) / np.iinfo(np.int8).max
            wide = np.int32 if raw.type == self._schema.TensorType.INT8 else np.int64
            products = np.float64(raw.quantization.scale[0]) * scale
            whole = np.round(kernel / scale[:, None, None, None]).astype(np.int8)
            parts = (whole, scale), (np.round(bias / products).astype(wide), products)
        else:
            parts = (kernel, None), (bias, None)
        constants = [
            self._constant(f"{FOLDED}/{name}", *one) for name, one in zip(("kernel", "bias"), parts, strict=True)
        ]
        options = self._schema.Conv2DOptionsT(
            strideW=1, strideH=1, padding=self._schema.Padding.VALID, dilationWFactor=1, dilationHFactor=1
        )
        self._first("CONV_2D", "Conv2DOptions", options, raw, constants)

    def quantize_first(self) -> None:
        """Makes an integer input a float32 one, with a QUANTIZE behind it."""
        raw = self.like(self._graph.tensors[self._graph.inputs[0]], "raw")
        raw.type = self._schema.TensorType.FLOAT32
        self._first("QUANTIZE", "QuantizeOptions", self._schema.QuantizeOptionsT(), raw, [])

    def _first(self, operator: str, kind_: str, options: Any, raw: Any, constants: list[int]) -> None:
        code = getattr(self._schema.BuiltinOperator, operator)
        version = {self._schema.TensorType.INT8: 3, self._schema.TensorType.INT16: 4}.get(raw.type, 1)
        self._model.operatorCodes.append(
            self._schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=version)
        )
        taken = int(self._graph.inputs[0])
        number = self._added(raw)
        made = self._schema.OperatorT(
            len(self._model.operatorCodes) - 1, [number, *constants], [taken],
            getattr(self._schema.BuiltinOptions, kind_), options,
        )  # fmt: skip
        self._graph.tensors[taken].name = f"{FOLDED}/{operator.lower()}"
        self._graph.operators.insert(0, made)
        self._graph.inputs = [number]

    def _constant(self, name: str, values: np.ndarray, scale: np.ndarray | None) -> int:
        self._model.buffers.append(self._schema.BufferT(np.frombuffer(values.tobytes(), np.uint8)))
        made = self._schema.TensorT(
            shape=list(values.shape), name=name, hasRank=True, buffer=len(self._model.buffers) - 1,
            type=getattr(self._schema.TensorType, values.dtype.name.upper()),
        )  # fmt: skip
        if scale is not None:
            zeros = np.zeros(len(scale), np.int64)
            made.quantization = self._schema.QuantizationParametersT(
                scale=np.float32(scale), zeroPoint=zeros, quantizedDimension=0
            )
        return self._added(made)

    def _added(self, tensor: Any) -> int:
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1
