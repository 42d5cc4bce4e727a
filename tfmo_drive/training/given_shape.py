"""Says which images a given model takes, from its file's description alone: nothing is built, and no code runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfmo_drive.base.given_file import reading
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.images import MODES
from tfmo_drive.networks import model_code, own_model
from tfmo_drive.runtimes import given_tflite

_SHAPES = ("batch_input_shape", "batch_shape", "build_input_shape")
"""The settings of a layer's or a model's description that hold the shape of its input."""


def image_shape(path: Path, setting: str = "task.baseline") -> tuple[int | None, int | None, int] | None:
    """Returns (height, width, channels) of the images that the model in a file takes, as its description says.

    None instead of a side: any will do. None at all: the file is not there, holds weights alone, or describes no
    images. Raises BadInput where the file is no model, and where its images are neither grey, RGB nor RGBA.
    """
    if not path.exists() or not own_model.is_whole_model(path, setting):
        return None
    with reading(path, "a Keras model", "Save it again.", setting):
        taken = _taken(path)
        shapes = [shape for shape in taken if len(shape) == 4 and shape[3]]
    if not shapes:
        return None
    height, width, channels = shapes[0][1:]
    if height in MODES and channels not in MODES:
        own_model.refuse_channels_first((height, width, channels), f"{setting}: {path}")
    if channels not in MODES:
        raise BadInput(
            f"{setting}: {path} takes images of {height}x{width}x{channels}; images have 1 channel (grey), 3 (RGB) or "
            "4 (RGB and alpha). Build it for these, or give arrays of your own to tfmo_drive.compress."
        )
    return height, width, channels


def _taken(path: Path) -> Iterator[Sequence[int | None]]:
    if not given_tflite.is_tflite(path):
        return _input_shapes(model_code.descriptions(path)[0])
    return iter([given_tflite.input_shape(path)])


def _input_shapes(described: Any) -> Iterator[list[int | None]]:
    """Yields the shapes [batch, ...] of the inputs that a model's description names, those of its first layers too."""
    config = described.get("config", described)
    if isinstance(config, list):  # a Sequential of Keras 2.0 to 2.2
        config = {"layers": config}
    for shape in filter(None, map(config.get, _SHAPES)):
        yield shape["items"] if isinstance(shape, dict) else shape  # a SavedModel says {"class_name": "__tuple__", ...}
    layers, inputs = config.get("layers", []), set(_texts(config.get("input_layers", [])))
    first = [one for one in layers if one.get("name", one["config"].get("name")) in inputs] or layers[:1]
    for layer in first:
        yield from _input_shapes(layer)


def _texts(value: Any) -> Iterator[str]:
    """Yields the texts in nested lists and dictionaries' values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
