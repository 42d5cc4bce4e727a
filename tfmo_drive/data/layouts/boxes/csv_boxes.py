"""Reads a CSV of boxes, one a line: file, xmin, ymin, xmax, ymax, class, with a header of any usual names or none.

A row without box and class says that its image holds no object, as in the lists of keras-retinanet. A column of splits
is followed. The files of the German Traffic Sign Detection Benchmark (gt.txt) have the same columns.
"""

from __future__ import annotations

from pathlib import Path

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import beside, is_id, is_missing, quoted
from tfmo_drive.data.csv_table import Table, number_in, read_table
from tfmo_drive.data.found_files import folders_in
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.box_frames import Frame, Thing, documents_of, short
from tfmo_drive.data.layouts.csv_listing import COLUMNS, find_columns, find_recorded, read_splits
from tfmo_drive.data.layouts.known_layouts import box_tables
from tfmo_drive.data.splitting import split_in_name

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_UNNAMED = ("file", *_SIDES, "class")
_KINDS = {
    "file": (*COLUMNS["file"], "image_name", "img_path", "img", "image_id", "frame", "name"),
    "xmin": ("xmin", "x_min", "x1", "x0", "left", "bbox_x1", "upper_left_corner_x"),
    "ymin": ("ymin", "y_min", "y1", "y0", "top", "bbox_y1", "upper_left_corner_y"),
    "xmax": ("xmax", "x_max", "x2", "right", "bbox_x2", "lower_right_corner_x"),
    "ymax": ("ymax", "y_max", "y2", "bottom", "bbox_y2", "lower_right_corner_y"),
    "class": (*COLUMNS["label"], "category", "label_name", "annotation_tag", "object"),
    "split": COLUMNS["split"],
}


def documents(data: Path) -> dict[str, Document]:
    """Returns what the CSV, or those of a folder, say of their images, split by split.

    Several CSV files of a folder are the splits that their names say. Raises BadInput where a file is no CSV or lacks a
    column, or where there is no object.
    """
    tables = box_tables(data)
    splits = {path: split for path in tables if (split := split_in_name(path.stem))}
    if len(tables) > 1 and (len(splits) < len(tables) or len(set(splits.values())) < len(tables)):
        shown = quoted([path.name for path in tables])
        raise BadInput(f"{data} holds {len(tables)} CSV files of boxes: {shown}. Name one: --data={tables[0]}.")
    known = beside(tables[0].parent)
    frames = [frame for path in tables for frame in _frames(path, splits.get(path, "train"), known)]
    return documents_of(data, frames, dict(enumerate(known)) if known else None)


def _frames(path: Path, split: str, known: tuple[str, ...] | None) -> list[Frame]:
    """Returns the images of a table, each once, in the order in which it names them."""
    table = read_table(path, _UNNAMED)
    found = find_columns(path, table.header, {}, _KINDS, ("file", *_SIDES, "class"))
    names = table.filled(found["file"])
    splits = read_splits(table, found["split"]).tolist() if "split" in found else [split] * len(names)
    unique = list(dict.fromkeys(names))
    folders = [path.parent, *folders_in(path.parent), path.parent.parent / "images"]
    files = dict(zip(unique, find_recorded(folders, unique), strict=True))
    labels = _labels(table.column(found["class"]), known)
    frames: dict[tuple[str, str], Frame] = {}
    for row, (name, split) in enumerate(zip(names, splits, strict=True)):
        if (name, split) not in frames:
            file = files[name]
            frames[name, split] = Frame(short(file, path.parent) if file else name, file, [], split)
        if thing := _thing(table, row, found, labels[row]):
            frames[name, split].things.append(thing)
    return list(frames.values())


def _labels(words: list[str], known: tuple[str, ...] | None) -> list[str | int]:
    """Returns classes as names, or as ids where all are numbers that a file of classes names."""
    filled = [word for word in words if not is_missing(word)]
    ids = known and all(map(is_id, filled)) and not set(filled) <= set(known)
    return [int(word) if ids and is_id(word) else word for word in words]


def _thing(table: Table, row: int, found: dict[str, int], label: str | int) -> Thing | None:
    """Returns the object of a row; None where the row says that there is none."""
    cells = [table.rows[row][found[side]] for side in _SIDES]
    where = f"{table.path.name}, line {table.lines[row]}"
    if all(map(is_missing, cells)) and is_missing(str(label)):
        return None
    sides = [number_in(cell) for cell in cells]
    if None in sides:
        return Thing(None, None, where, fault=f'"{cells[sides.index(None)][:40]}" is no number')
    if is_missing(str(label)):
        return Thing(None, None, where, fault="no class")
    return Thing(label, (sides[0], sides[1], sides[2], sides[3]), where)
