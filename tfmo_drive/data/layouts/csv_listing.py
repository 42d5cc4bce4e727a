"""Lists a CSV file of images: file, label, and where there are any, split and group (frames of one track).

Columns are found by name, whatever their case, separator or order (GTSRB's own `Filename;...;ClassId` included).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base.spelling import nearest, suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import found_files
from tfmo_drive.data.class_names import beside, is_id, is_missing, label_ids, no_class, ordered, quoted, refuse_unfit
from tfmo_drive.data.csv_table import Table, number_in, read_table
from tfmo_drive.data.found_files import identity
from tfmo_drive.data.layouts.columns import COLUMNS, plain
from tfmo_drive.data.layouts.known_layouts import unwrapped
from tfmo_drive.data.layouts.named_images import find_beside
from tfmo_drive.data.layouts.split_tables import joined
from tfmo_drive.data.splitting import SPLIT_WORDS, Listing, Rows, assemble, assemble_blocks

_FLOAT_ID = re.compile(r"-?[0-9]{1,18}\.0+")


class OtherKind(BadInput):
    """Is raised where data are for another task: a table has no column for this one, or a file is none of its kind."""


def list_csv(
    path: str | Path,
    class_names: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Listing:
    """Lists the images of a CSV file; labels are ids or class names.

    Images are looked for beside the CSV and in the folders there (`named_images.find_beside`). Without a split column,
    whole groups are sampled. A group is one group whatever its class (a drive passes many signs), unless groups are
    numbers and the given splits cut them: then they restart per class, as GTSRB's tracks do.

    Args:
        path: The CSV file, or a folder with one for every split (split_tables).
        class_names: The classes' names; by default those of classes.json or classes.txt beside the CSV, else the sorted
            labels.
        columns: The columns that cannot be guessed, as {"label": "Sign"} (see COLUMNS).
        seed: The seed of the sampling.
        skip_bad: Whether missing images are skipped.

    Raises:
        BadInput: A column is missing, a cell empty, a label no class, or a group in two splits (the message names the
            line); or images are missing (counted, ten named).
    """
    table = table_at(Path(path))
    path = table.path
    found = find_classes(table, columns or {})
    if "label" not in found and (names := _one_hot(table, set(found.values()))):
        table, found["label"] = _with_classes(table, names), len(table.header)
    if "label" not in found:
        find_columns(path, table.header, columns or {}, COLUMNS, ("label",))
    known = tuple(class_names or beside(path.parent) or ())
    refuse_unfit(path, known, said=True)
    table, files = _located(table, found["file"], skip_bad)
    words = _whole(table.filled(found["label"], known))
    names = known or _names_in(table, words)
    labels = _labels(table, words, names)
    splits = read_splits(table, found["split"]) if "split" in found else np.full(len(files), "", "<U5")
    groups = _groups(table, found["group"], labels, splits) if "group" in found else np.arange(len(files))
    layout = "a CSV file of images and classes"
    return assemble(Rows(path, names, files, labels, groups, splits, layout), seed, bool(known))


def table_at(path: Path) -> Table:
    """Returns the rows of a CSV file, or of those in a folder that has one for every split."""
    return joined(path) if path.is_dir() else read_table(path)


def find_classes(table: Table, asked: Mapping[str, str]) -> dict[str, int]:
    """Returns {kind: place} as `find_columns` does; the only column that is left, if of words, is that of classes."""
    found = find_columns(table.path, table.header, asked, COLUMNS, ("file",))
    left = [place for place in range(len(table.header)) if place not in found.values()]
    words = [cell for cell in table.column(left[0]) if not is_missing(cell)] if len(left) == 1 else []
    if "label" in found or not words or any(number_in(word) is not None for word in words):
        return found
    return found | {"label": left[0]}


def _one_hot(table: Table, taken: set[int]) -> dict[int, str]:
    """Returns the places and names of two or more columns that hold 0 and 1 alone, if they are all that are left."""
    left = {place: name for place, name in enumerate(table.header) if place not in taken}
    marks = all(number_in(row[place]) in (0, 1) for row in table.rows for place in left)
    return left if marks and len(left) > 1 else {}


def _with_classes(table: Table, names: Mapping[int, str]) -> Table:
    """Returns a table with a last column of the class of each row, the one of some columns that holds 1.

    Raises OtherKind for a row of several labels, or of none.
    """
    rows = []
    for place, row in enumerate(table.rows):
        own = [name for column, name in names.items() if number_in(row[column]) == 1]
        if len(own) != 1:
            raise OtherKind(
                f"{table.line(place)}: it has {len(own)} labels, and a class is one. Several labels an image, or none, "
                "are for --experiment=labels_post_training and those like it."
            )
        rows.append([*row, *own])
    return dataclasses.replace(table, header=[*table.header, COLUMNS["label"][0]], rows=rows)


def list_numbers(
    path: str | Path, number: str, columns: Mapping[str, str] | None = None, seed: int = 0, skip_bad: bool = False
) -> Listing:
    """Returns the images of a CSV file with a number each, labels float32 [n, 1].

    Columns and images are found as by `list_csv`; missing splits are sampled by whole groups.

    Args:
        path: The CSV file.
        number: What is listed, which is also the usual name of its column ("distance").
        columns: The names that cannot be guessed, as {"number": "metres"}.
        seed: The seed of sampled splits.
        skip_bad: Whether rows without an image or a number are left out.

    Raises:
        BadInput: A column is missing; rows have no image, an image of an earlier row or no number, and are not to be
            skipped; or a group is in two splits.
    """
    path = only_table(Path(path), f"images and their {number}")
    table = read_table(path)
    kinds = {kind: names for kind, names in COLUMNS.items() if kind != "label"} | {
        "number": (number, "number", "value")
    }
    found = find_columns(path, table.header, columns or {}, kinds, ("file", "number"))
    place = found["number"]

    def number_of(row: Sequence[str]) -> tuple[Sequence[float] | None, str]:
        value = number_in(row[place])
        return (None if value is None else (value,)), row[place]

    listing = listed(table, found, number_of, "no number", seed, skip_bad)
    return dataclasses.replace(listing, layout=f"a CSV file of images and their {number}")


def only_table(path: Path, what: str) -> Path:
    """Returns the file itself, or the only CSV file of a folder; raises BadInput where that is not one."""
    path = unwrapped(path)
    tables = found_files.tables(path) if path.is_dir() else [path]
    if len(tables) != 1:
        raise BadInput(f"{path} is a folder. Name the CSV file of {what}: --data={path / 'NAME.csv'}.")
    return tables[0]


def listed(
    table: Table,
    found: Mapping[str, int],
    values_of: Callable[[Sequence[str]], tuple[Sequence[float] | None, str]],
    fault: str,
    seed: int,
    skip_bad: bool,
) -> Listing:
    """Returns the images of a table with what `values_of` says of each row, labels float32 [n, k].

    Args:
        table: The table.
        found: The places of its columns: of the files and, perhaps, of splits and groups, by which splits are sampled.
        values_of: Returns a row's values, or None where it has none, and the text that stands there.
        fault: What a row without values has ("no number").
        seed: The seed of sampled splits.
        skip_bad: Whether rows without values or an image of their own are left out.
    """
    path = table.path
    table, files = _located(table, found["file"], skip_bad)
    values, kept, odd, seen = [], [], [], set()
    for row, file in enumerate(files):
        own, text = values_of(table.rows[row])
        if own is None:
            odd.append(f'{table.place(row)} ("{text}")')
        elif identity(file) in seen:  # one of the two might be trained on, the other tested
            odd.append(f"{table.place(row)} ({file.name} once more)")
        else:
            seen.add(identity(file))
            kept.append(row)
            values.append(own)
    faults.refuse(path, odd, len(files), f"rows have {fault} or no image of their own", skip_bad)
    table, files = table.at(kept), [files[row] for row in kept]
    splits = read_splits(table, found["split"]) if "split" in found else np.full(len(files), "", "<U5")
    groups = np.arange(len(files))
    if "group" in found:
        groups = _groups(table, found["group"], np.zeros(len(files), np.int64), splits)
    return assemble_blocks(Rows(path, (), files, np.array(values, np.float32), groups, splits), seed)


def find_columns(
    path: Path,
    header: list[str],
    asked: Mapping[str, str],
    kinds: Mapping[str, Sequence[str]],
    needed: Sequence[str],
) -> dict[str, int]:
    """Returns {kind: place in the header}: as asked, else by the usual names of each kind.

    Args:
        path: The file, with which errors begin.
        header: The names of the file's columns.
        asked: {kind: column}, as the user gave it.
        kinds: The usual names of each kind's column, in lower case.
        needed: The kinds that must be found.

    Raises:
        BadInput: A needed kind or an asked column is not there; the message suggests the nearest name.
    """
    for kind, name in asked.items():
        if kind not in kinds:
            raise BadInput(f'columns: there is no kind "{kind}". {suggestion(kind, kinds)}')
        if name not in header:
            raise BadInput(f'{path} has no column "{name}". {suggestion(name, header)}')
    there = [plain(name) for name in header]
    found = {kind: header.index(name) for kind, name in asked.items()}
    for kind, choices in kinds.items():
        matches = [there.index(plain(choice)) for choice in choices if plain(choice) in there]
        if kind not in found and matches:
            found[kind] = matches[0]
            _refuse_twins(path, header, [i for i, name in enumerate(there) if name == there[matches[0]]], kind)
    for kind, name in asked.items():
        _refuse_twins(path, header, [i for i, other in enumerate(header) if other == name], kind)
    for kind in needed:
        if kind not in found:
            near = next((f'Did you mean "{name}"? ' for name in header if nearest(name, kinds[kind], 0.6)), "")
            raise OtherKind(
                f"{path} has no column for the {kind}; it has {quoted(header)}. {near}"
                f"Call the column {' or '.join(kinds[kind][:3])}."
            )
    return found


def _refuse_twins(path: Path, header: list[str], places: list[int], kind: str) -> None:
    if len(places) > 1:
        names = quoted([header[place] for place in places])
        raise BadInput(f"{path}: {names} could each be the column of the {kind}. Rename all but one.")


def _whole(labels: list[str]) -> list[str]:
    """Returns ids that pandas wrote as numbers with a fraction (0.0, 1.0, ...) as whole numbers."""
    return [label.partition(".")[0] for label in labels] if all(map(_FLOAT_ID.fullmatch, labels)) else labels


def _names_in(table: Table, labels: list[str]) -> tuple[str, ...]:
    numbers = {label for label in labels if is_id(label)}
    ids = sorted({int(label) for label in numbers})
    gapless = ids == list(range(len(ids)))
    words = [row for row, label in enumerate(labels) if label not in numbers]
    if words and ids and gapless:
        shown = [f'{table.place(row)} ("{labels[row]}")' for row in words]
        raise BadInput(
            f"{table.path}: {faults.counted(shown, len(labels), 'labels are no ids, as the others are')} Mend them, "
            "or, if all are names, put those of all classes into classes.txt beside it."
        )
    if words:
        return ordered(table.path, labels)
    if not gapless:
        raise BadInput(
            f"{table.path}: labels must be 0..{len(ids) - 1} without gaps ({len(ids)} classes), got "
            f"{ids[0]}..{ids[-1]}. Put the names of all classes into classes.txt beside it."
        )
    return tuple(str(number) for number in ids)


def _labels(table: Table, labels: list[str], names: Sequence[str]) -> np.ndarray:
    ids = label_ids(labels, names)
    bad = next((row for row, label in enumerate(labels) if label not in ids), None)
    if bad is not None:
        raise BadInput(f"{table.line(bad)}: {no_class(labels[bad], names)}")
    return np.array([ids[label] for label in labels], np.int64)


def _located(table: Table, index: int, skip_bad: bool) -> tuple[Table, list[Path]]:
    """Returns the rows whose image is there, and their images."""
    path, names = table.path, table.filled(index)
    files = find_beside(path, names)
    missing = [names[row] for row, file in enumerate(files) if file is None]
    what = f"images are missing in {path.parent} and the folders in it"
    faults.refuse(path, missing, len(names), what, skip_bad)
    kept = [row for row, file in enumerate(files) if file]
    return table.at(kept), [files[row] for row in kept]


def read_splits(table: Table, index: int) -> np.ndarray:
    """Returns a column of words as train, val or test, <U5 [n]; raises BadInput with the line for any other word."""
    words = table.filled(index)
    bad = next((row for row, word in enumerate(words) if word.lower() not in SPLIT_WORDS), None)
    if bad is not None:
        raise BadInput(
            f'{table.line(bad)}: there is no split "{words[bad][:60]}". {suggestion(words[bad][:60], SPLIT_WORDS)}'
        )
    return np.array([SPLIT_WORDS[word.lower()] for word in words], "<U5")


def _groups(table: Table, index: int, labels: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Returns groups int64 [n], numbered in the order of first appearance.

    An empty cell (or nan, ...) is a group of its own. Numbers that several classes share are drives, unless the given
    splits cut them: then they restart per class.
    """
    path, groups = table.path, ["" if is_missing(cell) else cell for cell in table.column(index)]
    numbers = all(group.isdecimal() for group in groups if group)
    pairs = list(zip(groups, labels.tolist(), strict=True))
    cut = {(group, split) for group, split in zip(groups, splits.tolist(), strict=True) if group}
    restarts = numbers and len(cut) > len({group for group, _ in cut})
    shared = len(set(pairs)) - len(set(groups))
    if numbers and shared > 0 and not restarts:
        faults.note(path, f"{shared:,} group numbers occur in several classes; each is taken for one group.")
    if restarts:
        said = f"splits cut group numbers, so these are taken to restart per class: {len(set(pairs)):,} groups."
        faults.note(path, said)
    ids: dict[object, int] = {}
    found = np.empty(len(groups), np.int64)
    for row, (group, label) in enumerate(pairs):
        key = row if not group else (group, label) if restarts else group
        found[row] = ids.setdefault(key, len(ids))
    first_split: dict[int, str] = {}
    for row, (number, split) in enumerate(zip(found.tolist(), splits.tolist(), strict=True)):
        if first_split.setdefault(number, split) != split:
            raise BadInput(
                f'{table.line(row)}: group "{groups[row][:60]}" is in {first_split[number]} and in {split}. '
                f"Frames of one track must stay in one split."
            )
    return found
