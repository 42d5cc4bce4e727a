"""Opens a `.tflite` of any maker as a given model: what it takes, gives and computes in, and whether it is sound.

Interpreters answer a damaged file with wrong numbers, or take the process down: its tables are looked at first, and its
first inference is run in a process of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base.given_file import reading, reason
from tfmo_drive.base.spelling import listed
from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes import artifact_metadata, tflite_file
from tfmo_drive.runtimes.flatbuffer_edit import kind, name, unpack
from tfmo_drive.runtimes.tflite_rows import STANDARDISE

SUFFIX = ".tflite"
FLOAT32, FLOAT16, DYNAMIC, INT8, INT16, MIXED = "float32", "float16", "dynamic range", "int8", "int16x8", "partly int8"
"""What files compute in: float32 throughout, on constants in float16, on kernels in int8; integers; or some of each."""
_ENDS = ("QUANTIZE", "DEQUANTIZE")
_INTEGERS = {"INT8": INT8, "INT16": INT16}
_FLOW = ("WHILE", "IF", "CALL", "CALL_ONCE")
"""The operators that run another graph of the file."""
_COUNTS = ("INT32", "INT64", "BOOL")
"""The types of shapes, indices and conditions, which are no arithmetic on what the model knows."""
_CLASSES = {
    **dict.fromkeys(("SOFTMAX",), "softmax"), **dict.fromkeys(("LOGISTIC",), "sigmoid"),
    **dict.fromkeys(("LOG_SOFTMAX",), "logsoftmax"),
    **dict.fromkeys(("FULLY_CONNECTED", "CONV_2D", "TRANSPOSE_CONV", "BATCH_MATMUL"), "matmul"),
}  # fmt: skip
"""The operators that say what an output is, and TensorFlow's names for them."""
_PASSING = (*_ENDS, "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "MEAN", "CAST")
_CONVERT = "Convert the model again with inputs of fixed size and a batch of 1."
_PATIENCE_S = 120


@dataclasses.dataclass(frozen=True, eq=False)
class GivenTFLite:
    """Holds a sound file of one graph, one input and one example at a time."""

    path: Path
    content: bytes
    """The flatbuffer, without an archive behind it."""
    computes: str
    """FLOAT32, FLOAT16, DYNAMIC, INT8, INT16 or MIXED."""
    input_shape: tuple[int, ...]
    """The shape of one example."""
    input_range: tuple[float, float] | None
    """The lowest and the highest number that its input can stand for, once it is integers; None of floats."""
    outputs: Mapping[str, tuple[int, ...]]
    """The shapes of one example's outputs by their names: the signature's, in the graph's order."""
    makers: Mapping[str, str]
    """TensorFlow's names of the operators that tell what outputs are ("softmax"), by output; "" of others."""
    metadata: Mapping[str, Any]
    """What this program wrote into it; empty of a file of another maker."""

    @property
    def name(self) -> str:
        """Returns the file's name, without its suffix where it is one of this program's folders."""
        return self.path.name

    @functools.cached_property
    def digest(self) -> str:
        """Returns the SHA-256 of the flatbuffer, in hex."""
        return hashlib.sha256(self.content).hexdigest()


def is_tflite(path: Path) -> bool:
    """Says whether a file is a TensorFlow Lite model by its name, or by the mark in its first bytes."""
    if path.suffix.lower() == SUFFIX:
        return True
    if not path.is_file():
        return False
    with reading(path, "a model"), open(path, "rb") as file:
        return file.read(8)[4:] == b"TFL3"


def metadata(path: Path) -> dict[str, Any]:
    """Returns what this program wrote into a `.tflite`, {} where another maker wrote it; raises BadInput for damage."""
    stat = os.stat(path)
    return _metadata(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _metadata(path: Path, *_: int) -> dict[str, Any]:
    artifact_metadata.refuse_damaged(path)
    try:
        return artifact_metadata.read(path)
    except BadInput as error:
        if "carries no tfmo_drive metadata" in str(error):
            return {}
        raise


def read(path: Path, setting: str) -> GivenTFLite:
    """Returns the file, opened.

    Args:
        path: A `.tflite` of any maker.
        setting: The setting that names it, with which errors begin.

    Raises:
        BadInput: It is damaged, or not a model of one input, one graph and built-in operators on finite constants.
    """
    subject = f"{setting}: {path}"
    with reading(path, "a TensorFlow Lite model", "Get it again, or convert the model again.", setting):
        try:
            said, graph = metadata(path), tflite_file.read(path)
        except BadInput as error:
            raise BadInput(f"{setting}: {error}") from error
        content = artifact_metadata.flatbuffer(Path(path).read_bytes())
        model = unpack(content)
        _refuse_structure(model, graph, subject)
        _refuse_constants(graph, subject)
        given = _opened(Path(path), content, model, graph, said)
        _refuse_kind(given, subject)
    _refuse_crash(given, subject)
    return given


def _refuse_structure(model: Any, graph: tflite_file.Graph, subject: str) -> None:
    """Raises BadInput for operators of other makers, several graphs or inputs, and shapes that are not fixed."""
    odd = [code.customCode.decode(errors="replace") for code in model.operatorCodes if code.customCode]
    if odd:
        raise BadInput(
            f"{subject} has operators that TensorFlow Lite does not have: {listed(odd)}. They run code of their own, "
            "and no board has it. Convert the model again without them (no Select TF ops, no NPU compiler)."
        )
    if flow := listed(sorted({kind(model, one) for one in model.subgraphs[0].operators} & {*_FLOW})):
        raise BadInput(
            f"{subject} runs a graph inside its graph ({flow}), and one without loops and branches is read. Where it "
            "has recurrent layers, convert it again with unroll=True, or give the Keras model."
        )
    if len(model.subgraphs) != 1 or len(model.signatureDefs or ()) > 1:
        count, signatures = len(model.subgraphs), len(model.signatureDefs or ())
        raise BadInput(
            f"{subject} holds {count} graphs and {signatures} signatures, as several functions make them, and one of "
            "each is read. Convert one function of it."
        )
    if len(graph.inputs) != 1 or not graph.outputs:
        raise BadInput(
            f"{subject} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; one input is taken. Convert a "
            "model of one input."
        )
    taken, tensors = graph.inputs[0], model.subgraphs[0].tensors
    if taken.dtype not in ("FLOAT32", "INT8", "UINT8", "INT16"):
        raise BadInput(f"{subject} takes {taken.dtype.lower()} inputs, no pixels or numbers. {_CONVERT}")
    for number in (*model.subgraphs[0].inputs, *model.subgraphs[0].outputs):
        sizes = _sizes(tensors[number])
        if len(sizes) < 2 or min(sizes[1:]) < 1 or sizes[0] not in (1, -1):
            raise BadInput(f'{subject}: its "{name(tensors[number])}" is of shape {sizes}. {_CONVERT}')


def _sizes(tensor: Any) -> list[int]:
    """Returns a tensor's shape, -1 where a side is open."""
    return [int(size) for size in (tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature)]


def input_shape(path: Path) -> list[int | None]:
    """Returns the shape [batch, ...] of a file's first input, None where a side is open.

    Raises BadInput for what is no `.tflite`.
    """
    with reading(path, "a TensorFlow Lite model", "Get it again, or convert the model again."):
        tflite_file.read(path)  # whose checks are done before anything is unpacked
        graph = unpack(artifact_metadata.flatbuffer(Path(path).read_bytes())).subgraphs[0]
        return [size if size > 0 else None for size in _sizes(graph.tensors[graph.inputs[0]])]


def _refuse_constants(graph: tflite_file.Graph, subject: str) -> None:
    packed = {id(operator.inputs[0]) for operator in graph.operators if operator.name == "DENSIFY"}
    read = [one for operator in graph.operators for one in operator.inputs if one and one.data is not None]
    for one in (one for operator in graph.operators for one in operator.outputs):
        if any(size < 1 for size in one.shape):
            raise BadInput(f'{subject}: its "{one.name}" of shape {list(one.shape)} holds nothing. {_CONVERT}')
    bad = {}
    for one in {id(one): one for one in read}.values():
        if one.data.size != math.prod(one.shape) and id(one) not in packed:
            raise BadInput(
                f'{subject} is damaged: its "{one.name}" of shape {list(one.shape)} has {one.data.size:,} numbers. Get '
                "it again."
            )
        numbers = [values for values in (one.data, one.scale) if values is not None and values.dtype.kind == "f"]
        if count := sum(int(values.size - np.isfinite(values).sum()) for values in numbers):
            bad[one.name] = count
    if bad:
        raise BadInput(
            f"{subject} has {sum(bad.values()):,} weights that are not finite, the first in {next(iter(bad))}. Train "
            "the model again, with a lower learning_rate, or give another file."
        )


def _opened(path: Path, content: bytes, model: Any, graph: tflite_file.Graph, said: dict[str, Any]) -> GivenTFLite:
    taken, range_ = graph.inputs[0], None
    rounded = [one.outputs[0] for one in graph.operators if one.name == "QUANTIZE" and one.inputs[0] is taken]
    if rounded and taken.dtype == "FLOAT32":
        taken = rounded[0]
    if taken.dtype != "FLOAT32":
        limits = np.iinfo(taken.dtype.lower())
        scale, zero = float(taken.scale[0]), int(taken.zero_point[0])
        range_ = (scale * (limits.min - zero), scale * (limits.max - zero))
    names = _output_names(model)
    outputs = {name: tuple(one.shape[1:]) for name, one in zip(names, graph.outputs, strict=True)}
    numbers = [int(number) for number in model.subgraphs[0].outputs]
    makers = {name: _maker(model, number) for name, number in zip(names, numbers, strict=True)}
    shape = tuple(taken.shape[1:])
    return GivenTFLite(path, content, _computes(graph), shape, range_, outputs, makers, said)


def _output_names(model: Any) -> list[str]:
    """Returns the outputs' names: those of the signature, or of the tensors, as far as a name may be written."""
    graph = model.subgraphs[0]
    signed = {int(one.tensorIndex): name(one) for of in model.signatureDefs or () for one in of.outputs or ()}
    found: list[str] = []
    for place, number in enumerate(int(number) for number in graph.outputs):
        raw = signed.get(number) or name(graph.tensors[number])
        plain = "".join(c if c.isalnum() or c == "_" else "_" for c in raw.split(";")[0].split(":")[0].split("/")[-1])
        plain = plain.strip("_") or f"output_{place}"
        found.append(plain if plain not in found else f"{plain}_{place}")
    return found


def _maker(model: Any, number: int) -> str:
    """Returns TensorFlow's name of the operator that tells what a tensor is, behind those that only move it; or ""."""
    graph = model.subgraphs[0]
    writers = {int(out): operator for operator in graph.operators for out in operator.outputs}
    while number in writers:
        operator = kind(model, writers[number])
        if operator not in _PASSING:
            relu = getattr(writers[number].builtinOptions, "fusedActivationFunction", 0)
            return "" if relu else _CLASSES.get(operator, "")
        number = int(writers[number].inputs[0])
    return ""


def _computes(graph: tflite_file.Graph) -> str:
    """Returns what the operators of a graph compute in; "uint8" where that is none of what is known here."""
    inner = [one for one in graph.operators if one.name not in _ENDS and one.outputs]
    inner = [one for one in inner if not one.outputs[0].name.startswith(f"{STANDARDISE}/")]
    types = {one.outputs[0].dtype for one in inner} - {*_COUNTS}
    if types == {"FLOAT32"} or not types:
        constants = [one for operator in graph.operators for one in operator.inputs if one and one.data is not None]
        kinds = {one.dtype for one in constants}
        return FLOAT16 if "FLOAT16" in kinds else DYNAMIC if "INT8" in kinds else FLOAT32
    if len(types) == 1:
        (only,) = types
        return _INTEGERS.get(only, only.lower())
    return MIXED if types <= {"FLOAT32", "INT8", "INT16"} else "uint8"


def _refuse_kind(given: GivenTFLite, subject: str) -> None:
    if given.computes not in (FLOAT32, FLOAT16, DYNAMIC, INT8, INT16, MIXED):
        raise BadInput(
            f"{subject} computes in {given.computes}, as TensorFlow 1 quantised. Convert the float model again, with "
            "TensorFlow 2, or give it as it is: int8 is then made here."
        )


def _refuse_crash(given: GivenTFLite, subject: str) -> None:
    """Raises BadInput where the first inference, on zeros, fails or takes its process down."""
    words = [sys.executable, "-P", "-c", _TRY, str(given.path)]
    try:
        ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"{subject} did not answer within {_PATIENCE_S} s. Give another file.") from error
    if ran.returncode < 0:
        name = signal.Signals(-ran.returncode).name
        raise BadInput(
            f"{subject} takes LiteRT down ({name}): it is damaged, or made for another runtime. Get it again."
        )
    if ran.returncode:
        last = ran.stderr.decode(errors="replace").strip().splitlines() or ["nothing was said"]
        why = reason(RuntimeError(last[-1].partition(": ")[2] or last[-1]))
        raise BadInput(f"{subject} cannot be run by LiteRT: {why}. Get it again, or convert the model again.")


_TRY = """
import sys
from ai_edge_litert.interpreter import Interpreter
one = Interpreter(model_path=sys.argv[1], num_threads=1)
one.allocate_tensors()
one.invoke()
"""
"""What the other process runs, with the file's path behind it."""
