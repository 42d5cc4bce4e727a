"""Reads a CSV of boxes, one a line: file, xmin, ymin, xmax, ymax, class, with a header of any usual names or none.

A box may be its centre, or a corner, and its size too (`layouts.columns`), in pixels or, where most have no number
above 1, in shares of the image, as Open Images has them. A row without box and class says that its image holds no
object, as in the lists of keras-retinanet. A column of splits is followed, and one that says which boxes are around
crowds. The files of the German Traffic Sign Detection Benchmark (gt.txt) and of LISA (allAnnotations.csv) are such.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import beside, is_id, is_missing, quoted
from tfmo_drive.data.csv_table import Table, number_in, read_table
from tfmo_drive.data.found_files import HOLDERS
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.gathered import Gathered, documents_of, short
from tfmo_drive.data.layouts.columns import CLASSES, COLUMNS, CORNERS, EXPECTED, FILES, plain, sides_in, whole_box_in
from tfmo_drive.data.layouts.csv_listing import find_columns, read_splits
from tfmo_drive.data.layouts.known_layouts import box_tables
from tfmo_drive.data.layouts.named_images import find_beside, find_recorded
from tfmo_drive.data.splitting import split_in_name

_UNNAMED = ("file", "xmin", "ymin", "xmax", "ymax", "class")
_KINDS = {"class": CLASSES, "split": COLUMNS["split"], "crowd": ("iscrowd", "is_crowd", "is_group_of", "group_of")}
_YES = ("1", "true", "yes")
"""What says that a box is around a crowd, in lower case."""


def documents(data: Path) -> dict[str, Document]:
    """Returns what the CSV, or those of a folder, say of their images, split by split.

    Several CSV files of a folder are the splits that their names say. Raises BadInput where a file is no CSV or lacks a
    column, or where there is no object.
    """
    tables = box_tables(data)
    folders = {path: path.parent.name if path.parent != data else "" for path in tables}
    splits = {path: split for path in tables if (split := split_in_name(path.stem) or split_in_name(folders[path]))}
    if len(tables) > 1 and (len(splits) < len(tables) or len(set(splits.values())) < len(tables)):
        shown = quoted([path.name for path in tables])
        raise BadInput(f"{data} holds {len(tables)} CSV files of boxes: {shown}. Name one: --data={tables[0]}.")
    known = beside(tables[0].parent)
    gathered = Gathered()
    for path in tables:
        _add(gathered, path, splits.get(path, "train"), known)
    most = np.reshape(gathered.boxes, (-1, 4)).max(1)
    in_pixels = 2 * (most > 1).sum() > len(most)
    return documents_of(data, gathered, dict(enumerate(known)) if known else None, in_pixels)


def _add(gathered: Gathered, path: Path, split: str, known: tuple[str, ...] | None) -> None:
    """Adds the images of a table, each once, in the order in which it names them."""
    table = read_table(path, _UNNAMED)
    form, found = _columns(table)
    names = table.filled(found["file"])
    splits = read_splits(table, found["split"]).tolist() if "split" in found else [split] * len(names)
    unique = list(dict.fromkeys(names))
    found_there = find_beside(path, unique)
    if not any(found_there) and path.parent.name.lower() in HOLDERS:
        found_there = find_recorded([path.parent.parent / "images", path.parent.parent], unique)
    files = dict(zip(unique, found_there, strict=True))
    labels = _labels(table.column(found["class"]), known)
    places = [place for kind, place in found.items() if kind not in ("file", *_KINDS)]
    images: dict[tuple[str, str], int] = {}
    for row, (name, split) in enumerate(zip(names, splits, strict=True)):
        if (name, split) not in images:
            called = short(files[name], path.parent) if files[name] else name
            images[name, split] = gathered.image(called, files[name], split, f"{path.name}, line")
        cells, label, of_row = table.rows[row], labels[row], (table.lines[row], images[name, split])
        sides = [number_in(cells[place]) for place in places]
        if all(is_missing(cells[place]) for place in places) and is_missing(str(label)):
            continue  # the image holds no object
        if None in sides:
            gathered.fault(f'"{cells[places[sides.index(None)]][:40]}" is no number', *of_row)
        elif is_missing(str(label)):
            gathered.fault("no class", *of_row)
        else:
            crowd = "crowd" in found and cells[found["crowd"]].lower() in _YES
            gathered.object(label, CORNERS[form](tuple(sides)), of_row[0], crowd, of_row[1])


def _columns(table: Table) -> tuple[str, dict[str, int]]:
    """Returns the form of a table's boxes, and the places of its columns: the image's, the box's four, the class's."""
    path, header = table.path, table.header
    form, sides = sides_in(header)
    if not form:
        whole = whole_box_in(header)
        advice = f'Write the numbers of "{whole}" into columns of their own' if whole else "Call them"
        raise BadInput(f"{path} has no columns of a box; it has {quoted(header)}. {advice}: {EXPECTED}.")
    if form == "corner":
        said = "x and y are taken for the upper left corner of a box; where they are its centre, call them xc and yc."
        faults.note(path, said, logging.INFO)
    kinds = {"file": FILES, **{side: (side,) for side in sides}}
    found = find_columns(path, header, {}, kinds, tuple(kinds))
    taken = {plain(header[place]) for place in found.values()}
    kinds = {kind: tuple(name for name in names if plain(name) not in taken) for kind, names in _KINDS.items()}
    return form, {**found, **find_columns(path, header, {}, kinds, ("class",))}


def _labels(words: list[str], known: tuple[str, ...] | None) -> list[str | int]:
    """Returns classes as names, or as ids where all are numbers that a file of classes names."""
    filled = [word for word in words if not is_missing(word)]
    ids = known and all(map(is_id, filled)) and not set(filled) <= set(known)
    return [int(word) if ids and is_id(word) else word for word in words]
