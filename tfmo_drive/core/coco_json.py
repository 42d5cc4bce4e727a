"""One annotation file in COCO's format for object detection (https://cocodataset.org/#format-data), checked.

{"images": [{"id", "file_name", "width", "height"}], "annotations": [{"id", "image_id", "category_id", "bbox": [x, y,
width, height], "area", "iscrowd"}], "categories": [{"id", "name"}]}; area and iscrowd may be left out.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.boxes import Truth
from tfmo_drive.core.class_names import quoted

_ROUNDING = 1.0
"""Pixels by which a box may leave its image without a word: tools round, or count the last pixel's far edge."""


@dataclasses.dataclass(frozen=True)
class Document:
    """A file as read; its images and annotations are not checked yet."""

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: Mapping[int, str]
    """{id: name}, by rising id."""


@dataclasses.dataclass(frozen=True)
class Usable:
    """Images of a document that can be used, in its order; sizes are (height, width)."""

    names: list[str]
    files: list[Path]
    sizes: list[tuple[int, int]]
    truths: list[Truth]
    faults: list[str]
    """What is wrong with every other image or box; a box partly outside is clipped and is here too."""
    ignored: int
    """Annotations of categories that were not asked for."""


def read_document(path: Path) -> Document:
    """Raises BadInput where the file is no COCO JSON, holds no annotation, or names a category twice."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}. Expected a COCO JSON file.") from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON: {error}. Expected a COCO JSON file.") from error
    parts = [facts.get(key) if isinstance(facts, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(part, list) and all(isinstance(item, dict) for item in part) for part in parts):
        raise BadInput(f"{path}: expected COCO's images, annotations and categories, each a list of objects.")
    images, annotations, categories = parts
    if not annotations or not images:
        raise BadInput(f"{path}: no {'annotations' if images else 'images'}. Name another file, or add some.")
    pairs = [(category.get("id"), category.get("name")) for category in categories]
    if not pairs or any(type(key) is not int or not isinstance(name, str) or not name for key, name in pairs):
        raise BadInput(f"{path}: every category must have a whole number id and a name, got {str(pairs)[:60]}.")
    for what, values in zip(("id", "name"), zip(*pairs, strict=True), strict=True):
        twice = [str(value) for value, count in Counter(values).items() if count > 1]
        if twice:
            raise BadInput(f"{path}: categories must differ in their {what}, got {quoted(twice)} more than once.")
    return Document(path, images, annotations, dict(sorted(pairs)))


def usable(document: Document, indices: Mapping[int, int], locate: Callable[[str], Path | None]) -> Usable:
    """Check all images and annotations; `indices`: {category id: class index} of the classes that are asked for.

    `locate` says where the file of that name is, or None.
    """
    faults: list[str] = []
    images = _images(document, locate, faults)
    known = {image.get("id") for image in document.images if isinstance(image.get("id"), int | str)}
    rows: dict[int | str, list[_Row]] = {key: [] for key in images}
    seen, ignored = set(), 0
    for annotation in document.annotations:
        key = str(annotation.get("id"))
        fault = f"id {key} twice" if key in seen else _broken(annotation, known, document.categories)
        seen.add(key)
        if not fault and annotation["category_id"] not in indices:
            ignored += 1
        elif not fault and annotation["image_id"] in images:  # of an image that cannot be used, that was said
            row, fault = _inside(annotation, images[annotation["image_id"]][2])
            if row:
                rows[annotation["image_id"]].append(row._replace(label=indices[row.label]))
        if fault:
            faults.append(f"annotation {key} ({fault})")
    names, files, sizes = map(list, zip(*images.values(), strict=True)) if images else ([], [], [])
    return Usable(names, files, sizes, [_truth(part) for part in rows.values()], faults, ignored)


class _Row(NamedTuple):
    box: list[float]
    label: int
    crowd: bool
    area: float


def _images(
    document: Document, locate: Callable[[str], Path | None], faults: list[str]
) -> dict[int | str, tuple[str, Path, tuple[int, int]]]:
    """{id: (name, file, (height, width))} of the images that can be used."""
    found, names = {}, set()
    for image in document.images:
        key, name = image.get("id"), image.get("file_name")
        size = image.get("height"), image.get("width")
        file = locate(name) if isinstance(name, str) and name else None
        if not isinstance(key, int | str) or not isinstance(name, str):
            fault = "no id or no file_name"
        elif key in found or name in names:
            fault = f"id {key} or file {name} twice"
        elif any(type(side) is not int or side < 1 for side in size):
            fault = f"{name} has height {size[0]} and width {size[1]}"
        else:
            fault = "" if file else f"{name} is missing"
        if fault:
            faults.append(f"image {key} ({fault})")
        else:
            names.add(name)
            found[key] = name, file, size
    return found


def _broken(annotation: dict[str, Any], known: set[int | str], categories: Mapping[int, str]) -> str:
    """What makes an annotation unusable whatever its image is, or nothing."""
    image, label, box = (annotation.get(key) for key in ("image_id", "category_id", "bbox"))
    if not isinstance(image, int | str) or image not in known:
        return f"no image {image}"
    if type(label) is not int or label not in categories:
        return f"no category {label}"
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(side, int | float) for side in box)
    if not numbers or not all(map(math.isfinite, box)):
        return f"bbox {str(box)[:40]} is not x, y, width, height"
    return "" if box[2] > 0 and box[3] > 0 else f"box of {box[2]:g} x {box[3]:g}, no area"


def _inside(annotation: dict[str, Any], size: tuple[int, int]) -> tuple[_Row | None, str]:
    """The annotation clipped to its image, None where nothing is left; and what is wrong with it, or nothing."""
    (x, y, width, height), (rows, columns) = annotation["bbox"], size
    box = [x, y, x + width, y + height]
    clipped = [min(max(edge, 0), side) for edge, side in zip(box, (columns, rows) * 2, strict=True)]
    gone = clipped[2] <= clipped[0] or clipped[3] <= clipped[1]
    over = max(abs(edge - kept) for edge, kept in zip(box, clipped, strict=True))
    fault = f"box {[round(edge, 2) for edge in box]} outside its image of {columns} x {rows}"
    area = annotation.get("area")
    usable = isinstance(area, int | float) and math.isfinite(area) and area > 0
    crowd = bool(annotation.get("iscrowd"))
    row = _Row(clipped, annotation["category_id"], crowd, area if usable else width * height)
    return None if gone else row, fault if gone or over > _ROUNDING else ""


def _truth(rows: list[_Row]) -> Truth:
    return Truth(
        np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        np.array([row.label for row in rows], np.int64),
        np.array([row.crowd for row in rows], bool),
        np.array([row.area for row in rows], np.float32),
    )
