"""Checks what any layout of boxes says, once it is read into COCO's own objects (https://cocodataset.org/#format-data).

An image is {"id", "file_name", "width", "height"}, an annotation {"id", "image_id", "category_id", "bbox": [x, y,
width, height], "area", "iscrowd"}; its id, area and iscrowd may be left out, and bbox where its "segmentation" says the
outline: polygons [[x, y, x, y, ...], ...], or a mask's run lengths (RLE).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as run_lengths

from tfmo_drive.base.given_file import is_number
from tfmo_drive.base.spelling import shortened
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import Truth
from tfmo_drive.data.found_files import identity

_ROUNDING = 1.0
"""Pixels by which a box may leave its image without a word: tools round, or count the last pixel's far edge."""
_RUNS = re.compile("([P-o]{0,6}[0-O])+")
"""Run lengths as text: numbers of at most 7 letters, each 5 bits, of which all but the last have the sixth bit set."""


EVERY = object()
"""The category of an object that may be of any class, such as KITTI's DontCare: a crowd of each."""


def _by_id(annotation: Mapping[str, Any], place: int) -> str:
    return "annotation " + (shown(annotation["id"]) if "id" in annotation else f"at place {place}")


@dataclasses.dataclass(frozen=True)
class Document:
    """Holds what one split of a layout says of its images, in COCO's own objects, which are not checked yet.

    Args:
        path: The file or folder that says it, with which messages begin.
        images: Objects with an id, a file_name, a height and a width.
        annotations: Objects with an image_id, a category_id (or EVERY), a bbox and perhaps iscrowd, area, segmentation.
        categories: {id: name}, in the order of the classes.
        files: {file_name: where the image lies}, None or nothing where it is missing.
        looked: The folders in which images were looked for.
        attributes: {id: {"weather": "rainy"}} of images of which something is told.
        faults: What the layout's reader itself could not use, each with the reason.
        unread: {place: why} of annotations that the layout's reader could not read.
        where: Returns what messages call an annotation at a place.
        says_sizes: Whether the layout says the sizes; else they are those of the image files.
        in_pixels: Whether the layout's own boxes are in pixels.
        usual: The names of the classes that are taken where nobody chooses; () is all.
    """

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: Mapping[int | str, str]
    files: Mapping[str, Path | None] = dataclasses.field(default_factory=dict)
    looked: Sequence[Path] = ()
    attributes: Mapping[int | str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    faults: Sequence[str] = ()
    unread: Mapping[int, str] = dataclasses.field(default_factory=dict)
    where: Callable[[Mapping[str, Any], int], str] = _by_id
    says_sizes: bool = True
    in_pixels: bool = True
    usual: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Usable:
    """Lists the images of a document that can be used, in its order; sizes are (height, width)."""

    names: list[str]
    files: list[Path]
    sizes: list[tuple[int, int]]
    truths: list[Truth]
    faults: list[str]
    """Every unusable image or box, with the reason; a box partly outside is clipped and listed here too. An image with
    an object whose box is unknown is unusable, because detectors would learn that there is no object."""
    ignored: int
    """The number of annotations of categories that were not asked for."""
    repeated: int
    """The number of annotations that repeat an earlier one; the object counts once."""
    attributes: list[Mapping[str, str]]
    """What is told of each image beside its objects."""


def usable(document: Document, indices: Mapping[int | str, int]) -> Usable:
    """Checks all images and annotations and returns those that can be used.

    Args:
        document: What a layout says.
        indices: {category id: class index} of the classes that are asked for.

    Raises:
        BadInput: No box is in pixels.
    """
    boxes = [_box(annotation) for annotation in document.annotations]
    if document.in_pixels:
        _refuse_shares(document.path, [box for box in boxes if box and min(box[2:]) > 0])
    faults = list(document.faults)
    images = _images(document, faults)
    known = {image.get("id") for image in document.images if is_id(image.get("id"))}
    rows: dict[int | str, list[_Row]] = {key: [] for key in images}
    ignored, said, repeated = 0, set(), 0
    for place, (annotation, box) in enumerate(zip(document.annotations, boxes, strict=True)):
        image, label = annotation.get("image_id"), annotation.get("category_id")
        if is_id(label) and label in document.categories and label not in indices:
            ignored += 1
            continue
        fault = document.unread.get(place) or _broken(annotation, box, known, document.categories)
        if not fault and image in images:  # an unusable image was already reported
            one = image, label, *box, bool(annotation.get("iscrowd"))
            if one in said:
                repeated += 1
                continue
            said.add(one)
            edges, area, fault = _inside(annotation, box, images[image][2])
            if edges:
                labels = indices.values() if label is EVERY else [indices[label]]
                rows[image] += [_Row(edges, index, one[-1], area) for index in labels]
        if fault:
            faults.append(f"{document.where(annotation, place)} ({fault})")
            if (box is None or _mistyped(annotation)) and is_id(image):
                images.pop(image, None)
    names, files, sizes = map(list, zip(*images.values(), strict=True)) if images else ([], [], [])
    truths, told = [_truth(rows[key]) for key in images], [document.attributes.get(key, {}) for key in images]
    return Usable(names, files, sizes, truths, faults, ignored, repeated, told)


def name_of(image: Mapping[str, Any]) -> str:
    """Returns an image's file_name with slashes, whatever machine it was written on; "" where it has none."""
    name = image.get("file_name")
    return name.replace("\\", "/") if isinstance(name, str) else ""


class _Row(NamedTuple):
    box: list[float]
    label: int | str
    crowd: bool
    area: float


def _images(document: Document, faults: list[str]) -> dict[int | str, tuple[str, Path, tuple[int, int]]]:
    """Returns {id: (name, file, (height, width))} for the images that can be used."""
    found, names = {}, set()
    for image in document.images:
        key, name = image.get("id"), name_of(image)
        size = image.get("height"), image.get("width")
        file = document.files.get(name) if name else None
        own = identity(file) if file else None
        if not is_id(key) or not name:
            fault = "no id or no file_name" if key is None or not name else "its id is no whole number and no text"
        elif key in found or name in names or own in names:
            fault = f"id {shown(key)} or file {name[:200]} twice"
        elif not all(is_number(side) and side == int(side) and side >= 1 for side in size):
            fault = f"{name[:200]} has height {shown(size[0])} and width {shown(size[1])}"
        else:
            fault = "" if file else f"{name[:200]} is missing"
        if fault:
            faults.append(f"image {shown(key)} ({fault})")
        else:
            names |= {name, own}
            found[key] = name, file, (int(size[0]), int(size[1]))
    return found


def is_id(value: Any) -> bool:
    """Says whether a value is an id: a whole number, 1.0 too, or a text; not true, which Python takes for 1."""
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


def _mistyped(annotation: dict[str, Any]) -> str:
    """Returns why the annotation's iscrowd or area cannot be meant, or "": Python takes "0" for true."""
    crowd, area = annotation.get("iscrowd", 0), annotation.get("area")
    if type(crowd) not in (int, float, bool) or crowd not in (0, 1):
        return f"iscrowd {shown(crowd)} is not 0 or 1"
    if area is not None and type(area) not in (int, float):
        return f"area {shown(area)} is no number"
    return ""


def shown(value: Any) -> str:
    """Returns a value as JSON has it, so that "1" and 1 differ, shortened."""
    text = "nothing" if value is None else f'"{value}"' if isinstance(value, str) else _digits(value)
    return shortened(text, 60)


def _digits(value: Any) -> str:
    """Returns str(value), also for whole numbers of so many digits that Python refuses to write them."""
    try:
        return str(value)
    except ValueError:
        return "a number of thousands of digits"


def _box(annotation: dict[str, Any]) -> list[float] | None:
    """Returns x, y, width, height of the bbox, or else the bounds of the outline; None without either."""
    box = annotation.get("bbox")
    if box not in (None, []):
        return box if isinstance(box, list) and len(box) == 4 and all(map(is_number, box)) else None
    outline = annotation.get("segmentation")
    if isinstance(outline, dict):
        return _bounds_of_runs(outline.get("counts"), outline.get("size"))
    if not isinstance(outline, list) or not outline or not all(map(_is_polygon, outline)):
        return None
    x, y = ([side for polygon in outline for side in polygon[start::2]] for start in (0, 1))
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def _bounds_of_runs(counts: Any, size: Any) -> list[float] | None:
    """Returns the bounds of a mask in COCO's run lengths, or None of what are none: C code reads on behind their end.

    A text is a chain of numbers, each of letters with a sixth bit but for its last.
    """
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and 0 < side < 2**16 for side in size):
        return None
    if isinstance(counts, str) and _RUNS.fullmatch(counts):
        runs = {"size": size, "counts": counts.encode()}
    elif isinstance(counts, list) and all(type(run) is int and run >= 0 for run in counts):
        if sum(counts) != size[0] * size[1]:
            return None
        runs = run_lengths.frPyObjects({"size": size, "counts": counts}, *size)
    else:
        return None
    box = run_lengths.toBbox(runs).tolist()
    return box if min(box[2:]) > 0 and box[0] + box[2] <= size[1] and box[1] + box[3] <= size[0] else None


def _is_polygon(outline: Any) -> bool:
    return isinstance(outline, list) and len(outline) >= 6 and len(outline) % 2 == 0 and all(map(is_number, outline))


def _refuse_shares(path: Path, boxes: list[list[float]]) -> None:
    if boxes and max(map(max, boxes)) <= 1:
        raise BadInput(
            f"{path}: boxes must be x, y, width, height in pixels, got none above 1: shares of the image, as "
            f"{boxes[0]}. Multiply x and width by the image's width, y and height by its height."
        )


def _broken(
    annotation: dict[str, Any], box: list[float] | None, known: set[int | str], categories: Mapping[int | str, str]
) -> str:
    """Returns what makes an annotation unusable whatever its image is, or ""."""
    image, label = annotation.get("image_id"), annotation.get("category_id")
    if not is_id(image) or image not in known:
        return f"no image {shown(image)}"
    if label is not EVERY and (not is_id(label) or label not in categories):
        return f"no category {shown(label)}"
    if fault := _mistyped(annotation):
        return fault
    if box is None:
        said = annotation.get("bbox")
        return "no bbox, and no outline" if said in (None, []) else f"bbox {shown(said)} is not x, y, width, height"
    return "" if box[2] > 0 and box[3] > 0 else f"box of {box[2]:g} x {box[3]:g}, no area"


def _inside(annotation: dict[str, Any], box: list[float], size: tuple[int, int]) -> tuple[list[float], float, str]:
    """Returns the edges clipped to the image, [] where nothing is left, the area, and what is wrong, or ""."""
    (x, y, width, height), (rows, columns) = box, size
    area = annotation.get("area")
    area = area if is_number(area) and area > 0 else width * height
    edges = [x, y, x + width, y + height]
    if x >= 0 and y >= 0 and edges[2] <= columns and edges[3] <= rows:
        return edges, area, ""
    clipped = [min(max(edge, 0), side) for edge, side in zip(edges, (columns, rows) * 2, strict=True)]
    gone = clipped[2] <= clipped[0] or clipped[3] <= clipped[1]
    over = max(abs(edge - kept) for edge, kept in zip(edges, clipped, strict=True))
    fault = f"box {[round(edge, 2) for edge in edges]} outside its image of {columns} x {rows}"
    share = (clipped[2] - clipped[0]) * (clipped[3] - clipped[1]) / (width * height)
    return [] if gone else clipped, area * share, fault if gone or over > _ROUNDING else ""


def _truth(rows: list[_Row]) -> Truth:
    return Truth(
        np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        np.array([row.label for row in rows], np.int64),
        np.array([row.crowd for row in rows], bool),
        np.array([row.area for row in rows], np.float32),
    )
