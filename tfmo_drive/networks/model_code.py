"""Finds the code that a Keras model's file would run while it is read, before anything of it runs.

It looks at the model's configuration. A Lambda layer is Python bytecode (marshal) inside the file; a class or function
of a module that is not Keras's may make the reader import that module; operations by name reach all of TensorFlow,
which writes files. Keras itself guards its `.keras` format alone (`safe_mode`): what lies in an HDF5 file or a
SavedModel folder runs on `load_model`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from tfmo_drive.base.given_file import reason
from tfmo_drive.base.keras2 import tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.keras3 import archive

_TRUSTED = ("keras", "tf_keras", "tensorflow_model_optimization", "tfmo_drive")
"""Packages that a file may name: they are imported already, and their classes only build layers."""
_MODULE = "of the module"
_RUNS = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Layers whose code, or the path of it, lies in the file."""
_FUNCTIONS = re.compile(r"builtins|(tf_)?keras(\.src)?\.(activations|initializers|losses|metrics)")
"""Modules whose functions a file may name: built-in activations and the like."""
_COMPUTE = re.compile(
    r"tensorflow\.python\.ops\.((gen_)?(array|math|nn|image|linalg|bitwise|bincount|clip|check|embedding|histogram|manip|"
    r"random|special_math|spectral|stateless_random|sparse|ragged_math|ragged_array|sort|set)_ops\w*|sort_ops|nn_impl\w*|"
    r"image_ops_impl|array_ops_stack|tensor_getitem_override|confusion_matrix|numerics|random_crop_ops|"
    r"linalg\.\w+|signal\.\w+|ragged\.\w+)|tensorflow\.python\.framework\.tensor_conversion|"
    r"tf_keras\.src\.(activations|backend)"
)
"""TensorFlow's modules whose functions only compute; those of files, scripts, printing and libraries are not here."""
_VARIABLES = re.compile(
    r"VarHandleOp|\w+VariableOp|VarIsInitializedOp|VariableShape|Resource(Gather|Scatter|Apply|SparseApply)\w*|"
    r"StatefulPartitionedCall|If|Case|While|Assert|CheckNumerics(V2)?|TensorList\w+|EmptyTensorList|CudnnRNN\w*|RestoreV2|"
    r"Random(Uniform|UniformInt|StandardNormal|Gamma|Poisson|Shuffle)(V2)?|TruncatedNormal|Multinomial|"
    r"Stateful(StandardNormal|Uniform|TruncatedNormal)\w*|Rng(ReadAndSkip|Skip)|StatelessRandomGetAlg|DisableCopyOnRead|"
    r"DeviceIndex"
)
"""Graph operations with a state that Keras's own layers need: weights, branches, loops, lists of time steps, chance."""
_REACH_OUT = re.compile(
    r"Abort|Debug\w+|Copy(Host)?|PyFunc\w*|ReadFile|MatchingFiles|ImmutableConst|InitializeTable\w*|GenerateVocabRemapping|"
    r"(Queue|Reader|LookupTable|Barrier|Accumulator|Stack|TPU|Xla)\w+|SdcaOptimizer\w*"
)
"""Operations that TensorFlow lists as without a state, and that read files, call Python or stop the process."""
_SAVE = ("SaveV2", "MergeV2Checkpoints")
"""Operations that every SavedModel has, in the function that writes its checkpoint; nothing of Keras calls that."""


_HOW_TO_TRUST = "add --allow_code (allow_code=True of the task)"


def refuse_code(path: Path, setting: str, trust: str = _HOW_TO_TRUST) -> None:
    """Raises BadInput, naming the layer, where reading the model at `path` may run code of the file.

    Nothing is run here.

    Args:
        path: A `.keras` or HDF5 file that holds a whole model, or a SavedModel folder.
        setting: The setting that names it, with which the line begins.
        trust: What to do where one trusts the file.
    """
    try:
        found = next(_carried(path), None)
    except Exception as error:  # a damaged description can raise anything
        raise BadInput(
            f"{setting}: {path} holds no readable description of a model ({reason(error)}). Save it again."
        ) from error
    if found:
        trusted = f"; or, if you trust whoever made the file, {trust}"
        raise BadInput(
            f"{setting}: {path} holds or names code that may run while it is read: {found}. A custom layer is not "
            f"known here: replace it by built-in Keras layers{'' if _MODULE in found else trusted}."
        )


def descriptions(path: Path) -> list[Any]:
    """Returns what a whole model's file says of it, in JSON types: the model's own first, then that of its layers.

    Whatever is wrong with the file raises an error of its reader.
    """
    if path.suffix == ".keras":
        return [archive.described(path, "", "")[1]]
    if not path.is_dir():
        with h5py.File(path) as file:
            return [json.loads(file.attrs["model_config"])]
    from tf_keras.protobuf import saved_metadata_pb2

    nodes = _parsed(saved_metadata_pb2.SavedMetadata(), path / "keras_metadata.pb").nodes
    return [json.loads(node.metadata or "{}") for node in nodes]


def _carried(path: Path) -> Iterator[str]:
    for description in descriptions(path):
        yield from _in_config(description)
    if not path.is_dir():
        return
    from tensorflow.core.protobuf import saved_model_pb2

    for graph in _parsed(saved_model_pb2.SavedModel(), path / "saved_model.pb").meta_graphs:
        saver = _saver(graph)
        for function, nodes in (
            ("", graph.graph_def.node),
            *((one.signature.name, one.node_def) for one in graph.graph_def.library.function),
        ):
            for node in nodes:
                if not _computes(node.op) and not (function in saver and node.op in _SAVE):
                    yield f'the operation {node.op} "{node.name}"'


def _saver(graph: Any) -> set[str]:
    """Returns the function that writes the checkpoint, where no other node and no function of an object calls it."""
    saves = graph.saver_def.save_tensor_name.split(":")[0]
    called: dict[bool, set[str]] = {True: set(), False: set(graph.object_graph_def.concrete_functions)}
    inside = (node for function in graph.graph_def.library.function for node in function.node_def)
    for node, inner in (*((one, False) for one in graph.graph_def.node), *((one, True) for one in inside)):
        for attribute in node.attr.values():
            functions = [one.name for one in (attribute.func, *attribute.list.func) if one.name]
            called[not inner and node.name == saves].update(functions)
    return called[True] - called[False]


def _computes(operation: str) -> bool:
    """Says whether a graph's operation is known to have no effect outside the model."""
    from tensorflow.python.framework import op_def_registry

    known = op_def_registry.get(operation)
    if known is None:
        return False
    if _VARIABLES.fullmatch(operation):
        return True
    kinds = {argument.type for argument in (*known.input_arg, *known.output_arg)}
    state = known.is_stateful or kinds & {tf.resource.as_datatype_enum, tf.variant.as_datatype_enum}
    return not state and not _REACH_OUT.fullmatch(operation)


def _symbol_computes(symbol: str) -> bool:
    """Says whether the TensorFlow function of this name only computes, and is one that Keras writes into a model."""
    from tensorflow.python.util.tf_export import get_symbol_from_name

    function = get_symbol_from_name(symbol)
    written = any(hasattr(function, name) for name in ("_tf_type_based_dispatcher", "_tf_fallback_dispatchers"))
    return written and bool(_COMPUTE.fullmatch(str(getattr(function, "__module__", ""))))


def _parsed(message: Any, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return message


def _in_config(config: Any, name: str = "") -> Iterator[str]:
    """Yields whatever may run, at any depth; `name` is that of the layer that it is in."""
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
    """Returns what may run in this dictionary itself, in words that its layer's name follows, or None."""
    kind = re.split("[>.]", str(config.get("class_name", "")))[-1]
    module = config.get("module")
    if kind in _RUNS:
        return f"the {kind} layer"
    if kind == "__lambda__" or any(str(key).endswith("type") and one == "lambda" for key, one in config.items()):
        return "a Python lambda in the layer"
    if kind == "function" and module is not None and not _FUNCTIONS.fullmatch(str(module)):
        return f"the function {config.get('config')} {_MODULE} {module} in the layer"
    if kind and module is not None and str(module).split(".")[0] not in (*_TRUSTED, "builtins"):
        return f"the class {kind} {_MODULE} {module} in the layer"
    if kind in ("TFOpLambda", "SlicingOpLambda") and not _symbol_computes(str(inner.get("function"))):
        return f"tf.{inner.get('function')}, which does more than compute, in the layer"
    if kind == "ClassMethod" and inner.get("cls_symbol") != "RaggedTensor":
        return f"tf.{inner.get('cls_symbol')}, which does more than compute, in the layer"
    if kind == "TensorFlowOpLayer":
        node = inner.get("node_def")
        if not isinstance(node, dict) or not _computes(str(node.get("op"))):
            return "an operation that does more than compute, in the layer"
    return None
