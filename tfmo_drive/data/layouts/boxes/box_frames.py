"""Makes documents of COCO's objects out of what other layouts say, image by image."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import clean, ordered, refuse_unfit
from tfmo_drive.data.image_headers import quick_size_of
from tfmo_drive.data.images import SUFFIXES, UnreadableImage
from tfmo_drive.data.layouts.boxes.box_document import EVERY, Document

_THREADS, _CHUNK = 8, 256
"""The number of threads that read headers, which wait for a disk most of the time, and of headers that one reads in a
turn."""


class Thing(NamedTuple):
    """Describes an object of one image.

    Args:
        label: The class's name, or its id where the layout lists its classes; None is any class.
        box: x0, y0, x1, y1 in pixels, or in shares of the image; None where it is unknown, and `fault` says why.
        where: What messages call it, such as "0001.txt, line 3".
        crowd: Whether finding it is neither right nor wrong.
        fault: Why it cannot be read.
    """

    label: str | int | None
    box: tuple[float, float, float, float] | None
    where: str
    crowd: bool = False
    fault: str = ""


@dataclasses.dataclass(slots=True)
class Frame:
    """Describes one image with its objects, as a layout lists it.

    Args:
        name: Its path in the layout, by which neighbours in a recording are found.
        file: Where it lies, or None where it is missing.
        things: Its objects.
        split: The split that the layout gives it; "train" where it gives none.
        size: (height, width) in pixels where the layout says it, else None.
        attributes: What is told of it, {"weather": "rainy"}.
        fault: Why what is said of it cannot be read.
    """

    name: str
    file: Path | None
    things: Sequence[Thing] = ()
    split: str = "train"
    size: tuple[int, int] | None = None
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fault: str = ""


def documents_of(
    source: Path,
    frames: Sequence[Frame],
    names: Mapping[int, str] | None = None,
    in_pixels: bool = True,
    usual: tuple[str, ...] = (),
) -> dict[str, Document]:
    """Returns the frames as documents, split by split.

    Sizes that the layout does not say are read from the headers of the images.

    Args:
        source: The folder or file of the layout, with which messages begin.
        frames: The images.
        names: {id: name} where the layout lists its classes; else the classes are those of the objects, sorted.
        in_pixels: Whether boxes are in pixels, and not in shares of the image.
        usual: The names of the classes that are taken where nobody chooses; () is all.

    Raises:
        BadInput: There is no object at all, or a class has a name that none may have.
    """
    labels = {thing.label for frame in frames for thing in frame.things if isinstance(thing.label, str)}
    if names is None:
        names = dict(enumerate(ordered(source, labels)))
    else:
        names = {key: clean(name) for key, name in sorted(names.items())}
        refuse_unfit(source, list(names.values()), said=True)
    if not any(frame.things for frame in frames):
        why = next((f"Of {frame.name}: {frame.fault}." for frame in frames if frame.fault), "Expected boxes.")
        raise BadInput(f"{source}: none of its {len(frames):,} images has an object. {why}")
    said = any(frame.size for frame in frames)
    _measure([frame for frame in frames if frame.file and not frame.size and not frame.fault])
    found = {}
    for split in dict.fromkeys(frame.split for frame in frames):
        part = [frame for frame in frames if frame.split == split]
        found[split] = dataclasses.replace(_document(source, part, names, in_pixels), says_sizes=said, usual=usual)
    return found


def by_stem(folder: Path) -> dict[str, Path]:
    """Returns {name without its suffix: image} of the images in a folder; {} where there is none."""
    try:
        with os.scandir(folder) as scanned:
            names = sorted(entry.name for entry in scanned if not entry.name.startswith("."))
    except OSError:
        return {}
    return {os.path.splitext(name)[0]: folder / name for name in names if name.lower().endswith(SUFFIXES)}


def short(path: Path, root: Path) -> str:
    """Returns a path below `root` as messages and recordings know it, with slashes; another whole."""
    return path.relative_to(root).as_posix() if root in path.parents else path.as_posix()


def _document(source: Path, frames: Sequence[Frame], names: Mapping[int, str], in_pixels: bool) -> Document:
    ids = {name: key for key, name in names.items()}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    files, attributes, faults, unread = {}, {}, [], {}
    for key, frame in enumerate(frames):
        if frame.fault or not frame.file:
            faults.append(f"image {frame.name} " + (f"({frame.fault})" if frame.fault else "is missing"))
            continue
        size = frame.size
        images.append({"id": key, "file_name": frame.name, "height": size[0], "width": size[1]})
        files[frame.name] = frame.file
        if frame.attributes:
            attributes[key] = frame.attributes
        across, down = (1, 1) if in_pixels else size[::-1]
        for label, box, where, crowd, thing_fault in frame.things:
            if thing_fault:
                unread[len(annotations)] = thing_fault
            sides = box and [box[0] * across, box[1] * down, (box[2] - box[0]) * across, (box[3] - box[1]) * down]
            category = EVERY if label is None else ids.get(clean(label)) if isinstance(label, str) else label
            annotations.append(
                {"id": where, "image_id": key, "category_id": category, "bbox": sides, "iscrowd": int(crowd)}
            )
    looked = sorted({frame.file.parent for frame in frames if frame.file})
    return Document(
        source, images, annotations, names, files, looked, attributes, faults, unread, _where, in_pixels=in_pixels
    )


def _where(annotation: Mapping[str, Any], place: int) -> str:
    return annotation["id"]


def _measure(frames: Sequence[Frame]) -> None:
    """Fills in the sizes of frames from their images' headers, or why one cannot be read."""
    chunks = [frames[start : start + _CHUNK] for start in range(0, len(frames), _CHUNK)]
    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(_measure_each, chunks):
            pass


def _measure_each(frames: Sequence[Frame]) -> None:
    for frame in frames:
        try:
            frame.size = quick_size_of(frame.file)
        except UnreadableImage as error:
            frame.fault = f"cannot be read: {error.reason}"
