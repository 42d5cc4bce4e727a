"""Checks what any layout of boxes says, once it is read into arrays: which images and objects can be used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base.spelling import shortened
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import Truth, Truths

LARGEST = 1e15
"""The largest number that a box may hold, so that its square is finite in float32."""
_ROUNDING = 1.0
"""Pixels by which a box may leave its image without a word: tools round, or count the last pixel's far edge."""
EVERY = object()
"""The category of an object that may be of any class, such as KITTI's DontCare: a crowd of each."""
_ANY, _OTHER, _UNKNOWN = -1, -2, -3
"""What stands in place of a class's index: for EVERY, for a category that nobody asked for, and for none that is
known."""


@dataclasses.dataclass(frozen=True)
class Objects:
    """Holds the objects of all images of a document, which are not checked yet.

    Args:
        images: The index of each object's image, int [m]; -1 for none.
        labels: The index of its category in `words`, int [m]; -1 for none.
        words: Ids of categories, or EVERY; one that the document does not know makes its objects unusable.
        boxes: x, y, width, height, float64 [m, 4]; NaN where they are unknown.
        crowds: Whether finding it is neither right nor wrong, bool [m].
        unread: {place: why} of objects that the layout's reader could not read.
        areas: The areas of the objects themselves, float64 [m], 0 where none is told; None tells of none.
    """

    images: np.ndarray
    labels: np.ndarray
    words: Sequence[Hashable]
    boxes: np.ndarray
    crowds: np.ndarray
    unread: Mapping[int, str]
    areas: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclasses.dataclass(frozen=True)
class Document:
    """Holds what one split of a layout says of its images, which is not checked yet.

    Args:
        path: The file or folder that says it, with which messages begin.
        names: The images' paths in the layout [n], by which neighbours in a recording are found.
        files: Where the images lie [n]; "" where one is missing.
        sizes: Their (height, width), int64 [n, 2].
        objects: The objects.
        categories: {id: name}, in the order of the classes.
        broken: {index: why} of images that cannot be used.
        looked: The folders in which images were looked for.
        attributes: {index: {"weather": "rainy"}} of images of which something is told.
        where: Returns what messages call the object at a place.
        says_sizes: Whether the layout says the sizes; else they are those of the image files.
        in_pixels: Whether the layout's own boxes are in pixels.
        usual: The names of the classes that are taken where nobody chooses; () is all.
    """

    path: Path
    names: Sequence[str]
    files: Sequence[str]
    sizes: np.ndarray
    objects: Objects
    categories: Mapping[int | str, str]
    broken: Mapping[int, str] = dataclasses.field(default_factory=dict)
    looked: Sequence[Path] = ()
    attributes: Mapping[int, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    where: Callable[[int], str] = str
    says_sizes: bool = True
    in_pixels: bool = True
    usual: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Usable:
    """Lists the images of a document that can be used, in its order; sizes are (height, width), int64 [n, 2]."""

    names: list[str]
    files: list[str]
    sizes: np.ndarray
    truths: Truths
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
    """Checks all images and objects and returns those that can be used.

    Args:
        document: What a layout says.
        indices: {category id: class index} of the classes that are asked for.

    Raises:
        BadInput: No box is in pixels.
    """
    objects = document.objects
    if document.in_pixels:
        _refuse_shares(document.path, objects.boxes)
    classes = [_class(word, document.categories, indices) for word in objects.words]
    kinds = np.array([*classes, _UNKNOWN])[objects.labels]
    faults = _faults(document, kinds)
    # Before the first object of unknown box, an image's objects are looked at as those of others.
    end, places = np.full(len(document.names) + 1, len(objects)), np.arange(len(objects))
    end[list(document.broken)] = -1
    lost = np.flatnonzero(~_is_known(objects.boxes) & (kinds != _OTHER) & (objects.images >= 0))
    np.minimum.at(end, objects.images[lost], lost)
    fit = (places < end[objects.images]) & (kinds != _OTHER) & (objects.images >= 0)
    fit[list(faults)] = False
    again = _repeated(objects, np.flatnonzero(fit))
    fit[again] = False
    kept = np.flatnonzero(fit)
    edges, areas, outside = _inside(objects, kept, document.sizes)
    faults |= {int(kept[row]): why for row, why in outside.items()}
    left = (edges[:, 2] > edges[:, 0]) & (edges[:, 3] > edges[:, 1])
    used = np.flatnonzero(end[:-1] == len(objects))
    left &= end[objects.images[kept]] == len(objects)
    kept, edges, areas = kept[left], edges[left], areas[left]
    found = Truth(edges, kinds[kept], objects.crowds[kept], areas)
    truths = _truths(objects.images[kept], found, used, len(indices))
    said = [document.broken[index] for index in sorted(document.broken)]
    said += [f"{document.where(place)} ({faults[place]})" for place in sorted(faults)]
    chosen = used.tolist()
    return Usable(
        [document.names[index] for index in chosen], [document.files[index] for index in chosen], document.sizes[used],
        truths, said, int((kinds == _OTHER).sum()), len(again),
        [document.attributes.get(index, {}) for index in chosen] if document.attributes else [],
    )  # fmt: skip


def is_id(value: Any) -> bool:
    """Says whether a value is an id: a whole number, 1.0 too, or a text; not true, which Python takes for 1."""
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


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


def _numbers(values: np.ndarray, decimals: int = 17) -> list[float]:
    """Returns numbers to be shown, whole ones without a fraction."""
    rounded = [round(value, decimals) for value in values.tolist()]
    return [int(value) if value.is_integer() and abs(value) <= LARGEST else value for value in rounded]


def _class(word: Hashable, categories: Mapping[int | str, str], indices: Mapping[int | str, int]) -> int:
    if word is EVERY:
        return _ANY
    return indices.get(word, _OTHER) if word in categories else _UNKNOWN


def _is_known(boxes: np.ndarray) -> np.ndarray:
    return (np.abs(boxes) <= LARGEST).all(axis=1)


def _is_solid(boxes: np.ndarray) -> np.ndarray:
    """Says which boxes are known and have an area, also where a side is less than the numbers' precision."""
    known = _is_known(boxes)
    there = np.where(known[:, None], boxes, 0)
    return known & (there[:, :2] + there[:, 2:] > there[:, :2]).all(axis=1)


def _refuse_shares(path: Path, boxes: np.ndarray) -> None:
    solid = boxes[_is_solid(boxes)]
    if len(solid) and solid.max() <= 1:
        raise BadInput(
            f"{path}: boxes must be x, y, width, height in pixels, got none above 1: shares of the image, as "
            f"{_numbers(solid[0])}. Multiply x and width by the image's width, y and height by its height."
        )


def _faults(document: Document, kinds: np.ndarray) -> dict[int, str]:
    """Returns {place: why} of the objects that are unusable whatever their image is, but for those not asked for."""
    objects, found = document.objects, {}
    odd = (kinds != _OTHER) & (~_is_solid(objects.boxes) | (kinds == _UNKNOWN) | (objects.images < 0))
    for place in np.flatnonzero(odd).tolist():
        box = objects.boxes[place]
        if place in objects.unread:
            found[place] = objects.unread[place]
        elif kinds[place] == _UNKNOWN:
            found[place] = f"no category {shown(objects.words[objects.labels[place]])}"
        elif not _is_known(box[None])[0]:
            found[place] = f"bbox {shown(_numbers(box))} is not x, y, width, height"
        else:
            found[place] = f"box of {box[2]:g} x {box[3]:g}, no area"
    return found


def _repeated(objects: Objects, places: np.ndarray) -> list[int]:
    """Returns those of these places whose object is equal to an earlier one of them."""
    images, left = objects.images[places], objects.boxes[places, 0]
    order = np.lexsort((left, images))
    near = (np.diff(images[order]) == 0) & (np.diff(left[order]) == 0)  # of most images, no two boxes begin alike
    said, again = set(), []
    for place in np.sort(places[order[np.append(near, False) | np.append(False, near)[: len(order)]]]).tolist():
        one = (*(int(column[place]) for column in (objects.images, objects.labels, objects.crowds)),
               *objects.boxes[place].tolist())  # fmt: skip
        if one in said:
            again.append(place)
        said.add(one)
    return again


def _inside(objects: Objects, places: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Returns the edges of the objects at these places, clipped to their images, their areas, and {row: what is wrong}.

    Of a box that is clipped, the area shrinks with it; nothing is left of one that lies outside.
    """
    edges = objects.boxes[places]
    areas = edges[:, 2] * edges[:, 3]
    if objects.areas is not None:
        areas = np.where(objects.areas[places] > 0, objects.areas[places], areas)
    edges[:, 2:] += edges[:, :2]
    images = objects.images[places]
    rows, columns = sizes[images].T
    beyond = (edges[:, 0] < 0) | (edges[:, 1] < 0) | (edges[:, 2] > columns) | (edges[:, 3] > rows)
    odd = np.flatnonzero(beyond)
    sides = np.tile(sizes[images[odd], ::-1], 2)
    clipped = np.clip(edges[odd], 0, sides)
    spans = np.maximum(clipped[:, 2:] - clipped[:, :2], 0)
    areas[odd] *= spans.prod(axis=1) / objects.boxes[places[odd], 2:].prod(axis=1)
    told = (spans == 0).any(axis=1) | (np.abs(edges[odd] - clipped).max(axis=1, initial=0) > _ROUNDING)
    wrong = {
        row: f"box {_numbers(edge, 2)} outside its image of {width} x {height}"
        for row, edge, (width, height, *_) in zip(
            odd[told].tolist(), edges[odd[told]], sides[told].tolist(), strict=True
        )
    }
    edges[odd] = clipped
    return edges, areas, wrong


def _truths(images: np.ndarray, found: Truth, used: np.ndarray, count: int) -> Truths:
    """Returns objects image by image; one of any class becomes one of each.

    Args:
        images: The indices of the objects' images, int64 [m].
        found: The objects, of which classes may be _ANY.
        used: The indices of the images that can be used; no object is of another.
        count: The number of classes.
    """
    order = np.argsort(images, kind="stable")
    times = np.where(found.classes[order] == _ANY, count, 1)
    whole = found.at(np.repeat(order, times))
    ranks = np.arange(len(whole)) - np.repeat(np.cumsum(times) - times, times)
    counts = np.bincount(np.repeat(images[order], times), minlength=used.max(initial=-1) + 1)[used]
    classes = np.where(whole.classes == _ANY, ranks, whole.classes).astype(np.int64)
    boxes, areas = whole.boxes.astype(np.float32), whole.areas.astype(np.float32)
    return Truths(Truth(boxes, classes, whole.crowd, areas), np.cumsum(counts))
