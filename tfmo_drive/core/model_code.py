"""The code that a Keras model's file would run while it is read, found in its configuration before anything of it runs.

A Lambda layer is Python bytecode (marshal) inside the file; a class or function of a module that is not Keras's may
make the reader import that module; operations by name reach all of TensorFlow, which writes files. Keras guards its
`.keras` format alone (`safe_mode`): what lies in an HDF5 file or a SavedModel folder runs on `load_model`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.given_file import reason

_TRUSTED = ("keras", "tf_keras", "tensorflow_model_optimization", "tfmo_drive")
"""Packages that a file may name: they are imported already, and their classes only build layers."""
_MODULE = "of the module"
_FUNCTIONS = re.compile(r"builtins|(tf_)?keras(\.src)?\.(activations|initializers|losses|metrics)")
"""Modules whose functions a file may name: built-in activations and the like."""
_SYMBOLS = re.compile(
    r"(compat\.v1\.)?((math|nn|image|linalg|signal|bitwise|quantization|random|experimental\.numpy|__operators__|"
    r"keras\.activations|keras\.backend)\.)?"
    r"(?!(py_func|numpy_function|load_|import_|print$|Print$|write_file$|function$))\w+"
)
"""TensorFlow's names that only compute: nothing of io, saved_model, data, and no Python function."""
_OPERATIONS = re.compile(
    r"(Eager)?PyFunc(Stateless)?|Print(V2)?|Save(Slices|Dataset\w*)?|DistributedSave|Write\w+|(Create|Merge)Summary\w*|"
    r"SummaryWriter|ImportEvent|Debug\w+|DumpTensor|CalibrationStatisticsSaver|(Experimental)?DatasetToTFRecord|"
    r"(Cache|Snapshot)\w*(Dataset|Reader)\w*|Rpc\w+|RemoteCall|FileSystemSetConfiguration"
)
"""Graph operations that call Python, write files or talk to other machines, and that Keras never puts into a model."""


def refuse_code(path: Path, setting: str) -> None:
    """BadInput, naming the layer, where reading the model at `path` may run code of the file's; nothing is run here.

    path: an HDF5 file that holds a whole model, or a SavedModel folder.
    """
    try:
        found = next(_carried(path), None)
    except Exception as error:  # of a description that nobody has written
        raise BadInput(
            f"{setting}: {path} holds no readable description of a model ({reason(error)}). Save it again."
        ) from error
    if found:
        trusted = "; or, if you trust whoever made the file, add --allow_code (allow_code=True of the task)"
        raise BadInput(
            f"{setting}: {path} holds or names code that may run while it is read: {found}. A custom layer is not "
            f"known here: replace it by built-in Keras layers{'' if _MODULE in found else trusted}."
        )


def _carried(path: Path) -> Iterator[str]:
    if not path.is_dir():
        with h5py.File(path) as file:
            yield from _in_config(json.loads(file.attrs["model_config"]))
        return
    from tensorflow.core.protobuf import saved_model_pb2
    from tf_keras.protobuf import saved_metadata_pb2

    for node in _parsed(saved_metadata_pb2.SavedMetadata(), path / "keras_metadata.pb").nodes:
        yield from _in_config(json.loads(node.metadata or "{}"))
    for graph in _parsed(saved_model_pb2.SavedModel(), path / "saved_model.pb").meta_graphs:
        functions = graph.graph_def.library.function
        for one in (*graph.graph_def.node, *(node for function in functions for node in function.node_def)):
            if _OPERATIONS.fullmatch(one.op):
                yield f'the operation {one.op} "{one.name}"'


def _parsed(message: Any, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return message


def _in_config(config: Any, name: str = "") -> Iterator[str]:
    """Whatever may run, at any depth; `name`: of the layer that it is in."""
    if isinstance(config, list):
        for one in config:
            yield from _in_config(one, name)
    if not isinstance(config, dict):
        return
    inner = config["config"] if isinstance(config.get("config"), dict) else {}
    name = str(inner.get("name") or config.get("name") or name)
    if what := _code_of(config, inner):
        yield f'{what} "{name}"'
    for one in config.values():
        yield from _in_config(one, name)


def _code_of(config: dict[str, Any], inner: dict[str, Any]) -> str | None:
    """What may run of this dictionary itself, in words that its layer's name follows."""
    kind = re.split("[>.]", str(config.get("class_name", "")))[-1]
    module = config.get("module")
    if kind == "Lambda":
        return "the Lambda layer"
    if kind == "__lambda__" or any(str(key).endswith("type") and one == "lambda" for key, one in config.items()):
        return "a Python lambda in the layer"
    if kind == "function" and module is not None and not _FUNCTIONS.fullmatch(str(module)):
        return f"the function {config.get('config')} {_MODULE} {module} in the layer"
    if kind and module is not None and str(module).split(".")[0] not in (*_TRUSTED, "builtins"):
        return f"the class {kind} {_MODULE} {module} in the layer"
    if kind in ("TFOpLambda", "SlicingOpLambda") and not _SYMBOLS.fullmatch(str(inner.get("function"))):
        return f"tf.{inner.get('function')}, which does more than compute, in the layer"
    if kind == "ClassMethod" and inner.get("cls_symbol") != "RaggedTensor":
        return f"tf.{inner.get('cls_symbol')}, which does more than compute, in the layer"
    if kind == "TensorFlowOpLayer":
        node = inner.get("node_def")
        if not isinstance(node, dict) or _OPERATIONS.fullmatch(str(node.get("op"))):
            return "an operation that does more than compute, in the layer"
    return None
