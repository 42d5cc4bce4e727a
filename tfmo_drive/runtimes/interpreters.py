"""Opens model files in the runtime that ships: LiteRT for `.tflite`, onnxruntime for `.onnx`, without TensorFlow.

Files keep batch 1, which is what a board runs, so batches are loops, as many at once as there are threads.
"""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from tfmo_drive.base.given_file import reading
from tfmo_drive.base.outputs import by_name, each
from tfmo_drive.contracts import Arrays, Artifact, BadInput
from tfmo_drive.runtimes import artifact_metadata, onnx_file, tflite_file

KERNELS = ("xnnpack", "reference")
"""The kernels that LiteRT can be asked for."""
_MOST_THREADS = 1024
"""The largest number of threads, each of which takes memory before the first inference."""


def refuse_threads(target: object) -> None:
    """Raises BadInput where a target's `threads` is no number of threads that a runtime can be asked for."""
    count, kind = target.threads, type(target).__name__
    if not 1 <= count <= _MOST_THREADS:
        bound = "at least 1" if count < 1 else f"at most {_MOST_THREADS}"
        raise BadInput(f"{kind}.threads must be {bound}, got {count}.")


class Entry(NamedTuple):
    """Describes an input of a file."""

    name: str
    shape: tuple[int, ...]
    """With the batch."""
    scale: float
    """0 where the file takes real numbers."""
    zero_point: int
    dtype: type


class FileArtifact(Artifact):
    """Runs a model file, which takes raw inputs [b, ...] and gives its outputs by name."""

    _contents: ModuleType
    """The module that reads what files of this format hold."""

    @functools.cached_property
    @abc.abstractmethod
    def entries(self) -> tuple[Entry, ...]:
        """Returns the file's inputs, in its own order."""

    @abc.abstractmethod
    def outputs(self, batch: Arrays) -> dict[str, np.ndarray]:
        """Returns float32 outputs [b, ...] for raw inputs [b, ...], by name, dequantised with the file's own scales."""

    def predict(self, batch: Arrays) -> Arrays:
        return by_name(*zip(*self.outputs(batch).items(), strict=True))

    def weights(self) -> dict[str, np.ndarray]:
        return self._contents.weights(self.path)

    def macs(self) -> int:
        return self._contents.macs(self.path)

    @functools.cached_property
    def _raw_dtypes(self) -> list[str]:
        """Returns the types of raw inputs: what the metadata says, else float32 of rows and uint8 of images."""
        facts = {}
        with contextlib.suppress(BadInput):  # a file of another maker says nothing
            facts = artifact_metadata.inputs(artifact_metadata.read(self.path))
        kinds = [facts.get(entry.name, {}).get("dtype") for entry in self.entries]
        return [kind or ("float32" if len(entry.shape) == 2 else "uint8")
                for kind, entry in zip(kinds, self.entries, strict=True)]  # fmt: skip

    def fed(self, batch: Arrays) -> list[np.ndarray]:
        """Returns raw inputs [b, ...] as the file holds them, in its order.

        Raises BadInput for a batch that it does not take: of other names, of another shape or another type.
        """
        if isinstance(batch, Mapping):
            wanted = [entry.name for entry in self.entries]
            if set(batch) != set(wanted):
                raise BadInput(f"{self.path.name} takes {', '.join(wanted)}, got {', '.join(batch)}.")
            given = [batch[name] for name in wanted]
        else:
            given = [batch]
        if len(given) != len(self.entries):
            wanted = ", ".join(entry.name for entry in self.entries)
            raise BadInput(f"{self.path.name} takes several inputs, {wanted}, got one. Give them by name.")
        for entry, one, dtype in zip(self.entries, given, self._raw_dtypes, strict=True):
            self._refuse_other_input(entry, one, dtype)
        return [stored(one, *entry[2:]) for entry, one in zip(self.entries, given, strict=True)]

    def _refuse_other_input(self, entry: Entry, batch: np.ndarray, dtype: str) -> None:
        shape = entry.shape[1:]
        if batch.dtype == dtype and batch.shape[1:] == shape:
            return
        sides = " x ".join(map(str, shape))
        if len(shape) == 1:
            wanted = f"rows of {sides} numbers"
            advice = "Give the columns that the file's metadata names, in its order"
        elif dtype == "uint8":
            wanted, advice = f"images of {sides} pixels", "Resize them by the rule in the file's metadata"
        else:
            wanted, advice = f"inputs of {sides} numbers", "Give the model's own inputs"
        name = self.path.name if len(self.entries) == 1 else f"{self.path.name}, {entry.name}:"
        raise BadInput(f"{name} takes {dtype} {wanted}, got {batch.dtype} {batch.shape[1:]}. {advice}, raw.")


class LiteRTArtifact(FileArtifact):
    """Runs a `.tflite` file.

    Args:
        path: The file.
        name: The name of its target.
        threads: The number of threads of one inference.
        kernels: One of KERNELS: "xnnpack" (LiteRT's default) or "reference" (its plain C++).
    """

    _contents = tflite_file

    def __init__(self, path: Path, name: str = "litert", threads: int = 2, kernels: str = "xnnpack") -> None:
        self.path, self.name, self.threads, self.kernels = Path(path), name, threads, kernels

    @property
    def runtime(self) -> str:
        """Returns the name of the kernels that really run.

        Integer types that XNNPACK does not take fall back to LiteRT's built-in ones.
        """
        if self.kernels == "reference":
            return "litert reference"
        taken = any(detail["op_name"] == "DELEGATE" for detail in self._interpreter._get_ops_details())
        return "litert xnnpack" if taken else "litert builtin"

    @functools.cached_property
    def _interpreter(self):
        return self._opened(self.threads)

    @functools.cached_property
    def _workers(self) -> list:
        """Returns one interpreter of a single thread for each thread.

        Their answers are the same, and two images at a time are faster than one on two threads.
        """
        return [self._opened(1) for _ in range(self.threads)] if self.threads > 1 else [self._interpreter]

    def _opened(self, threads: int):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = OpResolverType.BUILTIN_REF if self.kernels == "reference" else OpResolverType.AUTO
        with reading(self.path, "a TensorFlow Lite model"):
            interpreter = Interpreter(
                model_path=str(self.path), num_threads=threads, experimental_op_resolver_type=resolver
            )
            interpreter.allocate_tensors()
        return interpreter

    @functools.cached_property
    def entries(self) -> tuple[Entry, ...]:
        details = self._interpreter.get_input_details()
        shapes = [tuple(int(size) for size in detail["shape"]) for detail in details]
        return tuple(
            Entry(detail["name"], shape, *detail["quantization"], detail["dtype"])
            for detail, shape in zip(details, shapes, strict=True)
        )

    def held(self, batch: Arrays) -> dict[str, np.ndarray]:
        """Returns the outputs [b, ...] for raw inputs [b, ...], by name, in the file's own types (integers)."""
        fed, details = self.fed(batch), self._interpreter.get_output_details()
        count = len(fed[0])
        found = [np.empty((count, *detail["shape"][1:]), detail["dtype"]) for detail in details]

        def run(worker: int) -> None:
            interpreter = self._workers[worker]
            for place in range(worker, count, len(self._workers)):
                self._put(interpreter, [one[place : place + 1] for one in fed])
                interpreter.invoke()
                for values, detail in zip(found, details, strict=True):
                    values[place] = interpreter.get_tensor(detail["index"])[0]

        with ThreadPoolExecutor(len(self._workers)) as threads:  # an interpreter lets go of Python while it runs
            list(threads.map(run, range(len(self._workers))))
        return {detail["name"]: values for values, detail in zip(found, details, strict=True)}

    def outputs(self, batch: Arrays) -> dict[str, np.ndarray]:
        scales = {detail["name"]: detail["quantization"] for detail in self._interpreter.get_output_details()}
        return {name: real(values, *scales[name]) for name, values in self.held(batch).items()}

    def runner(self, example: Arrays, threads: int | None = None) -> Callable[[], None]:
        """Returns a function that runs one inference.

        On another number of threads than 1 and its own, an interpreter of its own lives as long as what is returned.
        """
        if threads in (None, self.threads):
            interpreter = self._interpreter
        else:
            interpreter = self._workers[0] if threads == 1 else self._opened(threads)
        self._put(interpreter, self.fed(each(lambda one: one[None], example)))
        return interpreter.invoke

    def _put(self, interpreter, fed: list[np.ndarray]) -> None:
        for place, one in zip(self._places, fed, strict=True):
            interpreter.set_tensor(place, one)

    @functools.cached_property
    def _places(self) -> list[int]:
        return [detail["index"] for detail in self._interpreter.get_input_details()]


class OnnxArtifact(FileArtifact):
    """Runs an `.onnx` file on onnxruntime's CPU provider."""

    _contents = onnx_file
    runtime = "onnxruntime"

    def __init__(self, path: Path, name: str = "onnx", threads: int = 2) -> None:
        self.path, self.name, self.threads = Path(path), name, threads

    @functools.cached_property
    def _session(self):
        return self._opened(self.threads)

    def _opened(self, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        with reading(self.path, "a model that onnxruntime can run"):
            return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    @functools.cached_property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(
            Entry(entry.name, tuple(entry.shape), *self._quantization(entry), _onnx_dtype(entry.type))
            for entry in self._session.get_inputs()
        )

    def outputs(self, batch: Arrays) -> dict[str, np.ndarray]:
        results = [self._session.run(None, one) for one in self._feeds(batch)]
        found = {}
        for i, entry in enumerate(self._session.get_outputs()):
            values = _stack([result[i][0] for result in results], entry.shape[1:], _onnx_dtype(entry.type))
            found[entry.name] = real(values, *self._quantization(entry))
        return found

    def runner(self, example: Arrays, threads: int | None = None) -> Callable[[], None]:
        """Returns a function that runs one inference.

        On another number of threads than its own, a session of its own lives as long as what is returned.
        """
        session = self._session if threads in (None, self.threads) else self._opened(threads)
        (feed,) = self._feeds(each(lambda one: one[None], example))
        return lambda: session.run(None, feed)

    def _feeds(self, batch: Arrays) -> list[dict[str, np.ndarray]]:
        """Returns what the session takes of each example."""
        names, fed = [entry.name for entry in self.entries], self.fed(batch)
        return [{name: one[place : place + 1] for name, one in zip(names, fed, strict=True)}
                for place in range(len(fed[0]))]  # fmt: skip

    def _quantization(self, entry) -> tuple[float, int]:
        return (0.0, 0) if entry.type == "tensor(float)" else self._scales[entry.name]

    @functools.cached_property
    def _scales(self) -> dict[str, tuple[float, int]]:
        return onnx_file.quantization(self.path)


def load(path: Path, threads: int = 2) -> LiteRTArtifact | OnnxArtifact:
    """Returns the file opened in the class for its suffix; raises BadInput for another suffix."""
    kinds = {".tflite": LiteRTArtifact, ".onnx": OnnxArtifact}
    if Path(path).suffix not in kinds:
        raise BadInput(f"{path} is neither .tflite nor .onnx. Give a model file that tfmo_drive wrote.")
    return kinds[Path(path).suffix](path, threads=threads)


def stored(raw: np.ndarray, scale: float, zero_point: int, dtype: type) -> np.ndarray:
    """Returns numbers as a file's type holds them: a pixel is `pixel - 128` where scale is 1 and zero point -128."""
    if scale == 0:
        return raw.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(raw / np.float32(scale)) + zero_point, limits.min, limits.max).astype(dtype)


def real(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Returns float32 numbers from those that a file's type holds; with scale 0 they are the numbers themselves."""
    values = values.astype(np.float32)
    return (values - np.float32(zero_point)) * np.float32(scale) if scale else values


def _stack(values: list[np.ndarray], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.stack(values) if values else np.zeros((0, *shape), dtype)


def _onnx_dtype(kind: str) -> type:
    return {"tensor(float)": np.float32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}[kind]
