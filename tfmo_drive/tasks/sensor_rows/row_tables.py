"""Reads tables of rows: finds which column is what, and reads the files of a folder one after the other.

Nothing is kept in memory.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.layouts.columns import COLUMNS
from tfmo_drive.data.splitting import SPLIT_WORDS, SPLITS, split_of_folder
from tfmo_drive.tasks.sensor_rows.packed_rows import Chunk, RowSource
from tfmo_drive.tasks.sensor_rows.row_files import INDEX, SUFFIXES, Codes, opened

USUAL = {
    "target": ("target", *COLUMNS["label"], "y"),
    "split": COLUMNS["split"],
    "group": ("drive", *COLUMNS["group"]),
}
"""The usual names of each role's column, in lower case."""
_MOST_CLASSES = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """Names which column is what; empty names are found by the usual ones.

    Args:
        target: The column of the class or number.
        inputs: The columns of inputs; () takes every column that is left.
        ignore: The columns that are no inputs.
        split: The column of train, val and test.
        group: The column of rows that are not independent, such as a drive.
    """

    target: str = ""
    inputs: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    split: str = ""
    group: str = ""

    def __post_init__(self):
        for field in ("inputs", "ignore"):
            names = getattr(self, field)
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise BadInput(f'Columns.{field} must name every column once, got "{twice}" more than once.')


class Table(RowSource):
    """Reads rows of one file, or of all files of a folder in the order of their names, each then a group of its own.

    Files that are called as splits (train.csv, test.csv), and no others beside them, are these.

    `classes` says whether the target is a class, whatever its text, rather than a number.
    """

    def __init__(self, path: Path, columns: Columns, classes: bool) -> None:
        self.name = str(path)
        self._files = [opened(file) for file in _files(path)]
        first = self._files[0]
        for file in self._files[1:]:
            if file.header != first.header:
                raise BadInput(f"{file.path} has other columns than {first.path.name}. Give files of one kind.")
        named = [split_of_folder(file.path.stem) for file in self._files]
        self._given = named if all(named) and len(set(named)) == len(named) > 1 else []
        self._roles = _roles(self.name, first.header, columns)
        self.columns = _inputs(self.name, first.header, columns, set(self._roles.values()))
        worded = [role for role in self._roles if classes or role != "target"]
        self._words = {role: Codes() for role in worded}
        self.layout = f"{len(self._files):,} tables of rows" if len(self._files) > 1 else "a table of rows"
        self.predicted = f'the column "{self._roles["target"]}"'
        if "group" in self._roles:
            self.grouped = f'groups (column "{self._roles["group"]}")'
        else:
            alone = len(self._files) == 1 or self._given
            self.grouped = "stretches of neighbouring rows" if alone else "files"
        facts = [(os.path.abspath(file.path), os.stat(file.path)) for file in self._files]
        files = [[path, found.st_size, found.st_mtime_ns] for path, found in facts]
        self.key = ["table", files, self.columns, self._roles, classes, *self._given]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._words.get("target", ()))

    def chunks(self) -> Iterator[Chunk]:
        for codes in self._words.values():
            codes.clear()
        wanted = [*self.columns, *self._roles.values()]
        words = {self._roles[role]: codes for role, codes in self._words.items()}
        for number, file in enumerate(self._files):
            for block in file.blocks(wanted, words):
                self._refuse_many_classes()
                yield self._chunk(block, number)

    def _chunk(self, block: np.ndarray, file: int) -> Chunk:
        """Returns rows from a block of a file, float64 [m, columns and roles], in which words are codes."""
        cells = dict(zip(self._roles, block[:, len(self.columns) :].T, strict=True))
        own = -1 if len(self._files) == 1 or self._given else file
        groups = cells["group"].astype(np.int64) if "group" in cells else np.full(len(block), own)
        splits = np.full(len(block), SPLITS.index(self._given[file]) if self._given else -1)
        if "split" in cells:
            splits = np.array([self._split(word) for word in self._words["split"]])[cells["split"].astype(np.int64)]
        return Chunk(block[:, : len(self.columns)], cells["target"], groups, splits)

    def _split(self, word: str) -> int:
        if word.lower() not in SPLIT_WORDS:
            raise BadInput(
                f'{self.name}, column "{self._roles["split"]}": there is no split "{word}". '
                f"{suggestion(word, SPLIT_WORDS)}"
            )
        return SPLITS.index(SPLIT_WORDS[word.lower()])

    def _refuse_many_classes(self) -> None:
        if len(self.classes) > _MOST_CLASSES:
            raise BadInput(
                f'{self.name}: the target "{self._roles["target"]}" has more than {_MOST_CLASSES:,} values, such as '
                f"{quoted(self.classes[:2])}. If it is a number, add --set=task.predicts=number."
            )


def _files(path: Path) -> list[Path]:
    """Returns the files of rows; a .json beside others in a folder says something of them, and is none."""
    listed = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    found = [file for file in listed if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    found = [file for file in found if file.suffix.lower() != ".json"] or found
    if not found:
        kinds = ", ".join(SUFFIXES)
        raise BadInput(f"No rows at {path}. Expected a file ({kinds}), or a folder of them; see data/README.md.")
    return found


def _roles(source: str, header: Sequence[str], columns: Columns) -> dict[str, str]:
    """Returns the column of each role: target, and split and group where there are any."""
    found = {}
    for role, usual in USUAL.items():
        said = getattr(columns, role)
        if said and said not in header:
            raise BadInput(f'{source} has no column "{said}" for the {role}. {suggestion(said, header)}')
        free = [name for name in header if name not in columns.inputs + columns.ignore]
        matches = [name for word in usual for name in free if name.lower() == word]
        if said or matches:
            found[role] = said or matches[0]
    if "target" not in found:
        raise BadInput(
            f"{source} has no column for the target; it has {quoted(header)}. "
            "Say which it is with --set=task.columns.target=NAME."
        )
    return found


def _inputs(source: str, header: Sequence[str], columns: Columns, taken: set[str]) -> tuple[str, ...]:
    for name in columns.inputs + columns.ignore:
        if name not in header:
            raise BadInput(f'{source} has no column "{name}". {suggestion(name, header)}')
    both = next((name for name in columns.inputs if name in taken), None)
    if both:
        raise BadInput(f'{source}: "{both}" is the target, the split or the group, so it cannot be an input too.')
    index = [name for name in header if name in INDEX and name not in (*columns.ignore, *taken)]
    if index and not columns.inputs:
        faults.note(source, f"not read: {quoted(index)}, an index of pandas.")
    left = columns.inputs or tuple(name for name in header if name not in taken.union(columns.ignore, index))
    if not left:
        raise BadInput(f"{source} has no column left to be an input; it has {quoted(header)}.")
    return left
