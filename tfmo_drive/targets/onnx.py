"""Converts to ONNX through tf2onnx, run by onnxruntime: float32, and QDQ int8 made from the int8 `.tflite`.

QDQ: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html . The int8 file goes through LiteRT's
because tf2onnx leaves the weights of a quantize-aware Keras graph in float.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tfmo_drive.contracts import Arrays, Artifact, BadInput, Context, Target
from tfmo_drive.conversion.tflite_target import Sampled, converting, ranges_of, refuses_file
from tfmo_drive.runtimes import artifact_metadata, onnx_file
from tfmo_drive.runtimes.given_tflite import FLOAT32, INT8
from tfmo_drive.runtimes.interpreters import OnnxArtifact, refuse_threads

if TYPE_CHECKING:
    import tf_keras as keras

    from tfmo_drive.conversion.freezing import Frozen


@dataclasses.dataclass(frozen=True)
class _Onnx(Target):
    """Converts to ONNX.

    Args:
        threads: The number of threads of the runtime.
    """

    threads: int = 2

    def __post_init__(self) -> None:
        refuse_threads(self)

    def __call__(self, model: keras.Model, folder: Path, context: Context) -> Artifact:
        from tfmo_drive.conversion.freezing import freeze

        if reason := self.refuses(model):
            raise BadInput(reason)
        with converting(self.name, model.name):
            frozen = freeze(model, context.task.preprocessing)
            content = self._convert(frozen, context)
        path = Path(folder) / "model.onnx"
        metadata = artifact_metadata.describe(
            context.task.metadata(model), self.name, onnx_file.signature(content), frozen.quantize_aware
        )
        artifact_metadata.save(path, content, metadata)
        return OnnxArtifact(path, self.name, self.threads)

    def trial(self, frozen: Frozen, images: Arrays, folder: Path) -> None:
        with converting(self.name, frozen.name):
            (folder / "model.onnx").write_bytes(self._convert(frozen, Sampled(images)))

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        raise NotImplementedError(f"{type(self).__name__} does not say how it converts.")


@dataclasses.dataclass(frozen=True)
class OnnxFloat32(_Onnx):
    """Keeps everything in float32.

    Example:
        >>> import tfmo_drive as td
        >>> td.OnnxFloat32().name
        'onnx_float32'
    """

    name: ClassVar[str] = "onnx_float32"

    def refuses(self, model: keras.Model) -> str | None:
        from tfmo_drive.networks.fake_quant import is_quantize_aware

        if is_quantize_aware(model):
            return f"{self.name} does not take a quantize-aware model: its ranges are int8's. Use OnnxInt8."
        return refuses_file(self.name, model, (FLOAT32,))

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.conversion import conversion

        return conversion.onnx_float32(frozen)


@dataclasses.dataclass(frozen=True)
class OnnxInt8(_Onnx):
    """Stores int8 weights and activations as QuantizeLinear/DequantizeLinear, with the numbers of the int8 `.tflite`.

    On x86 without VNNI, sums of two products saturate in 16 bits, so the same file may score lower there:
    https://docs.openvino.ai/latest/pot_saturation_issue.html . Evaluate it on a processor like the board's.

    Args:
        calibration_images: The number of train images from which activation ranges come.

    Example:
        >>> import tfmo_drive as td
        >>> td.OnnxInt8().name
        'onnx_int8'
    """

    calibration_images: int = 100

    name: ClassVar[str] = "onnx_int8"
    integer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges_of(self, self.calibration_images)

    def refuses(self, model: keras.Model) -> str | None:
        return refuses_file(self.name, model, (FLOAT32, INT8))

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.conversion import conversion

        if frozen.computes == INT8:
            return conversion.onnx_of(conversion.given(frozen), frozen.outputs)
        images = None if frozen.quantize_aware else context.calibration(self.calibration_images)
        return conversion.onnx_of(conversion.int8(frozen, images), frozen.outputs)
