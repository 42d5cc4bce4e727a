"""Which image is in which split with which label: from folders of classes, or from a CSV file. No image is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.class_names import beside, label_ids, no_class, ordered, quoted, read_class_names
from tfmo_drive.core.csv_listing import list_csv
from tfmo_drive.core.splitting import FRACTIONS, SPLIT_WORDS, Listing, Rows, Split, assemble

__all__ = ["Listing", "Split", "list_csv", "list_folder", "list_source", "read_class_names"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp")
_LAYOUT = "Expected one folder per class; see data/README.md."


def list_source(
    path: str | Path,
    class_names: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> Listing:
    """List a CSV file, a folder with index.csv or exactly one CSV file, or a folder of classes (whichever it is)."""
    path = Path(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        return list_csv(path, class_names, columns, fractions, seed)
    folders = _subfolders(path)
    tables = sorted(path.glob("*.csv"))
    if path / "index.csv" in tables or len(tables) == 1:
        table = path / "index.csv" if len(tables) > 1 else tables[0]
        return list_csv(table, class_names, columns, fractions, seed)
    if tables and not folders:
        names = quoted([table.name for table in tables])
        raise BadInput(f"{path} holds {len(tables)} CSV files: {names}. Name the one to use.")
    return list_folder(path, class_names, fractions, seed)


def list_folder(
    root: str | Path,
    class_names: Sequence[str] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> Listing:
    """List `root/<split>/<class>/*` (split: train, val or valid or validation, test) or `root/<class>/*`.

    A split that is not there is drawn from train, class by class. Names come from `class_names`, else classes.json or
    classes.txt in `root`, else the folders' names, sorted (as numbers where all are numbers). Folders that are numbers
    and no names are ids. Raises BadInput where the folder is missing or empty, a folder is not a class, or a class has
    no training image.
    """
    root = Path(root)
    children = _subfolders(root)
    places = {child: SPLIT_WORDS[child.name.lower()] for child in children if child.name.lower() in SPLIT_WORDS}
    if "train" not in places.values():
        if places and len(places) == len(children):
            raise BadInput(f"No folder {root / 'train'}, only {quoted([child.name for child in places])}. {_LAYOUT}")
        places = {root: ""}
    if len(set(places.values())) < len(places):
        raise BadInput(f"{root} holds one split twice: {quoted([child.name for child in places])}. Keep one of them.")
    rows = [(file, child, split) for place, split in places.items() for file, child in _images(place)]
    folders = [child.name for place in places for child in _subfolders(place)]
    names = tuple(class_names or beside(root) or ordered(folders))
    ids = label_ids(folders, names)
    for child in dict.fromkeys(child for _, child, _ in rows):
        if child.name not in ids:
            raise BadInput(f"{child}: {no_class(child.name, names)}")
    files = [file for file, _, _ in rows]
    labels = np.array([ids[child.name] for _, child, _ in rows], np.int64)
    splits = np.array([split for _, _, split in rows], "<U5")
    return assemble(Rows(root, names, files, labels, np.arange(len(rows)), splits), fractions, seed)


def _images(place: Path) -> list[tuple[Path, Path]]:
    """(file, class folder) of every image under `place`, sorted; BadInput where there is none."""
    found = [
        (Path(parent, name), child)
        for child in _subfolders(place)
        for parent, _, names in sorted(os.walk(child, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    if not found:
        raise BadInput(f"No images under {place}. {_LAYOUT}")
    return found


def _subfolders(path: Path) -> list[Path]:
    if not path.exists():
        raise BadInput(f"There is no {path}. Expected a folder of classes or a CSV file; see data/README.md.")
    if not path.is_dir():
        raise BadInput(f"{path} is not a folder of classes and not a .csv file; see data/README.md.")
    try:
        return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error
