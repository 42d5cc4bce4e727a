"""Gathers what layouts say, image by image, into arrays, which become documents that one check serves."""

from __future__ import annotations

import dataclasses
import itertools
import os
import resource
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import clean, ordered, refuse_unfit
from tfmo_drive.data.found_files import folders_below, identities, names_in
from tfmo_drive.data.image_headers import quick_size_of
from tfmo_drive.data.images import SUFFIXES, UnreadableImage
from tfmo_drive.data.layouts.boxes.box_document import EVERY, Document, Objects, shown
from tfmo_drive.data.layouts.named_images import is_of_masks
from tfmo_drive.data.paths import split as split_path
from tfmo_drive.data.splitting import split_of_path

_THREADS, _CHUNK = 8, 256
"""The number of threads that read files, which wait for a disk most of the time, and of files that one reads in a
turn."""
_DEEP = 4
"""The number of folders below one another in which images, or their labels, are looked for."""
_LARGEST = 2**31 - 1
"""The largest side of an image that is kept."""
_UNKNOWN = (float("nan"),) * 4
T, R = TypeVar("T"), TypeVar("R")
Label = str | int | object
"""A class's name, its id where the layout lists its classes, or EVERY."""


class Gathered:
    """Gathers the images of a layout and their objects; an object of Python for each box would take gigabytes."""

    def __init__(self) -> None:
        self.names: list[str] = []
        """The images' paths in the layout, by which neighbours in a recording are found."""
        self.files: list[str] = []
        """Where the images lie; "" where one is missing."""
        self.splits: list[str] = []
        """The splits that the layout gives them; "train" where it gives none."""
        self.sources: list[str] = []
        """What messages call their objects, but for the number of each."""
        self.sizes = array("i")
        """Their heights and widths in pixels, 0 where the layout does not say them."""
        self.attributes: dict[int, Mapping[str, str]] = {}
        """What is told of some images: {index: {"weather": "rainy"}}."""
        self.broken: dict[int, str] = {}
        """Why what is said of some images cannot be read, by their indices."""
        self.images, self.numbers, self.crowds = array("i"), array("i"), array("b")
        """The index of each object's image, its own number for messages, and whether it is a crowd."""
        self.labels, self.words = array("i"), {}
        """The index of each object's class, and {class: index}."""
        self.boxes = array("d")
        """Its x0, y0, x1, y1 in pixels, or in shares of the image; NaN where they are unknown."""
        self.unread: dict[int, str] = {}
        """Why some objects cannot be read, by their places."""

    def image(self, name: str, file: Path | str | None, split: str = "train", source: str = "") -> int:
        """Adds an image and returns its index."""
        self.names.append(name)
        self.files.append(os.fspath(file) if file else "")
        self.splits.append(split)
        self.sources.append(source)
        self.sizes.extend((0, 0))
        return len(self.names) - 1

    def size(self, height: int, width: int) -> None:
        """Says how large the last image is, in pixels."""
        if max(height, width) > _LARGEST:
            self.broken[len(self.names) - 1] = f"it has height {shown(height)} and width {shown(width)}"
        else:
            self.sizes[-2:] = array("i", (height, width))

    def object(
        self, label: Label, box: Sequence[float], number: int, crowd: bool = False, image: int | None = None
    ) -> None:
        """Adds an object of an image, by default of the last."""
        self.images.append(len(self.names) - 1 if image is None else image)
        self.labels.append(self.words.setdefault(label, len(self.words)))
        self.boxes.extend(box)
        self.numbers.append(number)
        self.crowds.append(crowd)

    def objects(self, images: np.ndarray, labels: np.ndarray, boxes: np.ndarray, numbers: np.ndarray) -> None:
        """Adds many objects, none of them a crowd: int [m], int [m], float64 [m, 4] and int [m]."""
        words, codes = np.unique(labels, return_inverse=True)
        known = [self.words.setdefault(word, len(self.words)) for word in words.tolist()]
        self.labels.frombytes(np.array(known, np.int32)[codes].tobytes())
        self.images.frombytes(images.astype(np.int32).tobytes())
        self.boxes.frombytes(boxes.astype(np.float64).tobytes())
        self.numbers.frombytes(numbers.astype(np.int32).tobytes())
        self.crowds.frombytes(bytes(len(images)))

    def fault(self, why: str, number: int, image: int | None = None) -> None:
        """Adds an object that cannot be read, with the reason."""
        self.unread[len(self.images)] = why
        self.object(EVERY, _UNKNOWN, number, image=image)

    def called(self, image: int, number: int) -> str:
        """Returns what messages call an object of an image."""
        return f"{self.sources[image]} {number}"

    def extend(self, other: Gathered) -> None:
        """Adds what another has gathered."""
        images, places = len(self.names), len(self.images)
        for name in ("names", "files", "splits", "sources", "sizes", "numbers", "crowds", "boxes"):
            getattr(self, name).extend(getattr(other, name))
        words = np.array([self.words.setdefault(word, len(self.words)) for word in other.words], np.int32)
        self.labels.frombytes(words[np.asarray(other.labels)].tobytes())
        self.images.frombytes((np.asarray(other.images) + np.int32(images)).tobytes())
        for name, shift in (("attributes", images), ("broken", images), ("unread", places)):
            getattr(self, name).update({shift + place: value for place, value in getattr(other, name).items()})


def documents_of(
    source: Path,
    gathered: Gathered,
    names: Mapping[int, str] | None = None,
    in_pixels: bool = True,
    usual: tuple[str, ...] = (),
) -> dict[str, Document]:
    """Returns what was gathered as documents, split by split.

    Sizes that the layout does not say are read from the headers of the images.

    Args:
        source: The folder or file of the layout, with which messages begin.
        gathered: The images and their objects.
        names: {id: name} where the layout lists its classes; else the classes are those of the objects, sorted.
        in_pixels: Whether boxes are in pixels, and not in shares of the image.
        usual: The names of the classes that are taken where nobody chooses; () is all.

    Raises:
        BadInput: There is no object at all, or a class has a name that none may have.
    """
    if names is None:
        names = dict(enumerate(ordered(source, {word for word in gathered.words if isinstance(word, str)})))
    else:
        names = {key: clean(name) for key, name in sorted(names.items())}
        refuse_unfit(source, list(names.values()), said=True)
    if not gathered.images:
        first = min(gathered.broken, default=None)
        why = "Expected boxes." if first is None else f"Of {gathered.names[first]}: {gathered.broken[first]}."
        raise BadInput(f"{source}: none of its {len(gathered.names):,} images has an object. {why}")
    said = any(gathered.sizes)
    _measure(gathered)
    found, splits = {}, np.array(gathered.splits)
    for split in dict.fromkeys(gathered.splits):
        document = _document(source, gathered, np.flatnonzero(splits == split), names, in_pixels)
        found[split] = dataclasses.replace(document, says_sizes=said, in_pixels=in_pixels, usual=usual)
    return found


def by_stem(folder: Path) -> dict[str, Path]:
    """Returns {name without its suffix: image} of the images in a folder; {} where there is none."""
    names = sorted(names_in(folder)) if folder.is_dir() else []
    return {os.path.splitext(name)[0]: folder / name for name in names if name.lower().endswith(SUFFIXES)}


def short(path: Path, root: Path) -> str:
    """Returns a path below `root` as messages and recordings know it, with slashes; another whole."""
    return path.relative_to(root).as_posix() if root in path.parents else path.as_posix()


def elsewhere(folder: Path, root: Path) -> Iterator[Path]:
    """Yields the folders of a data set that may hold the labels of a folder of images, or the other way round.

    Those that have most of its path come first: labels/train of photos/train. None is of another split.
    """
    top, own = Path(os.path.realpath(root)), Path(os.path.realpath(folder))
    if top != own and top not in own.parents:
        return
    parts = own.relative_to(top).parts
    split = split_of_path(own, top)
    found = []
    for place in folders_below(root, _DEEP):
        names = place.relative_to(root).parts
        if split_of_path(place, root) == split:
            found.append((-len({*names} & {*parts}), names, place))
    for _, _, place in sorted(found):
        yield place


def images_elsewhere(folder: Path, root: Path, stems: Collection[str]) -> Path | None:
    """Returns the likeliest folder, of none called as masks, whose images are called as a folder's labels; or None."""
    for place in (folder, root, *elsewhere(folder, root)):
        names = place.relative_to(root).parts if root in place.parents else ()
        if not any(is_of_masks(Path(name)) for name in names if place != folder):
            if not by_stem(place).keys().isdisjoint(stems):
                return place
    return None


def in_turns(function: Callable[[Sequence[T]], R], items: Sequence[T]) -> Iterator[R]:
    """Yields what a function returns of each few hundred of the items, in order; it reads a file for each.

    Threads call it where that waits for a disk. Where all is in memory, they would only wait for one another, and take
    twice the time of the processor.
    """
    chunks = (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
    with ThreadPoolExecutor(_THREADS) as threads:
        for chunk in chunks:
            before = _waits()
            found = function(chunk)
            waited = _waits() - before
            yield found
            if waited > len(chunk) / 8:
                yield from threads.map(function, list(itertools.islice(chunks, 4 * _THREADS)))


def _waits() -> int:
    """Returns how often this thread has waited for something, such as a disk."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def _document(
    source: Path, gathered: Gathered, images: np.ndarray, names: Mapping[int, str], in_pixels: bool
) -> Document:
    """Returns what was gathered of some images; objects of those that are missing or cannot be read are left out."""
    own, sizes = images.tolist(), np.asarray(gathered.sizes).reshape(-1, 2).astype(np.int64)
    called, files = [gathered.names[image] for image in own], [gathered.files[image] for image in own]
    broken = {place: f"image {called[place]} ({gathered.broken[image]})" if image in gathered.broken else
              f"image {called[place]} is missing" for place, image in enumerate(own)
              if image in gathered.broken or not files[place]}  # fmt: skip
    places = np.full(len(gathered.names), -1, np.int32)
    places[images] = np.arange(len(images))
    attributes = {int(places[image]): told for image, told in gathered.attributes.items() if places[image] >= 0}
    places[images[list(broken)]] = -1
    owners = places[np.asarray(gathered.images)]
    kept = np.flatnonzero(owners >= 0)
    if (np.diff(owners[kept]) < 0).any():
        kept = kept[np.argsort(owners[kept], kind="stable")]
    boxes = np.asarray(gathered.boxes).reshape(-1, 4)[kept]
    with np.errstate(invalid="ignore", over="ignore"):  # a box of no numbers stays one, which the check tells of
        boxes[:, 2:] -= boxes[:, :2]
        if not in_pixels:
            boxes *= np.tile(sizes[images[owners[kept]], ::-1], 2)
    ids = {name: key for key, name in names.items()}
    meant = [ids.get(clean(word), word) if isinstance(word, str) else word for word in gathered.words]
    words = {word: number for number, word in enumerate(dict.fromkeys(meant))}
    labels = np.array([words[word] for word in meant], np.int32)[np.asarray(gathered.labels)[kept]]
    unread = gathered.unread
    unread = {place: unread[one] for place, one in enumerate(kept.tolist()) if one in unread} if unread else {}
    crowds, numbers = np.asarray(gathered.crowds)[kept].astype(bool), np.asarray(gathered.numbers)[kept]
    objects = Objects(owners[kept], labels, list(words), boxes, crowds, unread)

    def where(place: int) -> str:
        return gathered.called(own[objects.images[place]], numbers[place])

    there = np.array([place for place in range(len(own)) if place not in broken], np.int64)
    firsts = there[identities([files[place] for place in there.tolist()])]
    for place, first in zip(there[there != firsts].tolist(), firsts[there != firsts].tolist(), strict=True):
        broken[place] = f"image {called[place]} (it is {called[first]} once more)"
    looked = sorted({split_path(file)[0] for file in files if file})
    return Document(source, called, files, sizes[images], objects, names, broken, looked, attributes, where)


def _measure(gathered: Gathered) -> None:
    """Fills in the sizes of images from their headers, or why one cannot be read."""
    sizes, broken = np.asarray(gathered.sizes).reshape(-1, 2), gathered.broken
    images = [image for image in np.flatnonzero(sizes[:, 0] == 0).tolist()
              if gathered.files[image] and image not in broken]  # fmt: skip
    place = 0
    for found in in_turns(lambda part: list(map(_size, part)), [gathered.files[image] for image in images]):
        for one in found:
            if isinstance(one, str):
                broken[images[place]] = one
            else:
                sizes[images[place]] = one
            place += 1


def _size(file: str) -> tuple[int, int] | str:
    """Returns an image's (height, width), or why it cannot be read."""
    try:
        return quick_size_of(file)
    except UnreadableImage as error:
        return f"cannot be read: {error.reason}"
