"""LiteRT (TensorFlow Lite) targets: float32, float16, dynamic range, full int8, int16 activations with int8 weights.

Types: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tfmo_drive.contracts import Artifact, BadInput, Context, Target
from tfmo_drive.core import artifact_metadata, tflite_file
from tfmo_drive.core.interpreters import KERNELS, LiteRTArtifact

if TYPE_CHECKING:
    import tf_keras as keras

    from tfmo_drive.core.freezing import Frozen


@dataclasses.dataclass(frozen=True)
class _LiteRT(Target):
    threads: int = 2
    kernels: str = "xnnpack"

    integer: ClassVar[bool] = False

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.threads < 1:
            raise BadInput(f"{kind}.threads must be at least 1, got {self.threads}.")
        if self.kernels not in KERNELS:
            raise BadInput(f'{kind}.kernels must be one of {", ".join(KERNELS)}, got "{self.kernels}".')
        if getattr(self, "calibration_images", 1) < 1:
            raise BadInput(f"{kind}.calibration_images must be at least 1, got {self.calibration_images}.")

    def refuses(self, model: keras.Model) -> str | None:
        from tfmo_drive.core.fake_quant import is_quantize_aware

        if not self.integer and is_quantize_aware(model):
            return f"{self.name} does not take a quantize-aware model: its ranges are int8's. Use LiteRTInt8."
        return None

    def __call__(self, model: keras.Model, folder: Path, context: Context) -> Artifact:
        from tfmo_drive.core.freezing import freeze

        if reason := self.refuses(model):
            raise BadInput(reason)
        frozen = freeze(model, context.task.preprocessing)
        content = self._convert(frozen, context)
        if self.integer and (floating := tflite_file.float_operators(content)):
            raise BadInput(
                f"{self.name} must be integer throughout, but {dict(floating)} compute in float. "
                "Quantize those layers too, or use LiteRTDynamic."
            )
        path = Path(folder) / "model.tflite"
        metadata = artifact_metadata.describe(
            context.task.metadata(model), self.name, tflite_file.ends(content), frozen.quantize_aware
        )
        artifact_metadata.save(path, content, metadata)
        return LiteRTArtifact(path, self.name, self.threads, self.kernels)

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        raise NotImplementedError(f"{type(self).__name__} does not say how it converts.")


@dataclasses.dataclass(frozen=True)
class LiteRTFloat32(_LiteRT):
    """Everything in float32: the reference row."""

    name: ClassVar[str] = "litert_float32"

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.core import conversion

        return conversion.float32(frozen)


@dataclasses.dataclass(frozen=True)
class LiteRTFloat16(_LiteRT):
    """Constants in float16, half the bytes; arithmetic in float32 where the processor has no float16."""

    name: ClassVar[str] = "litert_float16"

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.core import conversion

        return conversion.float16(frozen)


@dataclasses.dataclass(frozen=True)
class LiteRTDynamic(_LiteRT):
    """int8 weights, activations quantized while running; needs no calibration images."""

    name: ClassVar[str] = "litert_dynamic"

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.core import conversion

        return conversion.dynamic(frozen)


@dataclasses.dataclass(frozen=True)
class LiteRTInt8(_LiteRT):
    """Integer throughout, int8 in (`pixel - 128`) and out; a quantize-aware model brings its own ranges."""

    calibration_images: int = 100

    name: ClassVar[str] = "litert_int8"
    integer: ClassVar[bool] = True

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.core import conversion

        images = None if frozen.quantize_aware else context.calibration(self.calibration_images)
        return conversion.int8(frozen, images)


@dataclasses.dataclass(frozen=True)
class LiteRTInt16x8(_LiteRT):
    """int16 activations, int8 weights: near-float scores at int8's size, on slow kernels (about 40 x int8 here)."""

    calibration_images: int = 100

    name: ClassVar[str] = "litert_int16x8"

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.core import conversion

        return conversion.int16x8(frozen, context.calibration(self.calibration_images))
