"""Reads a CSV of boxes, one a line: file, xmin, ymin, xmax, ymax, class, with a header of any usual names or none.

A box may be its centre, or a corner, and its size too (`layouts.columns`), in pixels or, where most have no number
above 1, in shares of the image, as Open Images has them. A row without box and class says that its image holds no
object, as in the lists of keras-retinanet. A column of splits is followed, and one that says which boxes are around
crowds. Such are the files of LISA (allAnnotations.csv, and frameAnnotationsBOX.csv of every clip), of the German
Traffic Sign Detection Benchmark (gt.txt, which is silent about images without a sign), and of Udacity: labels.csv with
spaces between the cells and no header, and labels_crowdai.csv, whose header names its numbers in another order; and of
makesense.ai, class, x, y, width, height, file and the image's size without a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.base import faults, given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import beside, is_id, is_missing, quoted
from tfmo_drive.data.csv_table import Table, cells, number_in, read_table, separator_of, spaced_cells
from tfmo_drive.data.found_files import HOLDERS, folders_below
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.gathered import Gathered, by_stem, documents_of, short
from tfmo_drive.data.layouts.columns import (
    CLASSES,
    COLUMNS,
    CORNERS,
    EXPECTED,
    FILES,
    UNNAMED,
    plain,
    sides_in,
    unnamed_in,
    whole_box_in,
)
from tfmo_drive.data.layouts.csv_listing import find_columns, read_splits
from tfmo_drive.data.layouts.known_layouts import begins, box_tables, spaced
from tfmo_drive.data.layouts.named_images import find_beside, in_one_of, is_of_masks
from tfmo_drive.data.splitting import split_in_name, split_of_path

_SPACED = (*UNNAMED[:5], "occluded", "class", "attributes")
"""The columns of Udacity's file, whose last cell only traffic lights have."""
_SILENT = "gt.txt"
"""The file of the benchmark that has no line for images without a sign."""
_KINDS = {"class": CLASSES, "split": COLUMNS["split"], "crowd": ("iscrowd", "is_crowd", "is_group_of", "group_of")}
_DEEP = 5
"""How deep in the data images are looked for that do not lie beside their table."""
_NAMED = ("class", "class_name", "label", "label_name", "category", "category_name")
"""Columns that may call a class by name where another holds its id."""
_YES = ("1", "true", "yes")
"""What says that a box is around a crowd, in lower case."""


def documents(data: Path) -> dict[str, Document]:
    """Returns what the CSV, or those of a folder, say of their images, split by split.

    Several CSV files of a folder are the splits that their names say, and those of one name in several folders belong
    together. Raises BadInput where a file is no CSV or lacks a column, or where there is no object.
    """
    tables = box_tables(data)
    splits = {path: split for path in tables if (split := split_of_path(path, data))}
    if {"train", "val"} <= {*splits.values()} and any("trainval" in path.stem.lower() for path in tables):
        both = [path for path in tables if "trainval" in path.stem.lower()]
        faults.note(data, f"not read beside those of train and val: {quoted([path.name for path in both])}.")
        tables = [path for path in tables if path not in both]
    alike = len({path.name for path in tables}) == 1
    if not alike and (len(splits) < len(tables) or len(set(splits.values())) < len(tables)):
        shown = quoted([path.name for path in tables])
        raise BadInput(f"{data} holds {len(tables)} CSV files of boxes: {shown}. Name one: --data={tables[0]}.")
    known = beside(tables[0].parent)
    gathered = Gathered()
    for path in tables:
        _add(gathered, path, splits.get(path, "train"), known, data)
    most = np.reshape(gathered.boxes, (-1, 4)).max(1)
    in_pixels = 2 * (most > 1).sum() > len(most)
    return documents_of(data, gathered, dict(enumerate(known)) if known else None, in_pixels)


def _add(gathered: Gathered, path: Path, split: str, known: tuple[str, ...] | None, root: Path) -> None:
    """Adds the images of a table, each once, in the order in which it names them."""
    table = _table(path)
    form, found = _columns(table)
    names = table.filled(found["file"])
    splits = read_splits(table, found["split"]).tolist() if "split" in found else [split] * len(names)
    unique = list(dict.fromkeys(names))
    files = dict(zip(unique, _found(path, unique, root), strict=True))
    labels = _labels(table.column(found["class"]), known)
    places = [place for kind, place in found.items() if kind not in ("file", *_KINDS)]
    places = _as_meant(table, places) if form == "corners" else places
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
    if path.name.lower() == _SILENT:
        listed = set(filter(None, files.values()))
        for folder in sorted({file.parent for file in listed}):
            for file in sorted({*by_stem(folder).values()} - listed):
                gathered.image(short(file, path.parent), file, split)


def _table(path: Path) -> Table:
    """Returns the rows of a file; where it has no header, under the names of its form's columns."""
    first = begins(path).split("\n")[0]
    if spaced(first):
        return _spaced_table(path)
    return read_table(path, unnamed_in(cells(path, 1, first, separator_of(first))) or UNNAMED)


def _spaced_table(path: Path) -> Table:
    """Returns a table with spaces between its cells; raises BadInput that names a line of another number of cells."""
    lines = given_file.text_of(path, "a CSV file in UTF-8", windows=True).split("\n")
    rows = {number: spaced_cells(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()}
    header = rows.pop(next(iter(rows))) if sides_in(next(iter(rows.values())))[0] else None
    names = header or (UNNAMED if all(len(row) == len(UNNAMED) for row in rows.values()) else _SPACED)
    for number, row in rows.items():
        if len(row) not in (1, len(names) - 1, len(names)):
            raise BadInput(f"{path}, line {number}: {len(names)} cells expected ({', '.join(names)}), got {len(row)}.")
    if not rows:
        raise BadInput(f"No rows in {path}. Expected a header line and one line per box.")
    padded = [[*row, *[""] * (len(names) - len(row))] for row in rows.values()]
    return Table(path, list(names), padded, list(rows))


def _found(path: Path, names: list[str], root: Path) -> list[Path | None]:
    """Returns where the images of a table lie: beside it, else in a folder of the data, first in one called as its own.

    LISA's Annotations/dayTrain/dayClip1/frameAnnotationsBOX.csv names what lies in dayTrain/dayClip1/frames.
    """
    found = find_beside(path, names)
    if any(found):
        return found
    above = path.parent.parent if path.parent.name.lower() in HOLDERS else path.parent
    top = root if root.is_dir() else above
    below = {folder: folder.relative_to(top).parts for folder in (top, *folders_below(top, _DEEP))}
    below = {folder: parts for folder, parts in below.items() if not any(is_of_masks(Path(part)) for part in parts)}
    if split := split_in_name(path.stem):
        below = {place: parts for place, parts in below.items() if {split, *map(split_in_name, parts)} <= {split, ""}}
    found = in_one_of([folder for folder, parts in below.items() if path.parent.name in parts], names, path)
    return found if any(found) else in_one_of(list(below), names, path)


def _as_meant(table: Table, places: list[int]) -> list[int]:
    """Returns the places of xmin, ymin, xmax and ymax: those of the header, or in their order where that alone fits.

    The header of Udacity's labels_crowdai.csv says xmin,xmax,ymin,ymax, and its rows hold xmin,ymin,xmax,ymax.
    """
    rows = [[number_in(row[place]) for place in places] for row in table.rows]
    named = np.array([row for row in rows if None not in row], float).reshape(-1, 4)
    order = np.argsort(places)
    empty, others = ((boxes[:, :2] >= boxes[:, 2:]).any(axis=1).sum() for boxes in (named, named[:, order]))
    if 10 * empty <= len(named) or 10 * others >= empty:
        return places
    shown = quoted([table.header[place] for place in sorted(places)])
    said = f"under {shown}, {empty:,} of {len(named):,} boxes have no area: taken for xmin, ymin, xmax, ymax."
    faults.note(table.path, said)
    return sorted(places)


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
    found |= find_columns(path, header, {}, kinds, ("class",))
    if all(is_id(cell) or is_missing(cell) for cell in table.column(found["class"])):
        found["class"] = _column_of_names(table, found)
    return form, found


def _column_of_names(table: Table, found: Mapping[str, int]) -> int:
    """Returns the column that calls the classes of a table by name, where there is one beside that of their ids."""
    names = {plain(name): place for place, name in enumerate(table.header) if place not in found.values()}
    places = [names[plain(name)] for name in _NAMED if plain(name) in names]
    told = (place for place in places if not any(is_id(cell) or is_missing(cell) for cell in table.column(place)))
    return next(told, found["class"])


def _labels(words: list[str], known: tuple[str, ...] | None) -> list[str | int]:
    """Returns classes as names, or as ids where all are numbers that a file of classes names."""
    filled = [word for word in words if not is_missing(word)]
    ids = known and all(map(is_id, filled)) and not set(filled) <= set(known)
    return [int(word) if ids and is_id(word) else word for word in words]
