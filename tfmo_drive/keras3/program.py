"""Reads files that Keras 3 wrote, and writes what is in them as plain data; runs in a process of its own.

A damaged file can take any time and memory, or the process down. `keras3.exported` starts this file as a program;
nothing imports it.

    program.py SECONDS safe|unsafe FILE FOLDER [FILE FOLDER ...]

Into every FOLDER it writes either `model.json` (layers with their classes, settings and weights' names; calls in order)
and `arrays.npz` (weights, random inputs, and what Keras 3 answers to them), or `refused.json` with the reason.
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import re
import resource
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SAMPLE = 1024
"""The most numbers of a layer's answer that are kept; a model's answers are kept whole."""
DRAWS = ("normal", "unit", "pixels")
"""Kinds of random inputs: N(0, 1), U(0, 1) and U(0, 255), one call for each."""
_MEMORY = 0.75
"""The part of the machine's memory that a file may take: a damaged one can ask for any amount."""
_SIZE, _BATCH = 64, 2
"""What stands for a side, or a count of examples, that the model leaves open."""


class Refused(Exception):
    """A `Refused` model cannot be handed on; its message says why and names the layer."""


class Exporter:
    """An `Exporter` walks one Keras 3 model, with the models inside it opened, and collects its layers and calls."""

    def __init__(self, keras: Any, model: Any):
        self.keras, self.model = keras, model
        self.layers, self.calls, self.operations, self.played = [], [], [], []
        self.known: dict[int, int] = {}
        self.count = itertools.count()
        self.graph = graph = self._graph(model)
        numbers = {id(tensor): next(self.count) for tensor in graph.inputs}
        self.inputs = list(numbers.values())
        inputs = [
            {"name": str(tensor.name), "shape": list(tensor.shape), "dtype": str(tensor.dtype), "tensor": number}
            for tensor, number in zip(graph.inputs, self.inputs, strict=True)
        ]
        self._walk(graph, numbers)
        self.description = {
            "name": str(model.name),
            "inputs": inputs,
            "layers": self.layers,
            "calls": self.calls,
            "outputs": [numbers[id(tensor)] for tensor in graph.outputs],
        }

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields every weight under the name that the description has for it."""
        for number, operation in enumerate(self.operations):
            for place, weight in enumerate(self._weights(operation)):
                yield f"weight_{number}_{place}", np.asarray(weight)

    def replayed(self, inputs: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Yields what every call answers, in order, when the model's inputs are these."""
        values = dict(zip(self.inputs, map(self.keras.ops.convert_to_tensor, inputs), strict=True))
        for call, (node, numbers) in zip(self.calls, self.played, strict=True):
            args, kwargs = node.arguments.convert(lambda x, of=numbers: values[of[id(x)]] if id(x) in of else x)
            if getattr(node.operation, "_call_has_training_arg", False):
                kwargs["training"] = False  # as a model's call does, whatever the graph says
            answers = self.keras.tree.flatten(node.operation(*args, **kwargs))
            values.update(zip(call["outputs"], answers, strict=True))
            yield [np.asarray(one) for one in answers]

    def _graph(self, model: Any) -> Any:
        keras = self.keras
        if isinstance(model, keras.Sequential):
            if getattr(model, "_functional", None) is None:
                raise Refused(
                    f'the model "{model.name}" does not know the shape of its input. Begin it with keras.Input(shape)'
                )
            return model._functional
        if not hasattr(model, "_nodes_by_depth"):
            raise Refused(
                f'"{model.name}" is a subclassed model ({type(model).__name__}), whose graph is not in the file. Make '
                "it functional: keras.Model(inputs, outputs) from its layers"
            )
        return model

    def _walk(self, graph: Any, numbers: dict[int, int]) -> None:
        """Adds the calls of `graph`; `numbers` has those of its inputs by id, and gets all others."""
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if not node.is_input:
                    self._call(node, numbers)

    def _call(self, node: Any, numbers: dict[int, int]) -> None:
        operation = node.operation
        if isinstance(operation, self.keras.Model):
            inner = self._graph(operation)
            given = [numbers[id(tensor)] for tensor in node.arguments.keras_tensors]
            if len(given) != len(inner.inputs):
                raise Refused(f'the model "{operation.name}" is called on {len(given)} tensors')
            inside = {id(tensor): one for tensor, one in zip(inner.inputs, given, strict=True)}
            self._walk(inner, inside)
            numbers.update(
                {id(tensor): inside[id(own)] for tensor, own in zip(node.outputs, inner.outputs, strict=True)}
            )
            return
        self.played.append((node, dict(numbers)))
        made = {id(tensor): next(self.count) for tensor in node.outputs}
        self.calls.append(
            {
                "layer": self._layer(operation),
                "args": self._plain(node.arguments.args, numbers, operation.name),
                "kwargs": self._plain(node.arguments.kwargs, numbers, operation.name),
                "outputs": list(made.values()),
                "shapes": [list(tensor.shape) for tensor in node.outputs],
            }
        )
        numbers.update(made)

    def _layer(self, operation: Any) -> int:
        if id(operation) not in self.known:
            number = self.known[id(operation)] = len(self.layers)
            self.operations.append(operation)
            try:
                config = self.keras.saving.serialize_keras_object(operation)["config"]
                self._add_defaults(config)
                json.dumps(config)
            except Exception as error:
                raise Refused(f'the settings of "{operation.name}" cannot be told ({_line(error)})') from error
            weights = [
                {"array": f"weight_{number}_{place}", "name": str(weight.path)}
                for place, weight in enumerate(self._weights(operation))
            ]
            kind = type(operation)
            self.layers.append(
                {
                    "name": _printable(str(operation.name)),
                    "class": kind.__name__,
                    "module": kind.__module__,
                    "is_layer": isinstance(operation, self.keras.layers.Layer),
                    "config": config | self._statistics(operation),
                    "defaults": _defaults(kind),
                    "weights": weights,
                }
            )
        return self.known[id(operation)]

    def _weights(self, operation: Any) -> list[Any]:
        """Returns the weights; those of a Normalization are settings (`_statistics`)."""
        return [] if isinstance(operation, self.keras.layers.Normalization) else list(getattr(operation, "weights", ()))

    def _add_defaults(self, config: Any) -> None:
        """Adds to the layers inside a layer's settings what these classes have for default."""
        for one in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
            self._add_defaults(one)
            if isinstance(one, dict) and one.get("module") == "keras.layers":
                one["defaults"] = _defaults(getattr(self.keras.layers, one["class_name"]))

    def _statistics(self, operation: Any) -> dict[str, Any]:
        """Returns the mean and variance that a Normalization has learnt, which are settings in Keras 2."""
        if not isinstance(operation, self.keras.layers.Normalization):
            return {}
        if operation.invert or operation.mean is None:
            raise Refused(f'"{operation.name}" is a Normalization that has no mean yet, or inverts one')
        shape = operation._mean_and_var_shape or ()
        found = {"mean": operation.mean, "variance": operation.variance}
        return {name: np.asarray(value, np.float32).reshape(shape).tolist() for name, value in found.items()}

    def _plain(self, value: Any, numbers: dict[int, int], name: str) -> Any:
        if isinstance(value, self.keras.KerasTensor):
            return {"tensor": numbers[id(value)]}
        if isinstance(value, list | tuple):
            return [self._plain(one, numbers, name) for one in value]
        if isinstance(value, dict):
            return {"dict": {str(key): self._plain(one, numbers, name) for key, one in value.items()}}
        if isinstance(value, slice):
            return {"slice": [self._plain(one, numbers, name) for one in (value.start, value.stop, value.step)]}
        if value is Ellipsis:
            return {"ellipsis": True}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        try:
            return {"array": np.asarray(value).tolist()}
        except Exception as error:
            raise Refused(f'"{name}" is called with a {type(value).__name__}') from error


def _defaults(kind: type) -> dict[str, Any]:
    """Returns the settings of a class that have a plain default, of all its constructors."""
    found = {}
    for one in reversed(kind.__mro__):
        if "__init__" in vars(one) and one is not object:
            for name, parameter in inspect.signature(one.__init__).parameters.items():
                plain = parameter.default is None or isinstance(parameter.default, bool | int | float | str | tuple)
                if plain:
                    found[name] = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    return found


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(". ")


def _printable(text: str) -> str:
    """Returns the text without a terminal's colours, and with a question mark for what cannot be printed."""
    return "".join(one if one.isprintable() else "?" for one in re.sub("\x1b\\[[0-9;]*m", "", text))


def _operations(keras: Any) -> Iterator[type]:
    """Yields the classes of Keras's operations that are no layers."""
    waiting = [keras.Operation]
    while waiting:
        for one in waiting.pop().__subclasses__():
            if not issubclass(one, keras.layers.Layer) and one.__module__.startswith("keras.src.ops."):
                waiting.append(one)
                yield one


def _either(keras: Any, operation: type) -> type:
    """Returns what builds the operation, or the layer of its name, whichever some settings are of."""
    layer = getattr(keras.layers, operation.__name__, None)
    if layer is None:
        return operation

    class Either:
        @staticmethod
        def from_config(config: dict[str, Any]) -> Any:
            return (layer if "trainable" in config else operation).from_config(config)

    return Either


def configured(path: str) -> Any:
    """Returns the configuration of the model in a file, without that of its training, which is not read."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        return {key: one for key, one in config.items() if key != "compile_config"}
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def refuse_foreign(config: Any, layer: str = "") -> None:
    """Raises Refused for a class or function that is not Keras's own, of which the file has the name alone.

    `layer` is the name of the layer that it is in.
    """
    if isinstance(config, dict):
        module, inner = str(config.get("module") or ""), config.get("config")
        layer = str(inner.get("name") or layer) if isinstance(inner, dict) else layer
        what, kind = f'"{layer}"' if layer else "the model", config.get("class_name")
        if kind == "function" and module == "builtins":
            raise Refused(f"{what} computes {inner}, a function that is none of Keras 3. Build it of built-in layers")
        if config.get("registered_name") and module.split(".")[0] not in ("keras", "builtins"):
            raise Refused(f"{what} is of the class {kind}, which is none of Keras 3. Build it of built-in layers")
    for one in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        refuse_foreign(one, layer)


def in_float32(keras: Any, model: Any, safe: bool) -> Any:
    """Returns the model, all of it in float32; raises Refused for a layer that Keras has quantised."""
    policies = {layer.name: layer.dtype_policy for layer in model._flatten_layers()}
    for name, policy in policies.items():
        if getattr(policy, "quantization_mode", None):
            raise Refused(f'"{name}" was quantised by Keras ({policy.name}). Give the float model that it was made of')
    if {policy.name for policy in policies.values()} == {"float32"}:
        return model
    config = _whole(keras.saving.serialize_keras_object(model))
    made = keras.saving.deserialize_keras_object(config, safe_mode=safe)
    made.set_weights(model.get_weights())
    return made


def _whole(config: Any) -> Any:
    """Returns settings in which every dtype of another width is float32."""
    if isinstance(config, list | tuple):
        return [_whole(one) for one in config]
    if not isinstance(config, dict):
        return config
    if str(config.get("class_name")).startswith("DTypePolicy"):
        return "float32"
    return {
        key: "float32" if key == "dtype" and str(one).removeprefix("b").startswith("float") else _whole(one)
        for key, one in config.items()
    }


def drawn(description: dict[str, Any], kind: str, random: np.random.Generator) -> list[np.ndarray]:
    """Returns a batch of random inputs of this kind for the described model."""
    counts = [layer["config"]["input_dim"] for layer in description["layers"] if layer["class"] == "Embedding"]
    made = []
    for one in description["inputs"]:
        batch, *sides = one["shape"]
        shape = [batch or _BATCH, *(side or _SIZE for side in sides)]
        dtype = np.dtype(one["dtype"].replace("bfloat16", "float32"))
        if dtype.kind == "b":
            array = random.integers(0, 2, shape)
        elif dtype.kind in "iu" or counts:
            array = random.integers(0, min([*counts, 128]), shape)
        else:
            array = random.normal(size=shape) if kind == "normal" else random.uniform(0, 1, shape)
            array = array * 255 if kind == "pixels" else array
        made.append(array.astype(dtype))
    return made


def answers(exporter: Exporter) -> Iterator[tuple[str, np.ndarray]]:
    """Yields random inputs, what the model and each of its calls answer to them, and how far rounding moves that.

    That is how far an answer moves where every input is the float32 beside it. Two programs round as they like: before
    a softmax of large numbers, such as pixels make in a model of inputs from 0 to 1, that shows.
    """
    random = np.random.default_rng(0)
    for kind in DRAWS:
        inputs = drawn(exporter.description, kind, random)
        for place, array in enumerate(inputs):
            yield f"input_{kind}_{place}", array
        moved = [_beside(array, random) for array in inputs]
        for (name, answer), (_, other) in zip(_said(exporter, kind, inputs), _said(exporter, kind, moved), strict=True):
            yield name, answer
            with np.errstate(invalid="ignore"):  # infinity less infinity
                difference = np.abs(answer.astype(np.float64) - other.astype(np.float64))
            yield f"rounding_{name}", np.nan_to_num(difference).max(initial=0.0)


def _beside(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the floats beside those in an array, above or below at random; whole numbers as they are."""
    if array.dtype.kind != "f":
        return array
    return np.nextafter(array, np.where(random.integers(0, 2, array.shape), np.inf, -np.inf).astype(array.dtype))


def _said(exporter: Exporter, kind: str, inputs: list[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Yields what the model answers to inputs of this kind, whole, and a sample of what each of its calls answers."""
    structure = exporter.keras.tree.pack_sequence_as(exporter.graph._inputs_struct, inputs)
    for place, answer in enumerate(exporter.keras.tree.flatten(exporter.model(structure, training=False))):
        yield f"output_{kind}_{place}", np.asarray(answer)
    for number, found in enumerate(exporter.replayed(inputs)):
        for place, answer in enumerate(found):
            yield f"call_{kind}_{number}_{place}", sampled(answer)


def sampled(answer: np.ndarray) -> np.ndarray:
    """Returns at most SAMPLE numbers of an array, at places that its size alone decides, and its extremes."""
    flat = answer.reshape(-1)
    chosen = np.linspace(0, flat.size - 1, min(flat.size, SAMPLE)).astype(np.int64)
    return np.concatenate([flat[chosen], [flat.min(), flat.max()]]).astype(np.float32)


def export(keras: Any, path: str, folder: Path, safe: bool) -> None:
    """Writes what is in the file at `path` into `folder`."""
    refuse_foreign(configured(path))
    # An HDF5 file names operations on tensors by their class alone, which Keras 3 itself does not find again.
    found = {} if zipfile.is_zipfile(path) else {one.__name__: _either(keras, one) for one in _operations(keras)}
    model = keras.saving.load_model(path, custom_objects=found, compile=False, safe_mode=safe)
    exporter = Exporter(keras, in_float32(keras, model, safe))
    np.savez(folder / "arrays.npz", **dict(exporter.weights()), **dict(answers(exporter)))
    (folder / "model.json").write_text(json.dumps(exporter.description | {"keras_version": keras.__version__}))


def main(seconds: int, safe: bool, jobs: list[tuple[str, str]]) -> None:
    """Exports one file after the other, each in at most this many seconds of a processor."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.TemporaryDirectory() as home:
        os.environ["KERAS_HOME"] = home  # a keras.json of the user's would change what is read
        import keras
    pages = int(Path("/proc/self/statm").read_text().split()[0]) + int(_MEMORY * os.sysconf("SC_PHYS_PAGES"))
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE"),) * 2)
    for path, folder in jobs:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, resource.RLIM_INFINITY))
        try:
            export(keras, path, Path(folder), safe)
        except Exception as error:
            why = str(error) if isinstance(error, Refused) else _line(error)
            told = {"why": _printable(why), "known": isinstance(error, Refused)}
            (Path(folder) / "refused.json").write_text(json.dumps(told))


if __name__ == "__main__":
    seconds, mode, *rest = sys.argv[1:]
    main(int(seconds), mode == "safe", list(zip(rest[::2], rest[1::2], strict=True)))
