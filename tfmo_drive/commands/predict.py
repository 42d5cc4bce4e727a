"""Print what a model file answers for images, or for rows of numbers, from its own metadata and without TensorFlow.

tfmo-drive predict model.tflite image.jpg [more.jpg]
tfmo-drive predict --top=3 model.onnx folder/of/images
tfmo-drive predict --draw=runs/seen model.tflite folder/of/images
tfmo-drive predict --json model.tflite rows.csv
tfmo-drive predict model.tflite image=image.jpg speed=12.5
tfmo-drive predict --experiment=post_training --data=images --set=task.preprocessing_name=tf theirs.tflite image.jpg

A folder stands for all images (or CSV files) below it. Several inputs are given each by its name. With --draw the
images are written there with what was found in them, each as <name>_predicted.png; with --json every line is one
object, of "input" and "answers", boxes in pixels of the image's file. A .tflite that another program wrote has no
metadata: an experiment of its task and its data say what it takes and answers, which needs TensorFlow.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from tfmo_drive.base import atomic
from tfmo_drive.base.given_file import reading
from tfmo_drive.base.inputs import count
from tfmo_drive.base.outputs import answered, at, each
from tfmo_drive.commands import described_tflite, experiment_flags, predicted_picture
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import restored
from tfmo_drive.data.csv_table import number_in, read_table
from tfmo_drive.data.found_files import walk
from tfmo_drive.data.images import SUFFIXES, Resize, UnreadableImage, decode, size_of
from tfmo_drive.pack import example
from tfmo_drive.runtimes import artifact_metadata, interpreters

flags.adopt_module_key_flags(experiment_flags)
_TOP = flags.DEFINE_integer("top", example.TOP, "How many classes to print for each image.", lower_bound=1)
_DRAW = flags.DEFINE_string("draw", None, "Folder for the images with what was found in them. Default: none are drawn.")
_JSON = flags.DEFINE_bool("json", False, "Print one line of JSON for each image or row.")

Facts = dict[str, Any]
Inputs = Iterator[tuple[str, np.ndarray, tuple[int, int]]]


def files_of(given: list[str], suffixes: tuple[str, ...], apart: Path | None = None) -> dict[str, Path]:
    """Returns the files that are meant, each once, with its path below the folder that was given, or its name.

    Args:
        given: Files, or folders, which stand for all files of these suffixes below them.
        suffixes: The suffixes, in lower case.
        apart: A folder whose files are not meant, for it is where pictures of earlier answers lie.

    Raises:
        BadInput: A folder holds no such file, or lies in the one of the pictures.
    """
    found: dict[str, Path] = {}
    for name in given:
        folder = Path(name)
        if not folder.is_dir():
            found.setdefault(name, Path(folder.name))
            continue
        if apart and apart.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise BadInput(f"--draw={apart} holds the images of {name} themselves. Name another folder.")
        below = [file for file in sorted(walk(folder, suffixes, folder).files)
                 if apart is None or apart.resolve() not in file.resolve().parents]  # fmt: skip
        if not below:
            raise BadInput(f"{name} holds no file that ends in {', '.join(suffixes[:6])}. Name another folder.")
        for file in below:
            found.setdefault(str(file), file.relative_to(folder))
    return found


def images(files: list[str], facts: Facts) -> Inputs:
    """Yields every image's name, its pixels as the model's input wants them, and the size of the file.

    Pixels are uint8 [height, width, channels], the size is (height, width) in pixels.
    """
    shape, resize = (facts["height"], facts["width"], len(facts["colour_order"])), Resize.from_dict(facts["resize"])
    for file in files:
        yield file, decode(file, shape, resize), size_of(file)


def rows(files: list[str], facts: Facts) -> Inputs:
    """Yields the place of every row of CSV files and its numbers, float32 [columns].

    Columns are found by the names in the metadata.
    """
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


def arrays(files: list[str], facts: Facts) -> Inputs:
    """Yields every example's place in .npy files and its array, of the shape and dtype that the model takes."""
    for file in files:
        with reading(file, "an array that the model takes, saved with numpy.save"):
            found = example.arrays(file, facts)
        for number, one in enumerate(found, start=1):
            yield f"{file}, example {number}", one, ()


def several(words: list[str], facts: Facts) -> Inputs:
    """Yields the place of every example of several inputs, and its arrays by name.

    Words are NAME=FILE or NAME=NUMBERS. Raises BadInput where they are not the inputs that `facts` describes by name.
    """

    def read(file: str, own: Facts) -> np.ndarray:
        reader = next((_READERS[kind][0] for kind in _READERS if kind in own), images)
        return np.stack([raw for _, raw, _ in reader([file], own)])

    try:
        found = example.several(words, facts, read)
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(f"{' '.join(words)}: {error}.") from error
    for number in range(count(found)):
        place = " ".join(words) + (f", example {number + 1}" if count(found) > 1 else "")
        yield place, at(found, number), ()


_READERS = {"columns": (rows, (".csv",)), "shape": (arrays, (".npy",))}
"""What reads an input that is no image, and from files of which suffix, by the key that tells it in the metadata."""


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


def _answer(model: str, given: list[str]) -> None:
    with described_tflite.described(Path(model)) as path:
        _answer_from(path, model, given)


def _answer_from(path: Path, model: str, given: list[str]) -> None:
    """Prints the answers of the file at `path`, which errors call `model`."""
    facts = artifact_metadata.read(path)
    with reading(model, "a model whose metadata and outputs go together"):
        files: dict[str, Path] = {}
        try:
            _refuse_unreadable(facts)
            draw = Path(_DRAW.value) if _DRAW.value else None
            told = facts.get("inputs") or facts["input"]
            found = (_READERS[kind] for kind in _READERS if kind in told)
            read, suffixes = (several, ()) if "inputs" in facts else next(found, (images, SUFFIXES))
            if read is not images and draw:
                what = "several inputs" if read is several else f"{read.__name__} of numbers"
                raise BadInput(f"it takes {what}, and --draw is for images. Leave it out.")
            files = dict.fromkeys(given) if read is several else files_of(given, suffixes, draw)
            artifact, taken = interpreters.load(path), set()
            for place, raw, source in read(list(files), told):
                said = at(answered(artifact, each(lambda one: one[None], raw)), 0)
                named = said if isinstance(said, dict) else {"the only one": said}
                _tell(place, named, facts, source)
                if draw:
                    _draw(draw / files[place], raw, named, facts, taken)
            if draw and not _JSON.value:
                print(draw)
        except UnreadableImage:
            raise
        except BadInput as error:
            said = any(name in str(error) for name in (model, *given, *files))
            raise error if said else BadInput(f"{model}: {error}") from error


def _tell(place: str, outputs: dict[str, np.ndarray], facts: Facts, source: tuple[int, int]) -> None:
    """Prints the answers for one image or row."""
    read, top = functools.partial(answers, source=source), _TOP.value
    if not _JSON.value:
        print("\n  ".join((place, *example.lines(outputs, facts, read, top))))
        return
    told = {}
    for name, own in example.parts(facts).items():
        found = read(_own(outputs, own), own)
        told[name] = found if own["decode"]["kind"] in example.EACH else found[:top]
    print(json.dumps({"input": place, "answers": told.get("", told)}, ensure_ascii=False))


def _draw(path: Path, raw: np.ndarray, outputs: dict[str, np.ndarray], facts: Facts, taken: set[Path]) -> None:
    """Writes an image with its answers beside where `path` says, a picture for each task.

    The names are not in `taken` yet.
    """
    for name, own in example.parts(facts).items():
        stem = "_".join(filter(None, (path.stem, name, "predicted")))
        names = (path.with_name(f"{stem}{more}.png") for more in ("", *(f"_{number}" for number in range(2, 10**6))))
        chosen = next(one for one in names if one not in taken)
        taken.add(chosen)
        with atomic.file(chosen, durable=False) as file:
            Image.fromarray(predicted_picture.drawn(raw, _own(outputs, own), own)).save(file)


def _own(outputs: dict[str, np.ndarray], facts: Facts) -> dict[str, np.ndarray]:
    """Returns a task's own outputs."""
    return {name: outputs[name] for name in facts.get("outputs", outputs)}


def _refuse_unreadable(facts: Facts) -> None:
    """Raises BadInput where the metadata does not say how each of the model's outputs is read."""
    for name, part in example.parts(facts).items():
        if not isinstance(part.get("decode"), dict) or not part.keys() & {"input", "inputs"}:
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
