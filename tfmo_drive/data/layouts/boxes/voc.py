"""Reads Pascal VOC's layout: Annotations/NAME.xml for JPEGImages/NAME.jpg, ImageSets/Main/train.txt and its like.

https://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf, section 4. Tools write the same beside the images, in
annotations/ beside images/, or in any folder, with the images called alike in another of the same split. The lists may
lie beside Annotations/ too, and both may hold folders (IDD: Annotations/front/day1/NAME.xml). An object that is
`difficult` is a crowd: finding it is neither right nor wrong.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from tfmo_drive.base import faults, given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.csv_table import number_in
from tfmo_drive.data.found_files import entries, folders_below, folders_in
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.gathered import Gathered, by_stem, documents_of, images_elsewhere, short
from tfmo_drive.data.splitting import split_of_path

_Lists = dict[tuple[str, ...], list[str]]
_LISTS = {"train": ("train", "trainval"), "val": ("val", "valid"), "test": ("test",)}
"""The splits and the lists of ImageSets/Main that give them, the first that is there; trainval where train is not."""
_FOLDERS = ("annotations", "xmls", "xml", "labels")
"""Names, in lower case, of folders of XML files that lie beside those of images."""
_CROWDS = {"0": False, "1": True, "false": False, "true": True}
"""What says of an object whether it is difficult, in lower case."""
_DEEP = 4
"""The number of folders below one another in which XML files are looked for."""
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def documents(root: Path) -> dict[str, Document]:
    """Returns what the XML files say of their images, split by split; raises BadInput where there is no object."""
    gathered, known = Gathered(), {}
    for folder in _annotation_folders(root):
        _add(gathered, folder, root, known)
    return documents_of(root, gathered)


def _annotation_folders(root: Path) -> list[Path]:
    """Returns the folders of XML files: Annotations in any case, also of several years, else all."""
    found = {folder: bool(_files(folder)) for folder in (root, *folders_below(root, _DEEP))}
    holding = [folder for folder, holds in found.items() if holds]
    named = [folder for folder in holding if any(name.lower() in _FOLDERS for name in _within(folder, root))]
    return named or holding


def _within(folder: Path, root: Path) -> tuple[str, ...]:
    """Returns the names of a folder and of those that hold it, below `root`."""
    return folder.relative_to(root).parts if folder != root else ()


def _files(folder: Path) -> dict[str, Path]:
    """Returns {name without its suffix: XML file} of a folder, sorted."""
    files = (Path(entry.path) for entry in entries(folder) if entry.name.lower().endswith(".xml") and entry.is_file())
    return {file.stem: file for file in files}


def _add(gathered: Gathered, folder: Path, root: Path, known: dict[tuple[Path, int], _Lists]) -> None:
    """Adds the images of a folder of XML files that are in a list, or all where there is none."""
    base, inner = _base(folder, root)
    places = [base / "JPEGImages", base / "images", folder, base, root / "images"]
    places += [child for child in folders_in(base) if child.name.lower().endswith("images")]
    places = [place.joinpath(*inner) for place in places] if inner else places
    files = {stem: file for place in places[::-1] for stem, file in by_stem(place).items()}
    names = _files(folder)
    if files.keys().isdisjoint(names) and (other := images_elsewhere(folder, root, names)):
        files, places = by_stem(other), [*places, other]
    if (base, len(inner)) not in known:
        known[base, len(inner)] = _listed_splits(base, len(inner), names)
    lists = known[base, len(inner)]
    splits = {key[-1]: found for key, found in lists.items() if key[:-1] == inner}
    for name in sorted({*names, *splits} if lists else names):
        if lists and name not in splits:
            continue
        for split in splits.get(name, [split_of_path(folder, root) or "train"]):
            file = files.get(name)
            called = short(file or folder / f"{name}.jpg", root)
            gathered.image(called, file, split, f"{name}.xml, object")
            _read(gathered, names.get(name, folder / f"{name}.xml"), places)
    if lists and (left := [name for name in names if name not in splits]):
        what = "XML files are in no list of ImageSets, and not used"
        faults.note(root, faults.counted(left, len(names), what))


def _base(folder: Path, root: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns the folder that holds Annotations, and what lies between that and a folder of XML files: cam0/day1."""
    names = _within(folder, root)
    place = next((place for place, name in enumerate(names) if name.lower() in _FOLDERS), None)
    if place is None:
        return folder, ()
    return root.joinpath(*names[:place]), tuple(name for name in names[place:] if name.lower() not in _FOLDERS)


def _listed_splits(base: Path, deep: int, names: Collection[str]) -> _Lists:
    """Returns {(folders and name): splits} as the lists of the first place that has any say; {} where none does.

    Args:
        base: The folder in which ImageSets/Main, ImageSets or the lists themselves lie.
        deep: The number of folders in front of each name that count: JPEGImages/cam0/1.jpg is cam0, 1 with one.
        names: The names of a folder's XML files: texts beside the folders that list none of them are no such lists.
    """
    found: _Lists = {}
    for folder in (base / "ImageSets" / "Main", base / "ImageSets", base):
        for split, choices in _LISTS.items():
            path = next((folder / f"{name}.txt" for name in choices if (folder / f"{name}.txt").is_file()), None)
            lines = given_file.text_of(path, "a list of images, one a line", windows=True).split("\n") if path else []
            for name in dict.fromkeys(line.split()[0].replace("\\", "/") for line in lines if line.strip()):
                stem, suffix = os.path.splitext(name)
                parts = PurePosixPath(stem if suffix.lower() in (*SUFFIXES, ".xml") else name).parts or (name,)
                found.setdefault(parts[-deep - 1 :], []).append(split)
        if folder == base and not any(key[-1] in names for key in found):
            found = {}
        if found:
            break
    return found


def _read(gathered: Gathered, path: Path, places: Sequence[Path]) -> None:
    """Adds the objects of an XML file to the last image, or says why it cannot be read."""
    try:
        with given_file.reading(path, "an annotation of Pascal VOC"):
            tree = ElementTree.fromstring(path.read_bytes())
            if tree.tag != "annotation":
                raise BadInput(f"{path} is no annotation of Pascal VOC, but <{tree.tag[:40]}>.")
    except BadInput as error:
        gathered.broken[len(gathered.names) - 1] = str(error).removesuffix(".")
        return
    said = (tree.findtext("filename") or "").replace("\\", "/").rpartition("/")[2]
    if not gathered.files[-1] and said and "\0" not in said:
        gathered.files[-1] = next((str(place / said) for place in places if os.path.isfile(place / said)), "")
    gathered.size(*_size(tree))
    first = 1 if (tree.findtext("source/annotation") or "").startswith("PASCAL VOC") else 0
    for number, one in enumerate(tree.findall("object"), 1):
        _add_object(gathered, one, number, first)


def _size(tree: Element) -> tuple[int, int]:
    """Returns (height, width), or zeros where they are not told, as by tools that write 0."""
    sides = [number_in(tree.findtext(f"size/{side}") or "") for side in ("height", "width")]
    return (int(sides[0]), int(sides[1])) if all(side and side >= 1 and side.is_integer() for side in sides) else (0, 0)


def _add_object(gathered: Gathered, one: Element, number: int, first: int) -> None:
    """Adds an object; `first` is the number of the first pixel, 1 in the challenge's own files."""
    name, box = (one.findtext("name") or "").strip(), one.find("bndbox")
    sides = [number_in(box.findtext(side) or "") if box is not None else None for side in _SIDES]
    crowd = (one.findtext("difficult") or "0").strip().lower()
    if not name:
        gathered.fault("no name", number)
    elif None in sides:
        shown = quoted([side for side, value in zip(_SIDES, sides, strict=True) if value is None])
        gathered.fault(f"no bndbox with a number for {shown}", number)
    elif crowd not in _CROWDS:
        gathered.fault(f'difficult "{crowd[:20]}" is not 0 or 1', number)
    else:
        x0, y0, x1, y1 = sides
        gathered.object(name, (x0 - first, y0 - first, x1, y1), number, _CROWDS[crowd])
