"""Reads YOLO's layout: for each image a text of lines `class centre_x centre_y width height`, in shares of the image.

data.yaml says where the images of each split are (folders, or texts that list images) and what classes are called
(https://docs.ultralytics.com/datasets/detect). Of a polygon, `class x y x y x y ...`, the bounds are the box; a number
in 0..1 behind a box is how sure the detector was that wrote it, and is not used. Labels lie in labels/ where images lie
in images/, or beside the images; an image without one holds no object.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml
from absl import logging

from tfmo_drive.base import faults, given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import clean, quoted, read_class_names, refuse_unfit
from tfmo_drive.data.found_files import IMAGE_HOLDERS, entries, folders_below, folders_in, names_in, walk
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.gathered import Gathered, documents_of, elsewhere, in_turns, short
from tfmo_drive.data.layouts.known_layouts import begins
from tfmo_drive.data.layouts.named_images import find_recorded
from tfmo_drive.data.paths import stem
from tfmo_drive.data.splitting import SPLIT_WORDS

IMAGES = (*IMAGE_HOLDERS, "jpegimages")
"""Names, in lower case, of folders of images beside which there is one of labels."""
_LABELS = ("labels", "label")
_NAMES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels")
_SETTINGS = (".yaml", ".yml", ".data")
_SPLIT = re.compile(r"^\s*(train|val|valid|test)\s*[:=]", re.MULTILINE)
_MOST = 1.5
"""The largest share that a slip of rounding, or a box that hangs out of its image, explains."""
_NOT_SHARES = "labels must be shares of the image in 0..1 (class centre_x centre_y width height)"
_LINES = re.compile(rb"(?:[0-9]{1,6}(?:[ \t]+[0-9.eE+-]+){4}[ \t]*(?:\r?\n|\Z))*")
_LONG = 2**16
"""The number of bytes from which a label file is not read at once."""


@dataclasses.dataclass(frozen=True)
class _Folder:
    """Tells of a folder of images.

    Args:
        files: The images' paths.
        begin: What the layout calls the folder, before each name.
        place: Where its labels lie, before each name.
        shown: What messages call that place.
        labels: The names of its label files, without suffix.
        suffix: Their suffix, as it is written there.
    """

    files: list[str]
    begin: str
    place: str
    shown: str
    labels: set[str]
    suffix: str = ".txt"


class _Labelled(Gathered):
    """Gathers images whose `sources` are the folders of their label files."""

    def called(self, image: int, number: int) -> str:
        return f"{self.sources[image]}{stem(self.names[image])}.txt, line {number}"


def documents(data: Path) -> dict[str, Document]:
    """Returns what label files say of the images of a folder, or of those that a data.yaml names, split by split.

    Raises BadInput where it names what is not there, no image of train has a label, or boxes are in pixels.
    """
    root, settings = data if data.is_dir() else data.parent, _settings(data)
    facts = _facts(settings) if settings else {}
    names = _names(facts, root, settings) or _names_above(root)
    places = _given_places(facts, root, settings) or _given_places(_lists(root), root, None) or _usual_places(root)
    gathered, box_alone, counts = _Labelled(), "kpt_shape" in facts, Counter()
    rest: dict[str, set[str]] = {}  # by folders of labels: lists may share one among splits
    for split, folders in places.items():
        own = [_images(place, root) for place in folders]
        files, lost = ([one for part in own for one in part[which]] for which in (0, 1))
        labelled, total = _folders(files, root), len(files) + len(lost)
        if any(folder.labels for folder in labelled):
            for name in lost:
                gathered.image(name, None, split)
            for folder in labelled:
                rest.setdefault(folder.place, set(folder.labels)).difference_update(map(stem, folder.files))
                for part, own in in_turns(functools.partial(_read, folder, split, box_alone), folder.files):
                    gathered.extend(part)
                    counts += own
        elif split == "train":
            raise BadInput(
                f"{root}: none of its {total:,} images of train has a label, {_label_places(files)}. Put "
                "labels/NAME.txt beside images/NAME.jpg."
            )
        else:
            faults.note(root, f"none of the {total:,} images of {split} has a label, so they are left out.")
    counts["orphans"] = sum(map(len, rest.values()))
    _refuse_pixels(root, gathered)
    _say_counts(root, len(gathered.names), counts)
    if names is None:
        names = {label: str(label) for label in gathered.words if isinstance(label, int)}
        faults.note(root, "no file says what the classes are called (data.yaml, classes.txt), so their ids are names.")
    return documents_of(root, gathered, names, in_pixels=False)


def _settings(data: Path) -> Path | None:
    """Returns the file that says where images are: the data itself, data.yaml, or the only one like it.

    Where a folder has none, the only one of the folders in it counts, such as config/data.yaml.
    """
    if data.is_file():
        return data
    for places in ([data], folders_in(data)):
        names = [Path(entry.path) for place in places for entry in entries(place) if entry.is_file()]
        files = [file for file in names if file.suffix.lower() in _SETTINGS]
        found = [file for file in files if _SPLIT.search(given_file.text_of(file, "a data.yaml", windows=True))]
        chosen = [file for file in found if file.stem == "data"] or found
        if len(chosen) > 1 and places == [data]:
            raise BadInput(f"{data} holds {quoted([file.name for file in chosen])}. Name one: --data={chosen[0]}.")
        if len(chosen) == 1:
            return chosen[0]
    return None


def _lists(root: Path) -> dict[str, str]:
    """Returns {split: name} of a folder's texts that are called as a split and list images, such as train.txt."""
    names = {word: f"{word}.txt" for word in ("train", "val", "valid", "test") if (root / f"{word}.txt").is_file()}
    firsts = {word: begins(root / name).split("\n")[0].strip().lower() for word, name in names.items()}
    found = {word: name for word, name in names.items() if firsts[word].endswith(SUFFIXES)}
    return found if len(found) > 1 else {}  # one alone, as CVAT writes it, would hide what the folders say of others


def _facts(path: Path) -> dict[str, Any]:
    """Returns what a data.yaml says, all values as texts, or a Darknet's .data of lines `key = value`."""
    text = given_file.text_of(path, "a data.yaml", windows=True)
    if path.suffix.lower() == ".data":
        pairs = (line.partition("=") for line in text.split("\n") if "=" in line)
        return {key.strip(): value.strip() for key, _, value in pairs}
    with given_file.reading(path, "a data.yaml"):
        facts = yaml.load(text, Loader=yaml.BaseLoader)  # a class called no stays one
    if not isinstance(facts, dict):
        raise BadInput(f"{path} is no data.yaml: expected lines such as train: images/train and names: [car, sign].")
    return facts


def _names(facts: Mapping[str, Any], root: Path, settings: Path | None) -> dict[int, str] | None:
    """Returns {id: name} as a data.yaml or a file of classes has it; None where nothing says it."""
    said = facts.get("names") or None
    if isinstance(said, str):
        (file,) = _found(said, [settings.parent, root]) or [None]
        said = list(read_class_names(file)) if file else None
    if said is None:
        files = [place / name for place in (root, *folders_below(root, 2)) for name in _NAMES]
        said = next((list(read_class_names(file)) for file in files if file.is_file()), None)
    if said is None:
        return None
    pairs = list(said.items() if isinstance(said, dict) else enumerate(said)) if isinstance(said, dict | list) else []
    if not pairs or not all(isinstance(name, str) and re.fullmatch("[0-9]{1,6}", str(key)) for key, name in pairs):
        raise BadInput(f"{settings}: names must be a list of names or {{id: name}}, got {str(said)[:60]}.")
    names = {int(key): name for key, name in pairs}
    count = facts.get("nc")
    if len(names) < len(pairs) or (count and str(count) != str(len(names))):
        raise BadInput(f"{settings}: nc says {str(count)[:20]} classes, names {len(pairs)}, of {len(names)} ids.")
    refuse_unfit(settings or root, [clean(name) for name in names.values()], said=True)
    return names


def _names_above(root: Path) -> dict[int, str] | None:
    """Returns the names that a data.yaml or a file of classes says above a folder of one split, train/ alone."""
    place = Path(os.path.abspath(root))
    while place.name.lower() in (*SPLIT_WORDS, *IMAGES, *_LABELS):
        place = place.parent
        settings = _settings(place)
        if names := _names(_facts(settings) if settings else {}, place, settings):
            faults.note(root, f"its classes are called as {settings or place} says.", logging.INFO)
            return names
    return None


def _given_places(facts: Mapping[str, Any], root: Path, settings: Path | None) -> dict[str, list[Path]]:
    """Returns {split: folders and lists of images} as a data.yaml has it; {} where it says nothing."""
    found: dict[str, list[Path]] = {}
    bases = [settings.parent, root] if settings else [root]
    if isinstance(path := facts.get("path"), str) and path:
        bases = [*_found(path, [*bases, bases[0].parent]), *bases]
    for word, split in (("train", "train"), ("val", "val"), ("valid", "val"), ("test", "test")):
        said = facts.get(word) or []
        entries_said = said if isinstance(said, list) else [said]
        if not all(isinstance(entry, str) for entry in entries_said):
            raise BadInput(f"{settings}: {word} must be a path or a list of paths, got {str(said)[:60]}.")
        for entry in entries_said:
            places = _found(entry, bases)
            if not places and split == "train":
                raise BadInput(
                    f"{settings}: train is {entry[:200]}, which is not there, nor below {bases[0]}. Correct it."
                )
            if not places:
                faults.note(settings, f"{word} is {entry[:200]}, which is not there; it is left out.")
            found.setdefault(split, []).extend(places)
    for split, other in (("val", "train"), ("test", "train"), ("val", "test")):  # as coco128.yaml and VOC.yaml have it
        if found.get(split) and set(found[split]) == set(found.get(other, ())):
            faults.note(settings, f"{split} names the images of {other}, and does not count as a split of its own.")
            del found[split]
    return {split: places for split, places in found.items() if places}


def _found(entry: str, bases: Sequence[Path]) -> list[Path]:
    """Returns where a path that a data.yaml names lies: as it stands, else by its longest end that is there.

    Its beginning may be another machine's, or the dots that Roboflow writes; an end such as images alone is every
    split's and says nothing.
    """
    entry = entry.replace("\\", "/")
    parts = [part for part in PurePosixPath(entry).parts if part.strip("/.") and not part.endswith(":")]
    ends = [parts[start:] for start in range(len(parts))]
    says = (end for end in ends if len(end) > 1 or len(parts) == 1 or end[0].lower() not in IMAGES)
    tails = [entry, *(os.path.join(*end) for end in says)]
    places = (base / tail for tail in tails for base in bases)
    return [place.resolve() for place in places if os.path.exists(place)][:1]


def _usual_places(root: Path) -> dict[str, list[Path]]:
    """Returns {split: folders}: train/images, images/train, photos/train, images/100k/train, or all as train."""
    children = folders_in(root)
    others = [child for child in children if child.name.lower() not in (*IMAGES, *_LABELS)]
    own = [child for child in children if child.name.lower() in IMAGES]
    for holders in ([root, *own], others, [deep for child in own for deep in folders_in(child)]):
        found: dict[str, list[Path]] = {}
        for folder in (folder for holder in holders for folder in folders_in(holder)):
            if split := SPLIT_WORDS.get(folder.name.lower()):
                own = [child for child in folders_in(folder) if child.name.lower() in IMAGES] or [folder]
                found.setdefault(split, []).extend(own)
        if found:
            return found
    return {"train": [folder for folder in folders_in(root) if folder.name.lower() in IMAGES] or [root]}


def _images(place: Path, root: Path) -> tuple[list[str], list[str]]:
    """Returns the images of a folder, or those that a text lists, and what it calls those that are not there."""
    if place.is_dir():
        return walk(place, SUFFIXES).files.texts, []
    lines = given_file.text_of(place, "a list of images, one a line", windows=True).split("\n")
    names = [line.strip() for line in lines if line.strip()]
    files = find_recorded(list(dict.fromkeys([place.parent, root])), names)
    return [str(file) for file in files if file], [name for file, name in zip(files, names, strict=True) if not file]


def _folders(files: Sequence[str], root: Path) -> list[_Folder]:
    """Returns the folders of images, each with where its labels lie."""
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(file.rpartition("/")[0], []).append(file)
    return [_with_labels(Path(folder), own, root) for folder, own in found.items()]


def _with_labels(folder: Path, files: list[str], root: Path) -> _Folder:
    begin = "" if folder == root else f"{short(folder, root)}/"  # a path for each file would take longest of all
    for place in itertools.chain(_candidates(folder), elsewhere(folder, root)):
        if place.is_dir():
            texts = [name for name in names_in(place) if name.lower().endswith(".txt")]
            stems = {name[:-4] for name in texts}
            if any(stem(file) in stems for file in files):
                own = stems - {"classes"} if place != folder else stems.intersection(map(stem, files))
                shown = "" if place == root else f"{short(place, root)}/"
                suffix = ".TXT" if all(name.endswith(".TXT") for name in texts) else ".txt"
                return _Folder(files, begin, f"{place}/", shown, own, suffix)
    return _Folder(files, begin, "", "", set())


def _candidates(folder: Path) -> Iterator[Path]:
    """Yields where labels may lie: labels/train for images/train, train/labels for train/images, and beside images."""
    parts = folder.parts
    for place in reversed(range(len(parts))):
        if parts[place].lower() in IMAGES:
            for word in _LABELS:
                yield Path(*parts[:place], word, *parts[place + 1 :])
    for word in _LABELS:
        yield folder / word
        yield folder.parent / word / folder.name
        yield folder.parent / word
    yield folder


def _label_places(files: Sequence[str]) -> str:
    if not files:
        return "none of them is there"
    return f"looked for in {next(_candidates(Path(files[0]).parent))} and beside the images"


def _read(folder: _Folder, split: str, box_alone: bool, files: Sequence[str]) -> tuple[Gathered, Counter[str]]:
    """Returns some of a folder's images with their objects, and how many have no label file, or an empty one.

    Files whose every line is of five numbers, as nearly all are, are read at once.
    """
    part, counts = _Labelled(), Counter()
    images, lines, numbers = array("i"), array("i"), array("d")
    for file in files:
        last = file.rpartition("/")[2]
        image, own = part.image(folder.begin + last, file, split, folder.shown), last.rpartition(".")[0] or last
        if own not in folder.labels:
            counts["missing"] += 1
        elif (found := _plain(f"{folder.place}{own}{folder.suffix}")) is not None:
            numbers.extend(found)
            images.extend([image] * (len(found) // 5))
            lines.extend(range(1, len(found) // 5 + 1))
        else:
            _put(part, images, lines, numbers)
            images, lines, numbers = array("i"), array("i"), array("d")
            counts["empty"] += _read_lines(part, f"{folder.place}{own}{folder.suffix}", box_alone)
    _put(part, images, lines, numbers)
    return part, counts


def _plain(path: str) -> list[float] | None:
    """Returns the numbers of a label file of which every line holds five; None of any other, or one that is long."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            data = os.read(handle, _LONG)
        finally:
            os.close(handle)
        return list(map(float, data.split())) if 0 < len(data) < _LONG and _LINES.fullmatch(data) else None
    except (OSError, ValueError):
        return None


def _put(part: Gathered, images: array, lines: array, numbers: array) -> None:
    """Adds objects that are each a class, a centre, a width and a height."""
    rows = np.asarray(numbers).reshape(-1, 5)
    halves = rows[:, 3:] / 2
    boxes = np.concatenate([rows[:, 1:3] - halves, rows[:, 1:3] + halves], axis=1)
    part.objects(np.asarray(images), rows[:, 0].astype(np.int64), boxes, np.asarray(lines))


def _read_lines(part: Gathered, path: str, box_alone: bool) -> bool:
    """Reads any label file into the last image, or why it cannot be read; returns whether it is empty."""
    try:
        text = given_file.text_of(path, "a label file")
    except BadInput as error:
        part.broken[len(part.names) - 1] = str(error).removesuffix(".")
        return False
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if line:
            _read_line(part, line, number, box_alone)
    return not text.strip()


def _read_line(part: Gathered, line: str, number: int, box_alone: bool) -> None:
    """Adds the object of a line: class and box, or class and polygon."""
    try:
        label, *sides = map(float, line.split())
    except ValueError:
        part.fault(f'"{line[:40]}" is not numbers with spaces between them', number)
        return
    if "_" in line or not label.is_integer() or label < 0:
        part.fault(f'"{line.split()[0][:20]}" is no id of a class', number)
    elif len(sides) == 4 or len(sides) == 5 and 0 <= sides[4] <= 1 or box_alone and len(sides) > 4:
        x, y, width, height = sides[:4]
        part.object(int(label), (x - width / 2, y - height / 2, x + width / 2, y + height / 2), number)
    elif len(sides) < 6 or len(sides) % 2:
        part.fault(f"{len(sides) + 1} numbers, and not class centre_x centre_y width height, or a polygon", number)
    else:
        part.object(int(label), (min(sides[::2]), min(sides[1::2]), max(sides[::2]), max(sides[1::2])), number)


def _refuse_pixels(root: Path, gathered: Gathered) -> None:
    """Raises BadInput where most boxes are no shares of the image."""
    boxes = np.asarray(gathered.boxes).reshape(-1, 4)
    odd = np.flatnonzero(boxes.max(axis=1) > _MOST)
    if 2 * len(odd) > len(boxes) - len(gathered.unread):
        shown = " ".join(f"{side:g}" for side in boxes[odd[0]])
        where = gathered.called(gathered.images[odd[0]], gathered.numbers[odd[0]])
        raise BadInput(
            f"{root}: {_NOT_SHARES}, got a box from {shown} in {where}: pixels? Divide centre_x and width by "
            "the image's width, centre_y and height by its height."
        )


def _say_counts(root: Path, images: int, counts: Mapping[str, int]) -> None:
    if counts["missing"] or counts["empty"]:
        kinds = {"no label file": counts["missing"], "an empty label file": counts["empty"]}
        said = " and ".join(f"{count:,} have {what}" for what, count in kinds.items() if count)
        faults.note(root, f"of {images:,} images, {said}: they are taken for images without an object.", logging.INFO)
    if counts["orphans"]:
        faults.note(root, f"{counts['orphans']:,} label files belong to no image, and are not used.")
