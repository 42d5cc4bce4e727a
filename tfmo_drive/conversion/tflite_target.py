"""Holds what all targets whose artifact is, or is made from, a `.tflite` file share.

They convert, check, describe, save and open it.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfmo_drive.base.given_file import reason
from tfmo_drive.contracts import Arrays, Artifact, BadInput, Context, Target
from tfmo_drive.conversion.calibration import METHODS, Ranges
from tfmo_drive.runtimes import artifact_metadata, tflite_file
from tfmo_drive.runtimes.given_tflite import FLOAT32, INT8

if TYPE_CHECKING:
    import tf_keras as keras

    from tfmo_drive.conversion.freezing import Frozen


_UNKNOWN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
"""What TensorFlow's converter says, among lines of source code, of each operator that TensorFlow Lite lacks."""


@contextlib.contextmanager
def converting(target: str, model: str) -> Iterator[None]:
    """Turns what a converter raises for layers that it cannot take into one BadInput.

    Use it around freezing and converting. Converters raise errors of many kinds, whose texts may hold a whole graph.
    """
    try:
        yield
    except (BadInput, OSError, MemoryError):
        raise
    except Exception as error:
        raise BadInput(
            f"{target}: the converter cannot take {model}: {_why(error)}. Replace the layer that it names, or "
            "use another target."
        ) from error


def _why(error: Exception) -> str:
    """Returns what a converter says in one line; of operators that a file cannot have, their names alone."""
    unknown = dict.fromkeys(_UNKNOWN.findall(str(error)))
    return f"TensorFlow Lite has no operator {', '.join(unknown)}" if unknown else reason(error)


def refuses_file(target: str, model: keras.Model, takes: tuple[str, ...]) -> str | None:
    """Returns why a target cannot be made of a model that is a `.tflite`, or None where it can, or is another model.

    Args:
        target: The target's name.
        model: The model.
        takes: What such a file may compute in.
    """
    from tfmo_drive.runtimes import tflite_model

    file = tflite_model.file_of(model)
    if file is None or file.computes in takes:
        return None
    return (
        f"{target} cannot be made of {file.name}, which is {file.computes} already. Give the float model that it was "
        "made from."
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Sampled:
    """Stands for the context of a trial, which has raw inputs [n, ...] and no task."""

    inputs: Arrays

    def calibration(self, count: int) -> Arrays:
        """Returns all of them, however many are asked for."""
        return self.inputs


class TFLiteTarget(Target):
    """Converts a model to a `.tflite` file, checks it, writes its metadata and opens it."""

    integer: ClassVar[bool] = False
    """Whether the file must compute in integers throughout."""
    takes: ClassVar[tuple[str, ...]] = (FLOAT32,)
    """What a `.tflite` may compute in that is given in place of a model: such a file as is made here is taken as is."""

    def refuses(self, model: keras.Model) -> str | None:
        from tfmo_drive.networks.fake_quant import is_quantize_aware

        if not self.integer and is_quantize_aware(model):
            return f"{self.name} does not take a quantize-aware model: its ranges are int8's. Use LiteRTInt8."
        return refuses_file(self.name, model, self.takes)

    def __call__(self, model: keras.Model, folder: Path, context: Context) -> Artifact:
        from tfmo_drive.conversion.freezing import freeze

        if refused := self.refuses(model):
            raise BadInput(refused)
        with converting(self.name, model.name):
            frozen = freeze(model, context.task.preprocessing)
            content, notes = self._file(frozen, context)
        self._refuse_floats(content, frozen)
        if self.integer and (vanishing := tflite_file.vanishing(content)):
            raise BadInput(
                f"{self.name}: {vanishing[0]} is always 0, whatever the input, and TensorFlow Lite cannot load such a "
                "file. Its ReLU died in training: lower learning_rate, or train longer."
            )
        path = Path(folder) / "model.tflite"
        task = {**context.task.metadata(model), **notes}
        metadata = artifact_metadata.describe(task, self.name, tflite_file.signature(content), frozen.quantize_aware)
        artifact_metadata.save(path, content, metadata)
        artifact = self._opened(path)
        artifact.notes = {**artifact.notes, **notes}
        return artifact

    def trial(self, frozen: Frozen, images: Arrays, folder: Path) -> None:
        """Converts and checks; the file is not opened, for whether a runtime takes its scales is for weights to say."""
        with converting(self.name, frozen.name):
            content = self._tried(frozen, images)
        self._refuse_floats(content, frozen)
        (folder / "model.tflite").write_bytes(content)

    def _tried(self, frozen: Frozen, images: Arrays) -> bytes:
        """Returns the bytes of a file as `_made` makes it, all of whose work need not be done."""
        return self._file(frozen, Sampled(images))[0]

    def _file(self, frozen: Frozen, context: Context) -> tuple[bytes, dict[str, Any]]:
        """Returns what `_made` does, or the file that was given, where it is such a one already."""
        from tfmo_drive.conversion import conversion

        if frozen.computes in ("", FLOAT32):
            return self._made(frozen, context)
        return conversion.given(frozen), {}

    def _refuse_floats(self, content: bytes, frozen: Frozen) -> None:
        """Raises BadInput where a file that must be integer throughout is not."""
        floating = tflite_file.float_layers(content) if self.integer else {}
        if floating:
            named = {kind: names for kind, names in floating.items() if kind != "DEQUANTIZE"} or floating
            kinds = ", ".join(f"{len(names)} {kind} of {frozen.called(names)}" for kind, names in named.items())
            if frozen.quantize_aware:
                advice = "QuantizeAware left them without a range: leave it out, for int8 without training."
            else:
                advice = (
                    "Replace those layers, or use LiteRTMixed or LiteRTDynamic, which keep them in float "
                    "(--set=targets+=LiteRTMixed)."
                )
            raise BadInput(f"{self.name} must be integer throughout, but {kinds} compute in float. {advice}")

    def _made(self, frozen: Frozen, context: Context) -> tuple[bytes, dict[str, Any]]:
        """Returns the file's bytes, and what was decided on the way (JSON types)."""
        return self._convert(frozen, context), {}

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        raise NotImplementedError(f"{type(self).__name__} does not say how it converts.")

    @abc.abstractmethod
    def _opened(self, path: Path) -> Artifact:
        """Returns the saved file, opened in the runtime that it is for."""


def ranges_of(target: Target, images: int, method: str = "minmax", percentile: float = 100.0) -> Ranges:
    """Returns how a target chooses activation ranges.

    Args:
        target: The target, whose name errors begin with.
        images: Its number of calibration images.
        method: One of calibration.METHODS.
        percentile: The percent of values within a range by "percentile", in (50, 100].

    Raises:
        BadInput: A setting is impossible.
    """
    kind = type(target).__name__
    if images < 1:
        raise BadInput(f"{kind}.calibration_images must be at least 1, got {images}.")
    if method not in METHODS:
        raise BadInput(f"{kind}.calibration must be one of {', '.join(METHODS)}, got {method!r}.")
    if not 50 < percentile <= 100:
        raise BadInput(f"{kind}.percentile must be in (50, 100], got {percentile}.")
    return Ranges(method, percentile)


@dataclasses.dataclass(frozen=True)
class Int8Target(TFLiteTarget):
    """Converts to integers throughout, int8 in (`pixel - 128`) and out; a quantize-aware model brings its own ranges.

    Args:
        calibration_images: The number of train images from which activation ranges come.
        calibration: "minmax" (all that was seen), "percentile" (all but the outermost) or "mse" (least squared error).
        percentile: The percent of values within a range by "percentile", in (50, 100].
    """

    calibration_images: int = 100
    calibration: str = "minmax"
    percentile: float = 99.99

    integer: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = (FLOAT32, INT8)

    def __post_init__(self) -> None:
        self._ranges()

    def _ranges(self) -> Ranges:
        return ranges_of(self, self.calibration_images, self.calibration, self.percentile)

    def _convert(self, frozen: Frozen, context: Context) -> bytes:
        from tfmo_drive.conversion import conversion

        images = None if frozen.quantize_aware else context.calibration(self.calibration_images)
        return conversion.int8(frozen, images, self._ranges())
