"""What does this model file say of these images? From the file's own metadata, without TensorFlow.

tfmo-drive predict model.tflite image.jpg [more.jpg]
tfmo-drive predict --top=3 model.onnx *.png
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags

from tfmo_drive.base.given_file import reading
from tfmo_drive.base.outputs import answered, at, by_name
from tfmo_drive.contracts import Arrays, BadInput
from tfmo_drive.data.boxes import restored
from tfmo_drive.data.detections import Decoding
from tfmo_drive.data.images import Resize, UnreadableImage, decode, size_of
from tfmo_drive.pack.verify import DECIDED
from tfmo_drive.runtimes import artifact_metadata, interpreters

_TOP = flags.DEFINE_integer("top", 5, "How many classes to print for each image.", lower_bound=1)

Size = tuple[int, int]


def classify(outputs: np.ndarray, metadata: dict[str, Any], top: int) -> list[tuple[str, float]]:
    """The `top` labels with their probabilities, best first. outputs: float32 [classes], of a kind of DECIDED."""
    values, kind = outputs.astype(np.float64), metadata["output"]["kind"]
    if kind not in DECIDED or values.shape != (len(metadata["labels"]),):
        raise BadInput(
            f"its metadata tells of {kind} of {len(metadata['labels'])} classes, and its outputs are {values.shape}; "
            f"expected one of {', '.join(DECIDED)} for each class."
        )
    if kind == "logits":
        values = np.exp(values - values.max())
        values /= values.sum()
    return [(metadata["labels"][i], float(values[i])) for i in np.argsort(-values, kind="stable")[:top]]


def _classes(outputs: np.ndarray, metadata: dict[str, Any], source: Size) -> Iterator[str]:
    for label, probability in classify(outputs, metadata, _TOP.value):
        yield f"{probability:6.1%}  {label}"


def _boxes(outputs: Arrays, metadata: dict[str, Any], source: Size) -> Iterator[str]:
    """Those above the metadata's threshold, in pixels of the source, best first."""
    facts, size = metadata["output"], _size(metadata)
    decoding = Decoding(**{field.name: facts[field.name] for field in dataclasses.fields(Decoding)})
    (found,) = decoding(at(outputs, None), size)
    found = found.at(found.scores >= facts["threshold"])
    boxes = restored(found.boxes, source, size, Resize.from_dict(metadata["input"]["resize"]))
    for box, score, label in zip(boxes, found.scores, found.classes, strict=True):
        yield f"{score:6.1%}  {metadata['labels'][label]}  at " + ", ".join(f"{edge:.0f}" for edge in box)


def _shares(outputs: np.ndarray, metadata: dict[str, Any], source: Size) -> Iterator[str]:
    """Of the pixels, the largest first."""
    decided = outputs.argmax(-1)
    counts = np.bincount(decided.ravel(), minlength=len(metadata["labels"]))
    for label in np.argsort(-counts, kind="stable")[: _TOP.value]:
        yield f"{counts[label] / decided.size:6.1%}  {metadata['labels'][label]}"


def _angle(outputs: np.ndarray, metadata: dict[str, Any], source: Size) -> Iterator[str]:
    yield f"{float(outputs[0]) * metadata['output']['degrees']:+6.1f} degrees (positive to the right)"


def _each(outputs: Arrays, metadata: dict[str, Any], source: Size) -> Iterator[str]:
    for part in metadata["parts"].values():
        own = by_name(part["outputs"], [outputs[name] for name in part["outputs"]])
        yield from _ANSWERS[part["task"]](own, part, source)


_ANSWERS = {
    "classification": _classes,
    "detection": _boxes,
    "segmentation": _shares,
    "lane_keeping": _angle,
    "multi_task": _each,
}


def _size(metadata: dict[str, Any]) -> Size:
    return metadata["input"]["height"], metadata["input"]["width"]


def _answer(model: str, files: list[str]) -> None:
    metadata = artifact_metadata.read(model)
    task = str(metadata.get("task")) if isinstance(metadata, dict) else None
    if task not in _ANSWERS:
        raise BadInput(f"{model} does {task}, which takes no images. Give a model of images.")
    with reading(model, "a model whose metadata and outputs go together"):
        try:
            if not all(isinstance(label, str) and label.isprintable() for label in metadata.get("labels", ())):
                raise BadInput("the labels in its metadata must be texts of one line each.")
            artifact, resize = interpreters.load(model), Resize.from_dict(metadata["input"]["resize"])
            for file in files:
                outputs = answered(artifact, decode(file, _size(metadata), resize)[None])
                lines = list(_ANSWERS[task](at(outputs, 0), metadata, size_of(file)))
                print("\n  ".join((file, *lines)))
        except UnreadableImage:
            raise
        except BadInput as error:
            raise error if model in str(error) else BadInput(f"{model}: {error}") from error


def main(argv: list[str]) -> int:
    if len(argv) < 3:
        raise BadInput("Give a model and at least one image: tfmo-drive predict model.tflite image.jpg")
    _answer(argv[1], argv[2:])
    return 0
