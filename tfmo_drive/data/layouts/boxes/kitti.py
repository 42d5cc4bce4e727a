"""Reads KITTI's layouts of labels: label_2/000000.txt for image_2/000000.png, or label_02/0000.txt for a sequence.

A line is `type truncated occluded alpha left top right bottom ...` (Geiger et al. 2012, the devkit's readme); in a
sequence a frame and a track stand before it. Texts of such lines may lie in any other folder, as NVIDIA's TAO and
FiftyOne write labels/ beside images/ or data/, and are those of images that are called alike. In regions called
DontCare nobody looked for objects: they are crowds of every class, so that nothing is learnt there and finding
something is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tfmo_drive.base import faults, given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.csv_table import number_in
from tfmo_drive.data.found_files import entries, folders_below
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.layouts.boxes.box_document import EVERY, Document
from tfmo_drive.data.layouts.boxes.gathered import Gathered, by_stem, documents_of, images_elsewhere, short
from tfmo_drive.data.layouts.known_layouts import is_kitti
from tfmo_drive.data.splitting import SPLITS, split_of_path

_ANYTHING = "DontCare"
_PLACES = {"label_2": "image_2", "label_02": "image_02"}
"""Folders of labels, of images and of sequences, and the folders of what they label."""
_FEW = 5
"""The number of texts in a folder that are looked into: the first may be empty."""
_Labelled = tuple[Path, Path | None, Path, list[tuple[int, list[str]]], str]
"""Where an image should lie, where it does, its label file, the words of its lines with their numbers, and why that
cannot be read, or ""."""


def documents(root: Path) -> dict[str, Document]:
    """Returns what the label files say of their images, split by split.

    Splits are those of ImageSets/train.txt and its like, or of the folders train and val; training alone has none.
    Raises BadInput where there is no object.
    """
    below = [root, *folders_below(root, 3)]
    folders = [folder for folder in below if folder.name in _PLACES]
    folders = folders or [folder for folder in below if any(map(is_kitti, _texts(folder)[:_FEW]))]
    lists = {} if {split_of_path(folder, root) for folder in folders} - {"", "train"} else _lists(below)
    gathered, left = Gathered(), 0
    for folder in folders:
        name = _PLACES.get(folder.name, "")
        images = next((place / name for place in (folder.parent, *below) if name and (place / name).is_dir()), None)
        images = images or images_elsewhere(folder, root, {path.stem for path in _texts(folder)})
        if images is None:
            into = name or "images"
            raise BadInput(f"{root}: {short(folder, root)} labels images that are not there. Put them into {into}.")
        for image, file, source, lines, fault in (_of_sequences if name == "image_02" else _of_images)(folder, images):
            split = lists.get(file.stem if file else image.stem) if lists else split_of_path(folder, root) or "train"
            left += split is None
            if split:
                gathered.image(short(file or image, root), file, split, f"{short(source, root)}, line")
                _add(gathered, lines, fault)
    if left:
        faults.note(root, f"{left:,} labelled images are in no list of ImageSets, and not used.")
    return documents_of(root, gathered)


def _texts(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in entries(folder) if entry.name.lower().endswith(".txt") and entry.is_file()]


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
            for name in map(Path, given_file.text_of(path, "a list of images, one a line", windows=True).split()):
                splits[name.stem if name.suffix.lower() in SUFFIXES else name.name] = split
    return splits
