"""Reads Cityscapes' polygons: gtFine/SPLIT/CITY/NAME_gtFine_polygons.json for leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.

The bounds of a polygon are the box of its object (Cordts et al. 2016, arXiv:1604.01685). A label that ends in "group"
is a crowd of what stands before it. Classes are those that are scored as objects there; traffic signs, lights and
whatever else has polygons can be chosen. Frames of one city are numbered as recordings. Both may lie as the archives
unpack, in gtFine_trainvaltest/ and leftImg8bit_trainvaltest/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfmo_drive.base import faults, given_file
from tfmo_drive.base.given_file import is_number
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.found_files import folders_in, walk
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.gathered import Gathered, documents_of, short
from tfmo_drive.data.splitting import SPLIT_WORDS

_SCORED = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""The classes of Cityscapes' instance-level scores (cityscapesScripts, labels.py)."""
_TRUTHS = ("gtFine", "gtCoarse")
_CROWD = "group"


def documents(root: Path) -> dict[str, Document]:
    """Returns what the polygons say of their images, split by split.

    A split without any object of those classes, as the test split that is given to everybody, is left out. Raises
    BadInput where there is no object.
    """
    places = [root, *folders_in(root)]
    truth = next(place / name for name in _TRUTHS for place in places if (place / name).is_dir())
    gathered = Gathered()
    for folder in folders_in(truth):
        split = SPLIT_WORDS.get(folder.name.lower().removesuffix("_extra"))
        if split is None:
            continue
        images = {name: file for place in places for name, file in _images(place / "leftImg8bit" / folder.name).items()}
        own = Gathered()
        for path in walk(folder, ("_polygons.json",)).files:
            _add(own, path, images.get(_name_of(path, folder)), split, root)
        if not own.words.keys().isdisjoint(_SCORED):
            gathered.extend(own)
        elif own.names:
            faults.note(root, f"no polygon of {truth.name}/{folder.name} is of an object, so it is left out.")
    return documents_of(root, gathered, usual=_SCORED)


def _images(folder: Path) -> dict[str, Path]:
    """Returns {city/city_000000_000019: image} of a split; other sets (IDD) have one name in several cities."""
    files = walk(folder, SUFFIXES).files if folder.is_dir() else []
    return {short(file.parent / file.stem.removesuffix("_leftImg8bit"), folder): file for file in files}


def _name_of(path: Path, folder: Path) -> str:
    """Returns what a file of polygons, below the folder of its split, calls its image: city/city_000000_000019."""
    name = path.name.removesuffix("_polygons.json").removesuffix("_gtFine").removesuffix("_gtCoarse")
    return short(path.parent / name, folder)


def _add(gathered: Gathered, path: Path, file: Path | None, split: str, root: Path) -> None:
    called = short(file, root) if file else _name_of(path, path.parent)
    image = gathered.image(called, file, split, f"{path.name}, object")
    try:
        facts = given_file.json_of(path, "a file of Cityscapes' polygons")
    except BadInput as error:
        gathered.broken[image] = str(error).removesuffix(".")
        return
    objects = facts.get("objects") if isinstance(facts, dict) else None
    if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
        gathered.broken[image] = f"{path.name} has no list of objects"
        return
    sides = [facts.get(side) for side in ("imgHeight", "imgWidth")]
    if all(type(side) is int and side >= 1 for side in sides):
        gathered.size(*sides)
    for place, one in enumerate(objects):
        if not one.get("deleted"):
            _add_object(gathered, one, place)


def _add_object(gathered: Gathered, one: dict[str, Any], number: int) -> None:
    label, outline = one.get("label"), one.get("polygon")
    if not isinstance(label, str) or not label.strip():
        gathered.fault("no label", number)
    elif not isinstance(outline, list) or len(outline) < 3 or not all(map(_is_point, outline)):
        gathered.fault("no polygon of three points or more", number)
    else:
        x, y = zip(*outline, strict=True)
        name = label.removesuffix(_CROWD)
        crowd = name != label and name in _SCORED
        gathered.object(name if crowd else label, (min(x), min(y), max(x), max(y)), number, crowd)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
