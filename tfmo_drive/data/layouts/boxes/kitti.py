"""Reads KITTI's layouts of labels: label_2/000000.txt for image_2/000000.png, or label_02/0000.txt for a sequence.

A line is `type truncated occluded alpha left top right bottom ...` (Geiger et al. 2012, the devkit's readme); in a
sequence a frame and a track stand before it. In regions called DontCare nobody looked for objects: they are crowds of
every class, so that nothing is learnt there and finding something is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tfmo_drive.base import faults, given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.csv_table import number_in
from tfmo_drive.data.found_files import entries, folders_in
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.box_frames import Frame, Thing, by_stem, documents_of, short
from tfmo_drive.data.splitting import SPLIT_WORDS, SPLITS

_ANYTHING = "DontCare"
_PLACES = {"label_2": "image_2", "label_02": "image_02"}
"""Folders of labels, of images and of sequences, and the folders of what they label."""


def documents(root: Path) -> dict[str, Document]:
    """Returns what the label files say of their images, split by split.

    Splits are those of ImageSets/train.txt and its like, or of the folders train and val; training alone has none.
    Raises BadInput where there is no object.
    """
    below = [root, *folders_in(root)]
    below += [child for folder in folders_in(root) for child in folders_in(folder)]
    folders = [child for folder in below for child in folders_in(folder) if child.name in _PLACES]
    frames: list[Frame] = []
    for folder in dict.fromkeys(folders):
        name = _PLACES[folder.name]
        images = next((place / name for place in (folder.parent, *below) if (place / name).is_dir()), None)
        if images is None:
            raise BadInput(f"{root}: {short(folder, root)} labels images that are not there. Put them into {name}.")
        frames += _of_images(folder, images, root) if name == "image_2" else _of_sequences(folder, images, root)
    given = {frame.split for frame in frames} != {"train"}
    return documents_of(root, frames if given else _split_by_lists(root, below, frames))


def _texts(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in entries(folder) if entry.name.endswith(".txt") and entry.is_file()]


def _split_of(folder: Path, root: Path) -> str:
    return SPLIT_WORDS.get(folder.parent.name.lower(), "train") if folder.parent != root else "train"


def _of_images(folder: Path, images: Path, root: Path) -> Iterator[Frame]:
    """Yields the images of a folder that have a label file."""
    files, split = by_stem(images), _split_of(folder, root)
    for path in _texts(folder):
        file = files.get(path.stem)
        frame = Frame(short(file or images / f"{path.stem}.png", root), file, (), split)
        lines, frame.fault = _lines(path)
        frame.things = [_thing(words, f"{short(path, root)}, line {number}") for number, words in lines]
        yield frame


def _of_sequences(folder: Path, images: Path, root: Path) -> Iterator[Frame]:
    """Yields all images of the sequences that have a label file; a frame without a line holds no object."""
    split = _split_of(folder, root)
    for path in _texts(folder):
        files = by_stem(images / path.stem)
        numbers = {int(stem): stem for stem in files if stem.isdecimal()}
        things: dict[int, list[Thing]] = {}
        lines, fault = _lines(path)
        for number, words in lines:
            frame = int(words[0]) if words[0].isdecimal() and len(words[0]) < 10 else -1
            things.setdefault(frame, []).append(_thing(words[2:], f"{short(path, root)}, line {number}"))
        for number in sorted(numbers.keys() | things.keys()):
            name = numbers.get(number, f"{number:06}" if number >= 0 else "without a number")
            place = files.get(name, images / path.stem / f"{name}.png")
            yield Frame(short(place, root), files.get(name), things.get(number, ()), split, fault=fault)


def _lines(path: Path) -> tuple[list[tuple[int, list[str]]], str]:
    """Returns the words of each line with its number, and why the file cannot be read, or ""."""
    try:
        lines = given_file.text_of(path, "a label file").split("\n")
    except BadInput as error:
        return [], str(error).removesuffix(".")
    return [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()], ""


def _thing(words: list[str], where: str) -> Thing:
    sides = [number_in(word) for word in words[4:8]]
    if len(sides) < 4 or None in sides:
        return Thing(None, None, where, fault="no type and 7 numbers, of which the last 4 are left top right bottom")
    box = (sides[0], sides[1], sides[2], sides[3])
    return Thing(None, box, where, crowd=True) if words[0] == _ANYTHING else Thing(words[0], box, where)


def _split_by_lists(root: Path, places: list[Path], frames: list[Frame]) -> list[Frame]:
    """Returns the frames in the splits of ImageSets/train.txt and its like, where there are such lists."""
    folder = next((place / "ImageSets" for place in places if (place / "ImageSets" / "train.txt").is_file()), None)
    if folder is None:
        return frames
    splits: dict[str, str] = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if path.is_file():
            splits |= dict.fromkeys(given_file.text_of(path, "a list of images, one a line").split(), split)
    kept = [frame for frame in frames if PurePosixPath(frame.name).stem in splits]
    if len(kept) < len(frames):
        faults.note(root, f"{len(frames) - len(kept):,} labelled images are in no list of ImageSets, and not used.")
    for frame in kept:
        frame.split = splits[PurePosixPath(frame.name).stem]
    return kept
