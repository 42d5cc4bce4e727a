"""Print what a model file answers for images, or for rows of numbers, from its own metadata and without TensorFlow.

tfmo-drive predict model.tflite image.jpg [more.jpg]
tfmo-drive predict --top=3 model.onnx *.png
tfmo-drive predict model.tflite rows.csv
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags

from tfmo_drive.base.given_file import reading
from tfmo_drive.base.outputs import answered, at
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import restored
from tfmo_drive.data.csv_table import number_in, read_table
from tfmo_drive.data.images import Resize, UnreadableImage, decode, size_of
from tfmo_drive.pack import example
from tfmo_drive.runtimes import artifact_metadata, interpreters

_TOP = flags.DEFINE_integer("top", example.TOP, "How many classes to print for each image.", lower_bound=1)

Facts = dict[str, Any]
Inputs = Iterator[tuple[str, np.ndarray, tuple[int, int]]]


def images(files: list[str], facts: Facts) -> Inputs:
    """Yields every image's name, its pixels as the model's input wants them, and the size of the file.

    Pixels are uint8 [height, width, 3], the size is (height, width) in pixels.
    """
    size, resize = (facts["height"], facts["width"]), Resize.from_dict(facts["resize"])
    for file in files:
        yield file, decode(file, size, resize), size_of(file)


def rows(files: list[str], facts: Facts) -> Inputs:
    """Yields the place of every row of CSV files and its numbers, float32 [columns], found by the names in the
    metadata."""
    for file in files:
        table = read_table(file)
        missing = [name for name in facts["columns"] if name not in table.header]
        if missing:
            raise BadInput(f'{file} has no column "{missing[0]}". The model takes {", ".join(facts["columns"])}.')
        places = [table.header.index(name) for name in facts["columns"]]
        for row, cells in enumerate(table.rows):
            numbers = [number_in(cells[place]) for place in places]
            if None in numbers:
                column = facts["columns"][numbers.index(None)]
                cell = cells[places[numbers.index(None)]]
                raise BadInput(f'{table.line(row)}: "{column}" must be a number, got {cell!r}.')
            yield table.line(row), np.float32(numbers), ()


def answers(outputs: dict[str, np.ndarray], facts: Facts, source: tuple[int, int]) -> list[dict[str, Any]]:
    """Returns a task's answers (`example.decoded`), with boxes in pixels of an image of the size `source`."""
    try:
        found = example.decoded(outputs, facts)
    except ValueError as error:
        raise BadInput(f"{error}. Convert the model again with this version.") from error
    boxes = [answer["box"] for answer in found if "box" in answer]
    if boxes:
        image = facts["input"]
        size, resize = (image["height"], image["width"]), Resize.from_dict(image["resize"])
        for answer, box in zip(found, restored(np.float32(boxes), source, size, resize), strict=True):
            answer["box"] = box.tolist()
    return found


def _answer(model: str, files: list[str]) -> None:
    facts = artifact_metadata.read(model)
    with reading(model, "a model whose metadata and outputs go together"):
        try:
            _refuse_unreadable(facts)
            artifact = interpreters.load(model)
            for place, raw, source in (rows if "columns" in facts["input"] else images)(files, facts["input"]):
                said = at(answered(artifact, raw[None]), 0)
                named = said if isinstance(said, dict) else {"the only one": said}
                told = example.lines(named, facts, functools.partial(answers, source=source), _TOP.value)
                print("\n  ".join((place, *told)))
        except UnreadableImage:
            raise
        except BadInput as error:
            said = any(name in str(error) for name in (model, *files))
            raise error if said else BadInput(f"{model}: {error}") from error


def _refuse_unreadable(facts: Facts) -> None:
    """Raises BadInput where the metadata does not say how each of the model's outputs is read."""
    for name, part in example.parts(facts).items():
        if not isinstance(part.get("decode"), dict) or "input" not in part:
            what = f'the part "{name}"' if name else "its output"
            raise BadInput(f"its metadata does not say how {what} is read. Convert the model again with this version.")
        if not all(isinstance(label, str) and label.isprintable() for label in part.get("labels", ())):
            raise BadInput("the labels in its metadata must be texts of one line each.")


def main(argv: list[str]) -> int:
    """Prints what a model answers for images or rows, and returns the exit code."""
    if len(argv) < 3:
        raise BadInput("Give a model and at least one image: tfmo-drive predict model.tflite image.jpg")
    _answer(argv[1], argv[2:])
    return 0
