"""LiteRT (TensorFlow Lite) targets: float32, float16, dynamic range, full int8, int16 activations with int8 weights.

Types: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfmo_drive.contracts import Artifact, BadInput, Context, Target
from tfmo_drive.core import artifact_metadata, tflite_file
from tfmo_drive.core.calibration import METHODS, Ranges
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
        if getattr(self, "calibration", "minmax") not in METHODS:
            raise BadInput(f"{kind}.calibration must be one of {', '.join(METHODS)}, got {self.calibration!r}.")
        if not 50 < getattr(self, "percentile", 100) <= 100:
            raise BadInput(f"{kind}.percentile must be in (50, 100], got {self.percentile}.")
        if not 0 <= getattr(self, "drop", 0) < 1:
            raise BadInput(f"{kind}.drop must be in [0, 1), got {self.drop}.")

    def refuses(self, model: keras.Model) -> str | None:
        from tfmo_drive.core.fake_quant import is_quantize_aware

        if not self.integer and is_quantize_aware(model):
            return f"{self.name} does not take a quantize-aware model: its ranges are int8's. Use LiteRTInt8."
        return None

    def __call__(self, model: keras.Model, folder: Path, context: Context) -> Artifact:
        from tfmo_drive.core.freezing import freeze

        if reason := self.refuses(model):
            raise BadInput(reason)
        content, notes = self._made(freeze(model, context.task.preprocessing), context)
        if self.integer and (floating := tflite_file.float_operators(content)):
            raise BadInput(
                f"{self.name} must be integer throughout, but {dict(floating)} compute in float. "
                "Quantize those layers too, or use LiteRTDynamic."
            )
        path = Path(folder) / "model.tflite"
        task = {**context.task.metadata(model), **notes}
        artifact_metadata.save(path, content, artifact_metadata.describe(task, self.name, tflite_file.ends(content)))
        artifact = LiteRTArtifact(path, self.name, self.threads, self.kernels)
        artifact.notes = notes
        return artifact

    def _made(self, frozen: Frozen, context: Context) -> tuple[bytes, dict[str, Any]]:
        """The file's bytes, and what was decided on the way (JSON types)."""
        return self._convert(frozen, context), {}

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
    """Integer throughout, int8 in (`pixel - 128`) and out; a quantize-aware model brings its own ranges.

    `calibration`: "minmax" (all that was seen), "percentile" (all but the outermost) or "mse" (least squared error).
    """

    calibration_images: int = 100
    calibration: str = "minmax"
    percentile: float = 99.99

    name: ClassVar[str] = "litert_int8"
    integer: ClassVar[bool] = True

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.core import conversion

        images = None if frozen.quantize_aware else context.calibration(self.calibration_images)
        return conversion.int8(frozen, images, Ranges(self.calibration, self.percentile))


@dataclasses.dataclass(frozen=True)
class LiteRTMixed(_LiteRT):
    """int8 but for the worst layers in float32, the fewest under which at most `drop` of the calibration images is
    decided otherwise than in float. int8 in, float32 out. Its metadata and its row say which layers, and why."""

    calibration_images: int = 100
    calibration: str = "minmax"
    percentile: float = 99.99
    drop: float = 0.01

    name: ClassVar[str] = "litert_mixed"

    def _made(self, frozen: Frozen, context: Context) -> tuple[bytes, dict[str, Any]]:
        from tfmo_drive.core import layer_errors, selective

        images = context.calibration(self.calibration_images)
        found = selective.mixed(frozen, images, Ranges(self.calibration, self.percentile), self.drop)
        worst = [{"layer": error.layer, "sqnr_db": round(error.sqnr_db, 2)} for error in found.worst]
        feeding = [layer_errors.layer_name(tensor) for tensor in found.feeding]
        said = {"worst": worst, "feeding": feeding, "of": found.layers, "agreement": found.agreement}
        return found.content, {"float_layers": said}


@dataclasses.dataclass(frozen=True)
class LiteRTInt16x8(_LiteRT):
    """int16 activations, int8 weights: near-float scores at int8's size, on slow kernels (about 40 x int8 here)."""

    calibration_images: int = 100

    name: ClassVar[str] = "litert_int16x8"

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.core import conversion

        return conversion.int16x8(frozen, context.calibration(self.calibration_images))
