"""Lists which image is in which split with which label, from folders of classes or a CSV file; no image is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import found_files
from tfmo_drive.data.class_names import beside, label_ids, no_class, ordered, quoted, refuse_unfit
from tfmo_drive.data.csv_table import read_table
from tfmo_drive.data.found_files import Found, entries, folders_in, holds_everything, holds_masks, walk
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.layouts.csv_listing import find_classes, list_csv
from tfmo_drive.data.layouts.foreign_layouts import foreign
from tfmo_drive.data.layouts.gtsrb_archive import is_archive, list_archive
from tfmo_drive.data.layouts.known_layouts import CLASSES, DRIVING, KINDS, MASKS, above, elsewhere, layouts, unwrapped
from tfmo_drive.data.layouts.split_tables import split_tables
from tfmo_drive.data.paths import split
from tfmo_drive.data.recordings import tracks
from tfmo_drive.data.splitting import Listing, Rows, assemble, split_of_folder

_MOST = 40
"""The number of folders that are looked into for another layout."""
_LAYOUT = "Expected one folder per class; see data/README.md."


def list_source(
    path: str | Path,
    class_names: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Listing:
    """Lists a CSV file or a folder: one with index.csv or a single CSV file, one of classes, or GTSRB's archive.

    Args:
        path: The file or folder.
        class_names: The classes' names in the order of their ids.
        columns: The CSV's columns that cannot be guessed, as {"label": "Sign"}.
        seed: The seed of the sampling.
        skip_bad: Whether images that cannot be used are skipped.

    Raises:
        BadInput: The path is none of these, or what it holds cannot be used.
    """
    path = unwrapped(Path(path))
    try:
        listing = _listed(path, class_names, columns, seed, skip_bad)
        if len(listing.class_names) > 1 or not foreign(path):
            return listing
        raise BadInput(f"{path}: all images are of one class.")
    except BadInput as error:
        if reason := foreign(path):
            raise BadInput(f"{path}: {reason}") from error
        raise


def _listed(
    path: Path, class_names: Sequence[str] | None, columns: Mapping[str, str] | None, seed: int, skip_bad: bool
) -> Listing:
    if path.is_file() and path.suffix.lower() == ".csv":
        return list_csv(path, class_names, columns, seed, skip_bad)
    folders = _subfolders(path)
    if is_archive(path):
        return list_archive(path, class_names, seed, skip_bad)
    tables = found_files.tables(path)
    if path / "index.csv" in tables or (len(tables) == 1 and not elsewhere(path, CLASSES)):
        table = path / "index.csv" if len(tables) > 1 else tables[0]
        return list_csv(table, class_names, columns, seed, skip_bad)
    bare = all(holds_everything(folder.name) or _is_bare_split(folder) for folder in folders)
    bare = bare and not elsewhere(path, CLASSES)
    if bare and split_tables(path):
        return list_csv(path, class_names, columns, seed, skip_bad)
    if bare and len(named := [table for table in tables if _names_classes(table)]) == 1:
        others = quoted([table.name for table in tables if table not in named])
        faults.note(path, f"not read: {others}, as {named[0].name} names the classes.")
        return list_csv(named[0], class_names, columns, seed, skip_bad)
    names = quoted([table.name for table in tables])
    if tables and all(holds_everything(folder.name) for folder in folders):
        advice = elsewhere(path, CLASSES) or "Name the one to use."
        raise BadInput(f"{path} holds {len(tables)} CSV files: {names}. {advice}")
    if tables:
        faults.note(path, f"not read: {names}, as there are folders of classes.")
    return list_folder(path, class_names, seed, skip_bad)


def list_folder(
    root: str | Path,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Listing:
    """Lists `root/<split>/<class>/*` (split: train, val or valid or validation, test) or `root/<class>/*`.

    A missing split is sampled from train, class by class. Folders whose names are numbers are ids where names are
    given. Files that are no images are left out, counted in a warning by their suffix.

    Args:
        root: The folder.
        class_names: The classes' names; by default those of classes.json or classes.txt in `root`, else the folders'
            names, sorted (as numbers where all are numbers).
        seed: The seed of the sampling.
        skip_bad: Whether an image's name that is no regular file is skipped.

    Raises:
        BadInput: The folder is missing, empty or of another layout, a folder is not a class, a class has no training
            image, or an image's name is no regular file (counted).
    """
    root = Path(root)
    children = _subfolders(root)
    places = _split_folders(children)
    if reason := elsewhere(root, CLASSES) or _inside(children):
        raise BadInput(f"{root} holds no folders of classes. {reason}")
    if "train" not in places.values() and not (places and len(places) == len(children)):
        places = {root: ""}
    if len(set(places.values())) < len(places):
        raise BadInput(f"{root} holds one split twice: {quoted([child.name for child in places])}. Keep one of them.")
    listed = {child: walk(child, SUFFIXES, root) for place in places for child in _subfolders(place)}
    _say_left_out(root, [] if root in places else [child for child in children if child not in places], listed)
    _refuse_unusable(root, places, listed, skip_bad)
    named = tuple(class_names or beside(root) or ())
    refuse_unfit(root, named, said=True)
    names = named or ordered(root, [child.name for child in listed])
    ids = label_ids([child.name for child in listed], names)
    for child, found in listed.items():
        if found.files and child.name not in ids:
            raise BadInput(f"{child}: {no_class(child.name, names)}")
        if not named and (odd := _of_everything(child, found)):
            raise BadInput(f"{odd} is called as a folder of all images or labels, not as a class. {_LAYOUT}")
    files = [file for found in listed.values() for file in found.files]
    counts = [len(found.files) for found in listed.values()]
    labels = np.repeat([ids.get(child.name, 0) for child in listed], counts)
    splits = np.repeat(np.array([places.get(child.parent, "") for child in listed], "<U5"), counts)
    groups = tracks([f"{child.name}/{file.name}" for child in listed for file in listed[child].files], labels)
    return assemble(Rows(root, names, files, labels, groups, splits, "folders of classes"), seed, bool(named))


def _is_bare_split(folder: Path) -> bool:
    return bool(split_of_folder(folder.name)) and not folders_in(folder)


def _names_classes(path: Path) -> bool:
    """Says whether a table names images and their classes, and is not Kaggle's sample of what to hand in."""
    try:
        return "submission" not in path.stem.lower() and "label" in find_classes(read_table(path), {})
    except BadInput:
        return False


def _inside(folders: Sequence[Path]) -> str:
    """Returns a sentence on the first of some folders that holds a record of driving or masks by itself; else ""."""
    for folder in folders[:_MOST]:
        for kind in (DRIVING, MASKS):
            if found := layouts(folder, kind):
                return f"{folder} holds {KINDS[kind].what} ({found[0]}): name that folder."
    return ""


def _of_everything(child: Path, found: Found) -> Path | None:
    """Returns the folder of a class, or one in it with images, that is called as one of all images or labels."""
    if holds_everything(child.name):
        return child
    places = {Path(place) for place, _ in map(split, found.files.texts)}
    below = ((place, place.relative_to(child).parts) for place in sorted(places))
    return next((place for place, parts in below if any(map(holds_masks, parts))), None)


def _split_folders(children: Sequence[Path]) -> dict[Path, str]:
    """Returns {folder: split}; beside other folders, one without folders in it is a class, as a train is a vehicle."""
    named = [child for child in children if split_of_folder(child.name)]
    if len(named) < len(children):
        named = [child for child in named if folders_in(child)]
    return {child: split_of_folder(child.name) for child in named}


def _say_left_out(root: Path, folders: Sequence[Path], listed: Mapping[Path, Found]) -> None:
    """Warns of files of other suffixes, of images beside the folders of classes, and of folders that are no split."""
    sum(listed.values(), Found()).say_left_out(root)
    places = {child.parent for child in listed}
    loose = [entry.path for place in sorted(places) for entry in entries(place) if _is_image(entry)]
    if loose:
        faults.note(root, f"not read: {len(loose):,} images that are in no folder of a class, such as {loose[0]}.")
    deeper = [file for child, found in listed.items() for file in found.files if file.parent != child]
    if deeper:
        where = quoted(sorted({str(file.parent.relative_to(root)) for file in deeper}))
        faults.note(
            root, f"images in folders below those of classes count for the class, {len(deeper):,} in all: {where}."
        )
    if folders:
        names = quoted([folder.name for folder in folders])
        faults.note(root, f"not read: {names}, no split with folders of classes.")


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(SUFFIXES) and entry.is_file()


def _refuse_unusable(root: Path, places: Iterable[Path], listed: Mapping[Path, Found], skip_bad: bool) -> None:
    for place in places:
        if not any(listed[child].files for child in _subfolders(place)):
            raise _none_under(place)
    everything = sum(listed.values(), Found())
    count = len(everything.files) + len(everything.odd)
    faults.refuse(root, everything.odd, count, "images are no files that can be read", skip_bad)


def _none_under(place: Path) -> BadInput:
    """Returns that no folder of a class is there, and what to do with what lies there."""
    names = [entry.name.lower() for entry in entries(place) if entry.is_file()]
    holds = Found(others=Counter(Path(name).suffix for name in names)).left_out()
    advice = _LAYOUT
    if any(name.endswith(SUFFIXES) for name in names):
        advice = "Make a folder for each class, or list them in a CSV file (file,class); see data/README.md."
        advice = above(place) or advice
    elif any(name.endswith(found_files.ARCHIVES) for name in names):
        advice = "Unpack the archive, and name the folder that comes out."
    elif any(name.endswith(found_files.VIDEOS) for name in names):
        advice = "Save frames of the videos as images first, as `ffmpeg -i NAME.mp4 NAME/%06d.jpg` does."
    lies = f", which holds {holds}" if holds else ""
    return BadInput(f"No images in folders of classes under {place}{lies}. {advice}")


def _subfolders(path: Path) -> list[Path]:
    if not path.exists():
        raise BadInput(f"There is no {path}. Expected a folder of classes or a CSV file; see data/README.md.")
    found_files.refuse_archive(path)
    if not path.is_dir():
        raise BadInput(f"{path} is not a folder of classes and not a .csv file; see data/README.md.")
    return folders_in(path)
