"""A CSV file of images: file, label, and where there are any, split and group (frames of one track).

Columns are found by name, whatever their case, separator or order (GTSRB's own `Filename;...;ClassId` included).
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.contracts import BadInput
from tfmo_drive.core import class_names as names_files
from tfmo_drive.core.spelling import nearest, suggestion
from tfmo_drive.core.splitting import FRACTIONS, SPLIT_WORDS, Listing, Rows, assemble

COLUMNS = {
    "file": ("file", "path", "filename", "filepath", "image", "image_path"),
    "label": ("class_id", "label", "class", "class_name", "label_id"),
    "split": ("split", "set", "subset"),
    "group": ("group", "track", "group_id", "track_id", "sequence"),
}


def list_csv(
    path: str | Path,
    class_names: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> Listing:
    """List the images of a CSV; `columns` says what cannot be guessed, as {"label": "Sign"} (see COLUMNS).

    Labels are ids or class names. Names come from `class_names`, else classes.json or classes.txt beside the CSV, else
    the sorted labels. Images are looked for beside the CSV, in images/, and in a folder called as the CSV. Without a
    split column, whole groups are drawn. A group is one group whatever its class (a drive passes many signs), unless
    groups are numbers and the given splits cut them: then they restart per class, as GTSRB's tracks do.
    Raises BadInput on a missing column or file, a label out of range, or a group in two splits.
    """
    path = Path(path)
    header, table = read_table(path)
    found = find_columns(path, header, columns or {}, COLUMNS, ("file", "label"))
    cells = {kind: [row[index].strip() for row in table] for kind, index in found.items()}
    names = tuple(class_names or names_files.beside(path.parent) or _names_in(path, cells["label"]))
    labels = _labels(path, cells["label"], names)
    files = _files(path, cells["file"])
    splits = read_splits(path, cells["split"]) if "split" in cells else np.full(len(files), "", "<U5")
    groups = _groups(path, cells["group"], labels, splits) if "group" in cells else np.arange(len(files))
    return assemble(Rows(path, names, files, labels, groups, splits), fractions, seed)


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a CSV file, as long as the header; empty lines are left out. Raises BadInput."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} cannot be read: {reason}. Expected a CSV file in UTF-8.") from error
    first = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    header, *table = [row for row in lines if any(cell.strip() for cell in row)] or [[]]
    if not table:
        raise BadInput(f"No rows in {path}. Expected a header line and one line per image.")
    for number, row in enumerate(table, start=2):
        if len(row) != len(header):
            raise BadInput(f"{path}, row {number}: {len(header)} columns expected, as in the header, got {len(row)}.")
    return [cell.strip() for cell in header], table


def find_columns(
    path: Path,
    header: list[str],
    asked: Mapping[str, str],
    kinds: Mapping[str, Sequence[str]],
    needed: Sequence[str],
) -> dict[str, int]:
    """{kind: place in the header}: as `asked` ({kind: name}), else by the usual names of each of the `kinds`.

    Raises BadInput, with the nearest name, where one of the `needed` kinds or an asked column is not there.
    """
    for kind, name in asked.items():
        if kind not in kinds:
            raise BadInput(f'columns: there is no kind "{kind}". {suggestion(kind, kinds)}')
        if name not in header:
            raise BadInput(f'{path} has no column "{name}". {suggestion(name, header)}')
    plain = {_plain(name): index for index, name in reversed(list(enumerate(header)))}
    found = {kind: header.index(name) for kind, name in asked.items()}
    for kind, choices in kinds.items():
        matches = [plain[_plain(choice)] for choice in choices if _plain(choice) in plain]
        if kind not in found and matches:
            found[kind] = matches[0]
    for kind in needed:
        if kind not in found:
            near = next((f'Did you mean "{name}"? ' for name in header if nearest(name, kinds[kind], 0.6)), "")
            raise BadInput(
                f"{path} has no column for the {kind}; it has {names_files.quoted(header)}. {near}"
                f"Call the column {' or '.join(kinds[kind][:3])}."
            )
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names_in(path: Path, labels: list[str]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"-?[0-9]+", label) for label in labels):
        return names_files.ordered(labels)
    ids = sorted({int(label) for label in labels})
    if ids != list(range(len(ids))):
        raise BadInput(
            f"{path}: labels must be 0..{len(ids) - 1} without gaps ({len(ids)} classes), got {ids[0]}..{ids[-1]}. "
            f"Put the names of all classes into classes.txt beside it."
        )
    return tuple(str(number) for number in ids)


def _labels(path: Path, labels: list[str], names: Sequence[str]) -> np.ndarray:
    ids = names_files.label_ids(labels, names)
    bad = next((label for label in labels if label not in ids), None)
    if bad is not None:
        raise BadInput(f"{path}, row {labels.index(bad) + 2}: {names_files.no_class(bad, names)}")
    return np.array([ids[label] for label in labels], np.int64)


def _files(path: Path, names: list[str]) -> list[Path]:
    files = find_files([path.parent, path.parent / "images", path.parent / path.stem], names)
    missing = [name for name, file in zip(names, files, strict=True) if file is None]
    if missing:
        raise BadInput(
            f"{len(missing):,} of {len(names):,} images named in {path} are missing: {names_files.quoted(missing, 3)}. "
            f"Looked in {path.parent}, its images/ and its {path.stem}/."
        )
    return files


def find_files(folders: Sequence[Path], names: Sequence[str]) -> list[Path | None]:
    """Where each name lies in the first of the folders that holds it; None where none does.

    Every folder is listed once: to ask each for each name would take minutes for many of both.
    """
    parts = [os.path.split(name) for name in names]
    wanted: dict[str, set[str]] = {}
    for parent, last in parts:
        wanted.setdefault(parent, set()).add(last)
    found: dict[tuple[str, str], Path] = {}
    for folder, (parent, lasts) in itertools.product(folders, wanted.items()):
        if lasts:
            place = folder / parent
            here = {last for last in lasts & _entries(place) if os.path.isfile(place / last)}
            found |= {(parent, last): place / last for last in here}
            lasts -= here
    return [found.get(part) for part in parts]


def _entries(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError):  # there is none, or the name is none that a file can have
        return set()


def read_splits(path: Path, words: list[str]) -> np.ndarray:
    """Words for splits to train, val or test: <U5 [n]; BadInput with the row otherwise."""
    bad = next((word for word in words if word.lower() not in SPLIT_WORDS), None)
    if bad is not None:
        raise BadInput(f'{path}, row {words.index(bad) + 2}: there is no split "{bad}". {suggestion(bad, SPLIT_WORDS)}')
    return np.array([SPLIT_WORDS[word.lower()] for word in words], "<U5")


def _groups(path: Path, groups: list[str], labels: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """int64 [n], numbered in the order of first appearance; an empty cell is a group of its own.

    Numbers that several classes share are drives, unless the given splits cut them: then they restart per class.
    """
    numbers = all(group.isdecimal() for group in groups if group)
    pairs = list(zip(groups, labels.tolist(), strict=True))
    cut = {(group, split) for group, split in zip(groups, splits.tolist(), strict=True) if group}
    restarts = numbers and len(cut) > len({group for group, _ in cut})
    shared = len(set(pairs)) - len(set(groups))
    if numbers and shared > 0 and not restarts:
        logging.warning("%s: %d group numbers occur in several classes; each is taken for one group.", path, shared)
    if restarts:
        logging.warning(
            "%s: splits cut group numbers, so these are taken to restart per class: %d groups.", path, len(set(pairs))
        )
    ids: dict[object, int] = {}
    found = np.empty(len(groups), np.int64)
    for row, (group, label) in enumerate(pairs):
        key = row if not group else (group, label) if restarts else group
        found[row] = ids.setdefault(key, len(ids))
    first_split: dict[int, str] = {}
    for row, (number, split) in enumerate(zip(found.tolist(), splits.tolist(), strict=True)):
        if first_split.setdefault(number, split) != split:
            raise BadInput(
                f'{path}, row {row + 2}: group "{groups[row]}" is in {first_split[number]} and in {split}. '
                f"Frames of one track must stay in one split."
            )
    return found
