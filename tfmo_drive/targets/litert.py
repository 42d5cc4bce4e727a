"""Converts for LiteRT (TensorFlow Lite): float32, float16, dynamic range, int8, partly int8, 16x8.

Types: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfmo_drive.contracts import Artifact, BadInput, Context
from tfmo_drive.conversion.tflite_target import Int8Target, TFLiteTarget, ranges_of
from tfmo_drive.runtimes.given_tflite import DYNAMIC, FLOAT16, FLOAT32, INT16, MIXED
from tfmo_drive.runtimes.interpreters import KERNELS, LiteRTArtifact, refuse_threads

if TYPE_CHECKING:
    from tfmo_drive.conversion.calibration import Ranges
    from tfmo_drive.conversion.freezing import Frozen


@dataclasses.dataclass(frozen=True)
class _LiteRT(TFLiteTarget):
    """Converts for LiteRT.

    Args:
        threads: The number of threads of the interpreter.
        kernels: "xnnpack" (LiteRT's default) or "reference" (its plain C++).
    """

    threads: int = 2
    kernels: str = "xnnpack"

    def __post_init__(self) -> None:
        kind = type(self).__name__
        refuse_threads(self)
        if self.kernels not in KERNELS:
            raise BadInput(f'{kind}.kernels must be one of {", ".join(KERNELS)}, got "{self.kernels}".')

    def _opened(self, path: Path) -> Artifact:
        return LiteRTArtifact(path, self.name, self.threads, self.kernels)


@dataclasses.dataclass(frozen=True)
class LiteRTFloat32(_LiteRT):
    """Keeps everything in float32: the reference row.

    Example:
        >>> import tfmo_drive as td
        >>> td.LiteRTFloat32(threads=1).name
        'litert_float32'
    """

    name: ClassVar[str] = "litert_float32"

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.conversion import conversion

        return conversion.float32(frozen)


@dataclasses.dataclass(frozen=True)
class LiteRTFloat16(_LiteRT):
    """Stores constants in float16, half the bytes; arithmetic is in float32 where the processor has no float16.

    Example:
        >>> import tfmo_drive as td
        >>> td.LiteRTFloat16().name
        'litert_float16'
    """

    name: ClassVar[str] = "litert_float16"
    takes: ClassVar[tuple[str, ...]] = (FLOAT32, FLOAT16)

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.conversion import conversion

        return conversion.float16(frozen)


@dataclasses.dataclass(frozen=True)
class LiteRTDynamic(_LiteRT):
    """Stores int8 weights and quantises activations while running; it needs no calibration images.

    Example:
        >>> import tfmo_drive as td
        >>> td.LiteRTDynamic().name
        'litert_dynamic'
    """

    name: ClassVar[str] = "litert_dynamic"
    takes: ClassVar[tuple[str, ...]] = (FLOAT32, DYNAMIC)

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.conversion import conversion

        return conversion.dynamic(frozen)


@dataclasses.dataclass(frozen=True)
class LiteRTInt8(Int8Target, _LiteRT):
    """Computes in integers throughout: what most boards run fastest.

    Example:
        >>> import tfmo_drive as td
        >>> td.LiteRTInt8(calibration_images=200).name
        'litert_int8'
    """

    name: ClassVar[str] = "litert_int8"

    def __post_init__(self) -> None:
        _LiteRT.__post_init__(self)
        Int8Target.__post_init__(self)


@dataclasses.dataclass(frozen=True)
class LiteRTMixed(_LiteRT):
    """Computes in int8 but for the worst layers, which stay in float32: int8 in, float32 out.

    The file's metadata and its row say which layers, and why.

    Args:
        calibration_images: The number of train images from which ranges, errors and decisions come.
        calibration: "minmax", "percentile" or "mse", as for LiteRTInt8.
        percentile: The percent of values within a range by "percentile", in (50, 100].
        drop: The largest share of the images, in [0, 1], that may be decided otherwise than in float; the fewest layers
            under which that holds stay in float.

    Example:
        >>> import tfmo_drive as td
        >>> td.LiteRTMixed(drop=0.005).name
        'litert_mixed'
    """

    calibration_images: int = 100
    calibration: str = "minmax"
    percentile: float = 99.99
    drop: float = 0.01

    name: ClassVar[str] = "litert_mixed"
    takes: ClassVar[tuple[str, ...]] = (FLOAT32, MIXED)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._ranges()
        if not 0 <= self.drop < 1:
            raise BadInput(f"LiteRTMixed.drop must be in [0, 1), got {self.drop}.")

    def _ranges(self) -> Ranges:
        return ranges_of(self, self.calibration_images, self.calibration, self.percentile)

    def _tried(self, frozen: Frozen, images: np.ndarray) -> bytes:
        """Returns the file with no layer in float by choice: which they are is for the trained weights to say."""
        from tfmo_drive.conversion import conversion

        calibrated = conversion.calibrated(frozen, images, self._ranges())
        return conversion.taking_raw(conversion.partly_quantized(calibrated, frozen, ()), frozen)

    def _made(self, frozen: Frozen, context: Context) -> tuple[bytes, dict[str, Any]]:
        from tfmo_drive.runtimes import tflite_file
        from tfmo_drive.targets import selective

        images = context.calibration(self.calibration_images)
        found = selective.mixed(frozen, images, self._ranges(), self.drop)
        worst = [{"layer": error.layer, "sqnr_db": round(error.sqnr_db, 2)} for error in found.worst]
        feeding = [tflite_file.layer_name(tensor) for tensor in found.feeding]
        said = {"worst": worst, "feeding": feeding, "of": found.layers, "agreement": found.agreement}
        return found.content, {"float_layers": said}


@dataclasses.dataclass(frozen=True)
class LiteRTInt16x8(_LiteRT):
    """Stores int8 weights and computes with int16 activations: near-float scores at int8's size, on slow kernels.

    They take about 40 times as long as int8 here.

    Args:
        calibration_images: The number of train images from which activation ranges come.

    Example:
        >>> import tfmo_drive as td
        >>> td.LiteRTInt16x8().name
        'litert_int16x8'
    """

    calibration_images: int = 100

    name: ClassVar[str] = "litert_int16x8"
    takes: ClassVar[tuple[str, ...]] = (FLOAT32, INT16)

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges_of(self, self.calibration_images)

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.conversion import conversion

        return conversion.int16x8(frozen, context.calibration(self.calibration_images))
