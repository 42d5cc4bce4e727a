"""Reads the tables of a folder that has one for every split as one table, with a column of the splits.

train.csv, val.csv, test.csv and images/    train/_classes.csv and train/*.jpg, as Roboflow writes them
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import found_files
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.csv_table import Table, cells, read_table, separator_of
from tfmo_drive.data.found_files import folders_in
from tfmo_drive.data.layouts.columns import COLUMNS, plain
from tfmo_drive.data.layouts.known_layouts import begins
from tfmo_drive.data.splitting import split_of_folder

_ROBOFLOW = "_classes.csv"
_SPLIT = "split"


@dataclasses.dataclass(frozen=True)
class Joined(Table):
    """Holds the rows of several tables; `places` is the file and line of each."""

    places: list[str]

    def place(self, row: int) -> str:
        """Returns where a row is in which file: `train.csv, line 7`."""
        return self.places[row]

    def line(self, row: int) -> str:
        """Returns the same, to begin an error with."""
        return self.places[row]

    def at(self, rows: list[int]) -> Joined:
        """Returns a table of these rows alone."""
        return Joined(**vars(super().at(rows)), places=[self.places[row] for row in rows])


def split_tables(root: Path) -> dict[Path, str]:
    """Returns the tables in a folder to their splits: train.csv and its like, or one in the folder of each; else {}.

    A table of other columns than train's is none of them, as that of Kaggle's test images, which has no classes.
    """
    for named in _named(root):
        header = next((_header(table) for table, split in named.items() if split == "train"), None)
        alike = {table: split for table, split in named.items() if _header(table) == header}
        if len(alike) > 1:
            return alike
    return {}


def _named(root: Path) -> list[dict[Path, str]]:
    """Returns the tables that are called as splits, those in the folders of splits and those beside one another."""
    inside = {folder / _ROBOFLOW: split_of_folder(folder.name) for folder in folders_in(root)}
    beside = {table: split_of_folder(table.stem) for table in found_files.tables(root)}
    return [{table: split for table, split in named.items() if split and table.is_file()} for named in (inside, beside)]


def _header(path: Path) -> list[str]:
    """Returns the names of a table's columns as they are compared."""
    first = begins(path).partition("\n")[0]
    return list(map(plain, cells(path, 1, first, separator_of(first))))


def joined(root: Path) -> Table:
    """Returns the rows of `split_tables`, with their split in a last column, to which an own one of its name gives way.

    Raises BadInput where a split has two tables, or there are none.
    """
    rows, lines, places, header = [], [], [], []
    tables = split_tables(root)
    left = [table.relative_to(root).as_posix() for named in _named(root) for table in named if table not in tables]
    if not tables:
        raise BadInput(f"{root} is a folder without a table for every split. Name the CSV file: {root / 'NAME.csv'}.")
    if len(set(tables.values())) < len(tables):
        raise BadInput(f"{root} holds a split twice: {', '.join(map(str, tables))}. Keep one of them.")
    if left:
        faults.note(root, f"not read: {quoted(left)}, whose columns are not those of train.")
    for path, split in tables.items():
        table = read_table(path)
        kept = [place for place, name in enumerate(table.header) if plain(name) != _SPLIT]
        header = [table.header[place] for place in kept]
        beside = "" if path.parent == root else f"{path.parent.name}/"
        files = [place for place, name in enumerate(header) if plain(name) in map(plain, COLUMNS["file"])]
        for row in table.rows:
            own = (row[place] for place in kept)
            rows.append([beside + cell if place in files else cell for place, cell in enumerate(own)] + [split])
        lines += table.lines
        places += map(table.line, range(len(table.rows)))
    return Joined(root / "*.csv", [*header, _SPLIT], rows, lines, places)
