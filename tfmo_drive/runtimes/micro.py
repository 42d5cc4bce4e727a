"""Runs a `.tflite` file in TensorFlow Lite Micro's own interpreter, as a microcontroller does, without TensorFlow.

https://github.com/tensorflow/tflite-micro . Its kernels are plain C++ and give the integers of LiteRT's reference
kernels, but for FULLY_CONNECTED, which differs by one now and then (`tfmo-drive ledger` counts how often).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tfmo_drive.base.outputs import each
from tfmo_drive.contracts import Arrays, BadInput
from tfmo_drive.runtimes import tflite_file
from tfmo_drive.runtimes.interpreters import Entry, FileArtifact, real

_ARENA = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_ARENA_LIMIT = 512 * 2**20
"""The bytes that the interpreter may ask for, of which it takes what it needs."""


class MicroArtifact(FileArtifact):
    """Runs a `.tflite` file, one example at a time, on one thread."""

    _contents = tflite_file
    runtime = "tflite micro"
    threads = 1

    def __init__(self, path: Path, name: str = "tflite_micro") -> None:
        self.path, self.name = Path(path), name

    @functools.cached_property
    def _graph(self) -> tflite_file.Graph:
        return tflite_file.read(self.path)

    @functools.cached_property
    def _interpreter(self):
        try:
            from tflite_micro.python.tflite_micro import runtime
        except ImportError:
            raise BadInput(
                "TensorFlow Lite Micro is not installed. Type: pip install --pre tflite-micro (Linux, x86-64)."
            ) from None
        content = self.path.read_bytes()
        try:
            with _chatter() as said:
                return runtime.Interpreter.from_bytes(content, arena_size=_ARENA_LIMIT)
        except RuntimeError as error:
            why = next((line.strip() for line in said if line.strip()), str(error))
            raise BadInput(f"{self.path} does not run on TensorFlow Lite Micro: {why[:200]}") from None

    @functools.cached_property
    def arena(self) -> dict[str, int]:
        """Returns the bytes of RAM that the interpreter takes, as its allocator counts them after an inference.

        They are "total", of these "head" (activations, shared by layers that are never live at once) and "tail" (what
        stays).
        """
        interpreter = self._interpreter
        for number, end in enumerate(self._graph.inputs):
            interpreter.set_input(np.zeros(end.shape, end.dtype.lower()), number)
        with _chatter() as said:
            interpreter.invoke()
            interpreter.print_allocations()
        return {part: int(count) for part, count in _ARENA.findall("\n".join(said))}

    @functools.cached_property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(
            Entry(end.name, end.shape, *_scale(end), np.dtype(end.dtype.lower()).type) for end in self._graph.inputs
        )

    def held(self, batch: Arrays) -> dict[str, np.ndarray]:
        """Returns the outputs [b, ...] for raw inputs [b, ...], by name, in the file's own types (integers)."""
        fed, interpreter = self.fed(batch), self._interpreter
        count = len(fed[0])
        found = {end.name: np.empty((count, *end.shape[1:]), end.dtype.lower()) for end in self._graph.outputs}
        for place in range(count):
            self._put([one[place : place + 1] for one in fed])
            interpreter.invoke()
            for number, values in enumerate(found.values()):
                values[place] = interpreter.get_output(number)[0]
        return found

    def outputs(self, batch: Arrays) -> dict[str, np.ndarray]:
        found = self.held(batch)
        return {end.name: real(found[end.name], *_scale(end)) for end in self._graph.outputs}

    def runner(self, example: Arrays, threads: int | None = None) -> Callable[[], None] | None:
        if threads not in (None, self.threads):
            return None
        self._put(self.fed(each(lambda one: one[None], example)))
        return self._interpreter.invoke

    def _put(self, fed: list[np.ndarray]) -> None:
        for number, one in enumerate(fed):
            self._interpreter.set_input(one, number)


def _scale(end: tflite_file.Tensor) -> tuple[float, int]:
    return (float(end.scale[0]), int(end.zero_point[0])) if end.scale.any() else (0.0, 0)


@contextlib.contextmanager
def _chatter() -> Iterator[list[str]]:
    """Keeps the lines that C++ writes meanwhile from the terminal; the list that it yields holds them afterwards."""
    said: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile() as heard:
        try:
            os.dup2(heard.fileno(), 2)
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            heard.seek(0)
            said += heard.read().decode(errors="replace").splitlines()
