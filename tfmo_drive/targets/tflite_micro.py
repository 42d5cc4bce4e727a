"""Converts for TensorFlow Lite Micro: int8 on microcontrollers, evaluated in the micro interpreter itself.

Kernels: https://github.com/tensorflow/tflite-micro/tree/main/tensorflow/lite/micro/kernels . RAM is one arena, which
the application gives: tensorflow/lite/micro/docs/memory_management.md, there. Its latency here is that of its plain
kernels on this processor and says nothing of a board's.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from tfmo_drive.contracts import Artifact
from tfmo_drive.conversion.tflite_target import Int8Target
from tfmo_drive.runtimes import tflite_file
from tfmo_drive.runtimes.micro import MicroArtifact


@dataclasses.dataclass(frozen=True)
class TFLiteMicro(Int8Target):
    """Converts to int8 for microcontrollers.

    Its row has `arena_bytes`, the RAM that the interpreter takes, and `operators`, which a resolver must know.

    Example:
        >>> import tfmo_drive as td
        >>> td.TFLiteMicro().name
        'tflite_micro'
    """

    name: ClassVar[str] = "tflite_micro"

    def _opened(self, path: Path) -> Artifact:
        artifact = MicroArtifact(path, self.name)
        artifact.notes = {"arena_bytes": artifact.arena["total"], "operators": dict(tflite_file.operators(path))}
        return artifact
