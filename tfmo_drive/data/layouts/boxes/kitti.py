"""Reads KITTI's layouts of labels: label_2/000000.txt for image_2/000000.png, or label_02/0000.txt for a sequence.

A line is `type truncated occluded alpha left top right bottom ...` (Geiger et al. 2012, the devkit's readme); in a
sequence a frame and a track stand before it. In regions called DontCare nobody looked for objects: they are crowds of
every class, so that nothing is learnt there and finding something is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tfmo_drive.base import faults, given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.csv_table import number_in
from tfmo_drive.data.found_files import entries, folders_in
from tfmo_drive.data.layouts.boxes.box_document import EVERY, Document
from tfmo_drive.data.layouts.boxes.gathered import Gathered, by_stem, documents_of, short
from tfmo_drive.data.splitting import SPLIT_WORDS, SPLITS

_ANYTHING = "DontCare"
_PLACES = {"label_2": "image_2", "label_02": "image_02"}
"""Folders of labels, of images and of sequences, and the folders of what they label."""
_Labelled = tuple[Path, Path | None, Path, list[tuple[int, list[str]]], str]
"""Where an image should lie, where it does, its label file, the words of its lines with their numbers, and why that
cannot be read, or ""."""


def documents(root: Path) -> dict[str, Document]:
    """Returns what the label files say of their images, split by split.

    Splits are those of ImageSets/train.txt and its like, or of the folders train and val; training alone has none.
    Raises BadInput where there is no object.
    """
    below = [root, *folders_in(root)]
    below += [child for folder in folders_in(root) for child in folders_in(folder)]
    folders = [child for folder in below for child in folders_in(folder) if child.name in _PLACES]
    folders = list(dict.fromkeys(folders))
    lists = {} if {_split_of(folder, root) for folder in folders} != {"train"} else _lists(below)
    gathered, left = Gathered(), 0
    for folder in folders:
        name = _PLACES[folder.name]
        images = next((place / name for place in (folder.parent, *below) if (place / name).is_dir()), None)
        if images is None:
            raise BadInput(f"{root}: {short(folder, root)} labels images that are not there. Put them into {name}.")
        for image, file, source, lines, fault in (_of_images if name == "image_2" else _of_sequences)(folder, images):
            split = lists.get(file.stem if file else image.stem) if lists else _split_of(folder, root)
            left += split is None
            if split:
                gathered.image(short(file or image, root), file, split, f"{short(source, root)}, line")
                _add(gathered, lines, fault)
    if left:
        faults.note(root, f"{left:,} labelled images are in no list of ImageSets, and not used.")
    return documents_of(root, gathered)


def _texts(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in entries(folder) if entry.name.endswith(".txt") and entry.is_file()]


def _split_of(folder: Path, root: Path) -> str:
    return SPLIT_WORDS.get(folder.parent.name.lower(), "train") if folder.parent != root else "train"


def _of_images(folder: Path, images: Path) -> Iterator[_Labelled]:
    """Yields the images of a folder that have a label file."""
    files = by_stem(images)
    for path in _texts(folder):
        yield images / f"{path.stem}.png", files.get(path.stem), path, *_lines(path)


def _of_sequences(folder: Path, images: Path) -> Iterator[_Labelled]:
    """Yields all images of the sequences that have a label file; a frame without a line holds no object."""
    for path in _texts(folder):
        files = by_stem(images / path.stem)
        numbers = {int(stem): stem for stem in files if stem.isdecimal()}
        own: dict[int, list[tuple[int, list[str]]]] = {}
        lines, fault = _lines(path)
        for number, words in lines:
            frame = int(words[0]) if words[0].isdecimal() and len(words[0]) < 10 else -1
            own.setdefault(frame, []).append((number, words[2:]))
        for number in sorted(numbers.keys() | own.keys()):
            name = numbers.get(number, f"{number:06}" if number >= 0 else "without a number")
            yield images / path.stem / f"{name}.png", files.get(name), path, own.get(number, []), fault


def _lines(path: Path) -> tuple[list[tuple[int, list[str]]], str]:
    """Returns the words of each line with its number, and why the file cannot be read, or ""."""
    try:
        lines = given_file.text_of(path, "a label file").split("\n")
    except BadInput as error:
        return [], str(error).removesuffix(".")
    return [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()], ""


def _add(gathered: Gathered, lines: Iterable[tuple[int, list[str]]], fault: str) -> None:
    """Adds the objects of lines to the last image, or why there are none."""
    if fault:
        gathered.broken[len(gathered.names) - 1] = fault
    for number, words in lines:
        sides = [number_in(word) for word in words[4:8]]
        if len(sides) < 4 or None in sides:
            gathered.fault("no type and 7 numbers, of which the last 4 are left top right bottom", number)
        else:
            nowhere = words[0] == _ANYTHING
            gathered.object(EVERY if nowhere else words[0], sides, number, nowhere)


def _lists(places: list[Path]) -> dict[str, str]:
    """Returns the splits of names as ImageSets/train.txt and its like have them; {} where there are no such lists."""
    folder = next((place / "ImageSets" for place in places if (place / "ImageSets" / "train.txt").is_file()), None)
    splits: dict[str, str] = {}
    for split in SPLITS if folder else ():
        path = folder / f"{split}.txt"
        if path.is_file():
            splits |= dict.fromkeys(given_file.text_of(path, "a list of images, one a line").split(), split)
    return splits
