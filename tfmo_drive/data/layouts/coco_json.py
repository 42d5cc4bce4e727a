"""Reads and checks one annotation file in COCO's format for object detection (https://cocodataset.org/#format-data).

{"images": [{"id", "file_name", "width", "height"}], "annotations": [{"id", "image_id", "category_id", "bbox": [x, y,
width, height], "area", "iscrowd"}], "categories": [{"id", "name"}]}; an annotation's id, area and iscrowd may be left
out, and bbox where polygons are its "segmentation": [[x, y, x, y, ...], ...].
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfmo_drive.base import given_file
from tfmo_drive.base.given_file import is_number
from tfmo_drive.base.spelling import shortened
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import Truth
from tfmo_drive.data.class_names import clean, quoted, refuse_unfit
from tfmo_drive.data.found_files import identity

_ROUNDING = 1.0
"""Pixels by which a box may leave its image without a word: tools round, or count the last pixel's far edge."""


@dataclasses.dataclass(frozen=True)
class Document:
    """Holds a file as read; its images and annotations are not checked yet."""

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: Mapping[int, str]
    """{id: name}, by rising id."""


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


def read_document(path: Path) -> Document:
    """Returns the document in a file.

    A category that no annotation has and that is the group (supercategory) of others is left out. Raises BadInput where
    the file is no COCO JSON, holds no annotation, names a category twice, or gives it a name that no class may have.
    """
    facts = given_file.json_of(path, "a COCO JSON file")
    parts = [facts.get(key) if isinstance(facts, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(part, list) and all(isinstance(item, dict) for item in part) for part in parts):
        raise BadInput(f"{path}: expected COCO's images, annotations and categories, each a list of objects.")
    images, annotations, categories = parts
    if not annotations or not images:
        raise BadInput(f"{path}: no {'annotations' if images else 'images'}. Name another file, or add some.")
    # Roboflow lists the group of all classes as one more, which no object has.
    used = {key for annotation in annotations if _is_id(key := annotation.get("category_id"))}
    groups = [(category.get("supercategory"), category.get("name")) for category in categories]
    groups = {group for group, name in groups if _is_id(group) and group != name}
    pairs = [(category.get("id"), category.get("name")) for category in categories]
    pairs = [pair for pair in pairs if not all(map(_is_id, pair)) or pair[1] not in groups or pair[0] in used]
    if not pairs or any(type(key) is not int or not isinstance(name, str) or not name for key, name in pairs):
        raise BadInput(f"{path}: every category must have a whole number id and a name, got {str(pairs)[:60]}.")
    twice = [str(key) for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise BadInput(f"{path}: categories must differ in their id, got {quoted(twice)} more than once.")
    named = {key: clean(name) for key, name in sorted(pairs)}
    refuse_unfit(path, list(named.values()), said=True)
    return Document(path, images, annotations, named)


def usable(document: Document, indices: Mapping[int, int], locate: Callable[[str], Path | None]) -> Usable:
    """Checks all images and annotations and returns those that can be used.

    Args:
        document: The file as read.
        indices: {category id: class index} of the classes that are asked for.
        locate: Returns the path of the image of a name (see `name_of`), or None where it is missing.

    Raises:
        BadInput: No box is in pixels.
    """
    boxes = [_box(annotation) for annotation in document.annotations]
    _refuse_shares(document.path, [box for box in boxes if box and min(box[2:]) > 0])
    faults: list[str] = []
    images = _images(document, locate, faults)
    known = {image.get("id") for image in document.images if _is_id(image.get("id"))}
    rows: dict[int | str, list[_Row]] = {key: [] for key in images}
    ignored, said, repeated = 0, set(), 0
    for place, (annotation, box) in enumerate(zip(document.annotations, boxes, strict=True)):
        image, label = annotation.get("image_id"), annotation.get("category_id")
        if type(label) is int and label in document.categories and label not in indices:
            ignored += 1
            continue
        fault = _broken(annotation, box, known, document.categories)
        if not fault and image in images:  # an unusable image was already reported
            row, fault = _inside(annotation, box, images[image][2])
            one = image, label, *box, bool(annotation.get("iscrowd"))
            if one in said:
                repeated += 1
                continue
            said.add(one)
            if row:
                rows[image].append(row._replace(label=indices[label]))
        if fault:
            named = _shown(annotation["id"]) if "id" in annotation else f"at place {place}"
            faults.append(f"annotation {named} ({fault})")
            if (box is None or _mistyped(annotation)) and _is_id(image):
                images.pop(image, None)
    names, files, sizes = map(list, zip(*images.values(), strict=True)) if images else ([], [], [])
    return Usable(names, files, sizes, [_truth(rows[key]) for key in images], faults, ignored, repeated)


def name_of(image: Mapping[str, Any]) -> str:
    """Returns an image's file_name with slashes, whatever machine it was written on; "" where it has none."""
    name = image.get("file_name")
    return name.replace("\\", "/") if isinstance(name, str) else ""


class _Row(NamedTuple):
    box: list[float]
    label: int
    crowd: bool
    area: float


def _images(
    document: Document, locate: Callable[[str], Path | None], faults: list[str]
) -> dict[int | str, tuple[str, Path, tuple[int, int]]]:
    """Returns {id: (name, file, (height, width))} for the images that can be used."""
    found, names = {}, set()
    for image in document.images:
        key, name = image.get("id"), name_of(image)
        size = image.get("height"), image.get("width")
        file = locate(name) if name else None
        if not _is_id(key) or not name:
            fault = "no id or no file_name" if key is None or not name else "its id is no whole number and no text"
        elif key in found or name in names or (file and identity(file) in names):
            fault = f"id {_shown(key)} or file {name[:200]} twice"
        elif not all(is_number(side) and side == int(side) and side >= 1 for side in size):
            fault = f"{name[:200]} has height {_shown(size[0])} and width {_shown(size[1])}"
        else:
            fault = "" if file else f"{name[:200]} is missing"
        if fault:
            faults.append(f"image {_shown(key)} ({fault})")
        else:
            names |= {name, identity(file)}
            found[key] = name, file, (int(size[0]), int(size[1]))
    return found


def _is_id(value: Any) -> bool:
    """Says whether a value is an id: a whole number or a text, not JSON's true, which is 1 to Python, nor 1.0."""
    return type(value) in (int, str)


def _mistyped(annotation: dict[str, Any]) -> str:
    """Returns why the annotation's iscrowd or area cannot be meant, or "": Python takes "0" for true."""
    crowd, area = annotation.get("iscrowd", 0), annotation.get("area")
    if type(crowd) not in (int, float, bool) or crowd not in (0, 1):
        return f"iscrowd {_shown(crowd)} is not 0 or 1"
    if area is not None and type(area) not in (int, float):
        return f"area {_shown(area)} is no number"
    return ""


def _shown(value: Any) -> str:
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
    """Returns x, y, width, height of the bbox, or else the bounds of the polygons; None without either."""
    box = annotation.get("bbox")
    if box not in (None, []):
        return box if isinstance(box, list) and len(box) == 4 and all(map(is_number, box)) else None
    polygons = annotation.get("segmentation")
    if not isinstance(polygons, list) or not polygons or not all(map(_is_polygon, polygons)):
        return None
    x, y = ([side for polygon in polygons for side in polygon[start::2]] for start in (0, 1))
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def _is_polygon(outline: Any) -> bool:
    return isinstance(outline, list) and len(outline) >= 6 and len(outline) % 2 == 0 and all(map(is_number, outline))


def _refuse_shares(path: Path, boxes: list[list[float]]) -> None:
    if boxes and max(map(max, boxes)) <= 1:
        raise BadInput(
            f"{path}: boxes must be x, y, width, height in pixels, got none above 1: shares of the image, as "
            f"{boxes[0]}. Multiply x and width by the image's width, y and height by its height."
        )


def _broken(
    annotation: dict[str, Any], box: list[float] | None, known: set[int | str], categories: Mapping[int, str]
) -> str:
    """Returns what makes an annotation unusable whatever its image is, or ""."""
    image, label = annotation.get("image_id"), annotation.get("category_id")
    if not _is_id(image) or image not in known:
        return f"no image {_shown(image)}"
    if type(label) is not int or label not in categories:
        return f"no category {_shown(label)}"
    if fault := _mistyped(annotation):
        return fault
    if box is None:
        said = annotation.get("bbox")
        return "no bbox, and no polygons" if said in (None, []) else f"bbox {_shown(said)} is not x, y, width, height"
    return "" if box[2] > 0 and box[3] > 0 else f"box of {box[2]:g} x {box[3]:g}, no area"


def _inside(annotation: dict[str, Any], box: list[float], size: tuple[int, int]) -> tuple[_Row | None, str]:
    """Returns the annotation clipped to its image, or None where nothing is left, and what is wrong with it, or ""."""
    (x, y, width, height), (rows, columns) = box, size
    box = [x, y, x + width, y + height]
    clipped = [min(max(edge, 0), side) for edge, side in zip(box, (columns, rows) * 2, strict=True)]
    gone = clipped[2] <= clipped[0] or clipped[3] <= clipped[1]
    over = max(abs(edge - kept) for edge, kept in zip(box, clipped, strict=True))
    fault = f"box {[round(edge, 2) for edge in box]} outside its image of {columns} x {rows}"
    area = annotation.get("area")
    area = area if is_number(area) and area > 0 else width * height
    share = (clipped[2] - clipped[0]) * (clipped[3] - clipped[1]) / (width * height)
    row = _Row(clipped, annotation["category_id"], bool(annotation.get("iscrowd")), area * share)
    return None if gone else row, fault if gone or over > _ROUNDING else ""


def _truth(rows: list[_Row]) -> Truth:
    return Truth(
        np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        np.array([row.label for row in rows], np.int64),
        np.array([row.crowd for row in rows], bool),
        np.array([row.area for row in rows], np.float32),
    )
