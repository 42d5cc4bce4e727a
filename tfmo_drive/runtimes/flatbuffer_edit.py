"""Opens a `.tflite` as objects that can be changed, and runs it with tensors inside it as inputs and outputs.

The objects are the schema's own (ModelT): tensors and operators are numbered as in the file.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np

from tfmo_drive.contracts import Arrays
from tfmo_drive.runtimes.interpreters import real, stored
from tfmo_drive.runtimes.tflite_file import schema_names


def unpack(tflite: bytes) -> Any:
    """Returns the model in a file's bytes as objects of the schema."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(tflite))


_SHARED = 1 << 16
"""The largest list that is looked for among those written already, in bytes: larger ones are weights."""


class _Builder(flatbuffers.Builder):
    """Writes a file as the schema has it, and equal lists of numbers once.

    The bytes of tensors lie at multiples of 16 (force_align), which the schema's own Python writer forgets. Every
    kernel with a scale for each channel has as many zero points, 8 bytes each and all 0: in small networks a sixth of
    the file. A list may stand for several fields, as FlatBuffers' own builders share strings and tables.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def StartVector(self, elemSize, numElems, alignment):  # noqa: N802, N803
        return super().StartVector(elemSize, numElems, 16 if elemSize == 1 else alignment)

    def CreateNumpyVector(self, x):  # noqa: N802
        if x.nbytes > _SHARED:
            return super().CreateNumpyVector(x)
        key = x.dtype.str, x.tobytes()
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


def pack(model: Any) -> bytes:
    """Returns the bytes of a model of `unpack`."""
    builder = _Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def kind(model: Any, operator: Any) -> str:
    """Returns the schema's name of an operator: CONV_2D, ..."""
    code = model.operatorCodes[operator.opcodeIndex]
    return schema_names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]


def name(tensor: Any) -> str:
    """Returns a tensor's name, which the schema keeps as bytes."""
    return tensor.name.decode() if isinstance(tensor.name, bytes) else tensor.name


def read_values(model: Any, operator: Any) -> list[int]:
    """Returns the numbers of the tensors that an operator reads and that are no constants."""
    graph = model.subgraphs[0]
    given = [int(number) for number in operator.inputs if number >= 0]
    return [number for number in given if model.buffers[graph.tensors[number].buffer].data is None]


def exposed(model: Any, outputs: list[int], inputs: list[int] | None = None) -> bytes:
    """Returns the bytes of an unpacked model whose outputs (and inputs) are the tensors of these numbers."""
    opened, graph = copy.copy(model), copy.copy(model.subgraphs[0])
    opened.subgraphs, opened.signatureDefs = [graph], []
    graph.inputs, graph.outputs = list(graph.inputs if inputs is None else inputs), list(outputs)
    return pack(opened)


class Exposed:
    """Runs the first subgraph of an unpacked model on floats, at the file's batch.

    Integers are converted with the tensors' own scales.

    Args:
        model: The unpacked model.
        outputs: The numbers of the tensors that are wanted.
        inputs: The numbers of the tensors that are given, by default the model's own.
        kernels: "xnnpack" or "reference", as LiteRTArtifact has them.
    """

    def __init__(self, model: Any, outputs: list[int], inputs: list[int] | None = None, kernels: str = "xnnpack"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = OpResolverType.BUILTIN_REF if kernels == "reference" else OpResolverType.AUTO
        content = exposed(model, outputs, inputs)
        self._interpreter = Interpreter(model_content=content, num_threads=2, experimental_op_resolver_type=resolver)
        self._interpreter.allocate_tensors()
        self._inputs, self._outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def __call__(self, *given: Arrays) -> list[np.ndarray]:
        """Returns float32 arrays in the order of `outputs`.

        They come of one array for each of `inputs`, or of arrays by the names of their tensors.
        """
        if isinstance(given[0], Mapping):
            given = [given[0][detail["name"]] for detail in self._inputs]
        for detail, values in zip(self._inputs, given, strict=True):
            self._interpreter.set_tensor(detail["index"], stored(values, *detail["quantization"], detail["dtype"]))
        self._interpreter.invoke()
        made = (self._interpreter.get_tensor(detail["index"]) for detail in self._outputs)
        return [real(values, *detail["quantization"]) for values, detail in zip(made, self._outputs, strict=True)]
