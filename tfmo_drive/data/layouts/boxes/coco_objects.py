"""Reads COCO's own objects (https://cocodataset.org/#format-data) into a document of arrays.

An image is {"id", "file_name", "width", "height"}, an annotation {"id", "image_id", "category_id", "bbox": [x, y,
width, height], "area", "iscrowd"}; its id, area and iscrowd may be left out, and bbox where its "segmentation" says the
outline: polygons [[x, y, x, y, ...], ...], or a mask's run lengths (RLE). A category is {"id", "name"}. An image
without a width and a height has those of its file, and one without a file_name is called as its coco_url says.
"""

from __future__ import annotations

import dataclasses
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as run_lengths

from tfmo_drive.base import given_file
from tfmo_drive.base.given_file import is_number
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import clean, quoted, refuse_unfit
from tfmo_drive.data.found_files import identity
from tfmo_drive.data.image_headers import quick_size_of
from tfmo_drive.data.images import UnreadableImage
from tfmo_drive.data.layouts.boxes.box_document import Document, Objects, is_id, shown

_RUNS = re.compile("([P-o]{0,6}[0-O])+")
"""Run lengths as text: numbers of at most 7 letters, each 5 bits, of which all but the last have the sixth bit set."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Holds what a file says: its path, images and annotations as they are, and {id: name} of its categories."""

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: Mapping[int | str, str]


def read(path: Path) -> Facts:
    """Returns what a file says, without categories where it holds no image or no annotation.

    A category that no annotation has and that is the group (supercategory) of others is left out. Raises BadInput where
    the file is no COCO JSON, names a category twice, or gives it a name that no class may have.
    """
    facts = given_file.json_of(path, "a COCO JSON file")
    parts = [facts.get(key) if isinstance(facts, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(part, list) and all(isinstance(item, dict) for item in part) for part in parts):
        raise BadInput(f"{path}: expected COCO's images, annotations and categories, each a list of objects.")
    images, annotations, categories = parts
    if not annotations or not images:
        return Facts(path, images, annotations, {})
    # Roboflow lists the group of all classes as one more, which no object has.
    used = {key for annotation in annotations if is_id(key := annotation.get("category_id"))}
    groups = [(category.get("supercategory"), category.get("name")) for category in categories]
    groups = {group for group, name in groups if is_id(group) and group != name}
    pairs = [(category.get("id"), category.get("name")) for category in categories]
    pairs = [pair for pair in pairs if not all(map(is_id, pair)) or pair[1] not in groups or pair[0] in used]
    if not pairs or any(not is_id(key) or not isinstance(name, str) or not name for key, name in pairs):
        raise BadInput(f"{path}: every category must have an id and a name, got {str(pairs)[:60]}.")
    twice = [str(key) for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise BadInput(f"{path}: categories must differ in their id, got {quoted(twice)} more than once.")
    pairs.sort(key=lambda pair: (isinstance(pair[0], str), pair[0]))
    named = {key: clean(name) for key, name in pairs}
    refuse_unfit(path, list(named.values()), said=True)
    return Facts(path, images, annotations, named)


def document_of(facts: Facts, files: Mapping[str, Path | None], looked: Sequence[Path] = ()) -> Document:
    """Returns a file's document.

    Args:
        facts: What the file says.
        files: {name of an image: where it lies}, None or nothing where it is missing.
        looked: The folders in which images were looked for.
    """
    names = [name_of(image) for image in facts.images]
    places = [str(files.get(name) or "") if name else "" for name in names]
    images, broken, sizes = _images(facts.images, names, places)
    owners, labels, crowds, boxes, areas = (array(kind) for kind in "iibdd")
    words: dict[int | str, int] = {}
    unread: dict[int, str] = {}
    for place, annotation in enumerate(facts.annotations):
        image, label, area = (annotation.get(key) for key in ("image_id", "category_id", "area"))
        known, mistyped = is_id(image) and image in images, _mistyped(annotation)
        box = None if mistyped else _box(annotation)
        if not known:
            unread[place] = f"no image {shown(image)}"
        elif not is_id(label) or label not in facts.categories:
            unread[place] = f"no category {shown(label)}"
        elif mistyped or box is None:
            unread[place] = mistyped or _unboxed(annotation)
        owners.append(images[image] if known else -1)
        labels.append(words.setdefault(label, len(words)) if is_id(label) else -1)
        crowds.append(not mistyped and bool(annotation.get("iscrowd")))
        boxes.extend(box or [np.nan] * 4)
        areas.append(area if is_number(area) and area > 0 else 0)
    objects = Objects(
        np.asarray(owners), np.asarray(labels), list(words), np.asarray(boxes).reshape(-1, 4),
        np.asarray(crowds).astype(bool), unread, np.asarray(areas),
    )  # fmt: skip
    return Document(facts.path, names, places, sizes, objects, facts.categories, broken, looked,
                    where=lambda place: _called(facts.annotations[place], place))  # fmt: skip


def name_of(image: Mapping[str, Any]) -> str:
    """Returns an image's file_name with slashes, whatever machine it was written on; "" where it has none.

    Of the address of an image on the internet, what begins with ? is no part of its name.
    """
    name = image.get("file_name") or image.get("coco_url")
    name = name.replace("\\", "/") if isinstance(name, str) else ""
    return re.split("[?#]", name)[0] if re.match("https?://", name) else name


def _called(annotation: Mapping[str, Any], place: int) -> str:
    return "annotation " + (shown(annotation["id"]) if "id" in annotation else f"at place {place}")


def _images(
    images: Sequence[Mapping[str, Any]], names: Sequence[str], files: Sequence[str]
) -> tuple[dict[int | str, int], dict[int, str], np.ndarray]:
    """Returns {id: index} of images, {index: why} of those that cannot be used, and sizes int64 [n, 2]."""
    found, seen, sizes = {}, set(), np.zeros((len(images), 2), np.int64)
    broken: dict[int, str] = {}
    for index, (image, name, file) in enumerate(zip(images, names, files, strict=True)):
        key, size = image.get("id"), (image.get("height"), image.get("width"))
        own = identity(file) if file else None
        if file and size == (None, None):
            size = _size_of(file)
        if not is_id(key) or not name:
            fault = "no id or no file_name" if key is None or not name else "its id is no whole number and no text"
        elif key in found or name in seen or own in seen:
            fault = f"id {shown(key)} or file {name[:200]} twice"
        elif not all(is_number(side) and side == int(side) and side >= 1 for side in size):
            fault = f"{name[:200]} has height {shown(size[0])} and width {shown(size[1])}"
        else:
            fault = "" if file else f"{name[:200]} is missing"
        if fault:
            broken[index] = f"image {shown(key)} ({fault})"
        else:
            seen |= {name, own}
            found[key] = index
            sizes[index] = size
    ids = {key: index for index, image in enumerate(images) if is_id(key := image.get("id"))}
    return ids | found, broken, sizes


def _size_of(file: str) -> tuple[int | None, int | None]:
    """Returns an image's (height, width) as its file says them; None where that cannot be read."""
    try:
        return quick_size_of(file)
    except UnreadableImage:
        return None, None


def _mistyped(annotation: Mapping[str, Any]) -> str:
    """Returns why the annotation's iscrowd or area cannot be meant, or "": Python takes "0" for true."""
    crowd, area = annotation.get("iscrowd", 0), annotation.get("area")
    if type(crowd) not in (int, float, bool) or crowd not in (0, 1):
        return f"iscrowd {shown(crowd)} is not 0 or 1"
    if area is not None and type(area) not in (int, float):
        return f"area {shown(area)} is no number"
    return ""


def _unboxed(annotation: Mapping[str, Any]) -> str:
    said = annotation.get("bbox")
    return "no bbox, and no outline" if said in (None, []) else f"bbox {shown(said)} is not x, y, width, height"


def _box(annotation: Mapping[str, Any]) -> list[float] | None:
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
