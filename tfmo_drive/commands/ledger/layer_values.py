"""Computes what every layer answers, in a Keras model and in a file on the runtimes of boards.

Where two of them part is told by `parting`.

Layers go by the names that they have in Keras. Two runtimes of one file are compared tensor by tensor.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import outputs
from tfmo_drive.base.inputs import count, pieces
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Arrays
from tfmo_drive.networks import graph
from tfmo_drive.runtimes import micro
from tfmo_drive.runtimes.flatbuffer_edit import Exposed, exposed, kind, name, unpack
from tfmo_drive.runtimes.tflite_file import layer_name

EQUAL_DB = 200.0
"""The signal to noise that stands for values without any difference."""


@dataclasses.dataclass(frozen=True, eq=False)
class LayerValues:
    """Holds the values of one layer for some images."""

    tensor: str
    """The tensor's name in the file; for a Keras model, the layer's name."""
    layer: str
    operator: str
    values: np.ndarray
    """float32 [n, ...]"""
    step: float = 0.0
    """The value of one step of the integers; 0 where values are no integers."""


@dataclasses.dataclass(frozen=True)
class Parting:
    """Describes the first layer at which two stages differ."""

    layer: str
    operator: str
    sqnr_db: float
    """10 log10(signal / noise) of all its values."""
    steps: float | None
    """The largest difference, in steps of the integers (LSB); None between a model and a file."""


def of_keras(model: keras.Model, inputs: Arrays) -> list[LayerValues]:
    """Returns the values of a Keras model's layers; those called twice or with several outputs are left out.

    `inputs` are preprocessed, float32 [n, ...].
    """
    flat = graph.flat(model)
    known = {}
    for layer in graph.flat_layers(flat):
        if len(layer.inbound_nodes) == 1 and not isinstance(layer.output, list | tuple | dict):
            known.setdefault(outputs.bare(layer.name), layer)
    asked = keras.Model(flat.inputs, [layer.output for layer in known.values()])
    answers = asked.predict(inputs, batch_size=8, verbose=0)
    found = zip(known.items(), answers if len(known) > 1 else [answers], strict=True)
    return [LayerValues(key, key, type(layer).__name__, np.asarray(values)) for (key, layer), values in found]


def of_litert(path: Path, images: Arrays, kernels: str) -> list[LayerValues]:
    """Returns the values of a file's layers on LiteRT.

    Args:
        path: The `.tflite` file.
        images: Raw inputs [n, ...], as the file takes them.
        kernels: "reference" or "xnnpack".
    """
    model, numbers = _written(path)
    run = Exposed(model, numbers, kernels=kernels)
    return _listed(model, numbers, [run(image) for image in pieces(images, 1)])


def of_micro(path: Path, images: Arrays) -> list[LayerValues]:
    """Returns the values of a file's layers on TensorFlow Lite Micro, for raw inputs [n, ...]."""
    model, numbers = _written(path)
    with tempfile.TemporaryDirectory() as folder:
        opened = Path(folder) / "model.tflite"
        opened.write_bytes(exposed(model, numbers))
        artifact = micro.MicroArtifact(opened)
        found = artifact.outputs(images)
    values = [found[name(model.subgraphs[0].tensors[number])] for number in numbers]
    return _listed(model, numbers, [[one[i : i + 1] for one in values] for i in range(count(images))])


def parting(
    before: Sequence[LayerValues], after: Sequence[LayerValues], bound_db: float, same_file: bool
) -> Parting | None:
    """Returns the first layer at which two stages differ, or None.

    Args:
        before: The layers of the stage before.
        after: The layers of the stage after.
        bound_db: The signal to noise below which two layers of equal name differ.
        same_file: Whether both are one file, so that any difference counts.
    """
    key: Callable[[LayerValues], str] = (lambda one: one.tensor) if same_file else (lambda one: one.layer)
    known = {key(one): one for one in before}
    for one in after:
        other = known.get(key(one))
        if other is None or other.values.shape != one.values.shape:
            continue
        ratio = sqnr_db(other.values, one.values)
        if not ratio >= (EQUAL_DB if same_file else bound_db):  # NaN differs too
            apart = float(np.abs(one.values - other.values).max())
            return Parting(one.layer, one.operator, ratio, apart / one.step if same_file and one.step else None)
    return None


def sqnr_db(signal: np.ndarray, noisy: np.ndarray) -> float:
    """Returns 10 log10(signal / noise) over all values; EQUAL_DB where they are equal."""
    noise = float(np.sum(np.square(np.subtract(noisy, signal, dtype=np.float64))))
    power = float(np.sum(np.square(signal, dtype=np.float64)))
    if noise <= power * 10 ** (-EQUAL_DB / 10):
        return EQUAL_DB
    return float(10 * np.log10(power / noise)) if power else -EQUAL_DB


def _written(path: Path) -> tuple[object, list[int]]:
    """Returns an unpacked file, and the numbers of the tensors that its operators write."""
    model = unpack(Path(path).read_bytes())
    return model, [int(number) for operator in model.subgraphs[0].operators for number in operator.outputs]


def _listed(model: object, numbers: list[int], answers: list[list[np.ndarray]]) -> list[LayerValues]:
    tensors, scales = model.subgraphs[0].tensors, _steps(model)
    writers = {int(number): operator for operator in model.subgraphs[0].operators for number in operator.outputs}
    found = []
    for place, number in enumerate(numbers):
        called = name(tensors[number])
        values = np.concatenate([one[place] for one in answers])
        layer, operator = outputs.bare(layer_name(called)), kind(model, writers[number])
        found.append(LayerValues(called, layer, operator, values, scales[number]))
    return found


def _steps(model: object) -> list[float]:
    quantization = [tensor.quantization for tensor in model.subgraphs[0].tensors]
    return [float(one.scale[0]) if one is not None and one.scale is not None and len(one.scale) else 0.0
            for one in quantization]  # fmt: skip
