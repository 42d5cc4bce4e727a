"""Reads the tables of a folder that has one for every split as one table, with a column of the splits.

train.csv, val.csv, test.csv and images/    train/_classes.csv and train/*.jpg, as Roboflow writes them
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfmo_drive.contracts import BadInput
from tfmo_drive.data import found_files
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
    inside = {folder / _ROBOFLOW: split_of_folder(folder.name) for folder in folders_in(root)}
    beside = {table: split_of_folder(table.stem) for table in found_files.tables(root)}
    for named in ({table: split for table, split in inside.items() if table.is_file()}, beside):
        found = {table: _header(table) for table, split in named.items() if split}
        wanted = next((header for table, header in found.items() if named[table] == "train"), None)
        alike = {table: named[table] for table, header in found.items() if header == wanted}
        if len(alike) > 1:
            return alike
    return {}


def _header(path: Path) -> list[str]:
    first = begins(path).partition("\n")[0]
    return cells(path, 1, first, separator_of(first))


def joined(root: Path) -> Table:
    """Returns the rows of `split_tables`, with their split in a last column.

    Raises BadInput where a split has two tables, or there are none.
    """
    rows, lines, places, header = [], [], [], []
    tables = split_tables(root)
    if not tables:
        raise BadInput(f"{root} is a folder without a table for every split. Name the CSV file: {root / 'NAME.csv'}.")
    if len(set(tables.values())) < len(tables):
        raise BadInput(f"{root} holds a split twice: {', '.join(map(str, tables))}. Keep one of them.")
    for path, split in tables.items():
        table = read_table(path)
        header = table.header
        beside = "" if path.parent == root else f"{path.parent.name}/"
        files = [place for place, name in enumerate(header) if plain(name) in map(plain, COLUMNS["file"])]
        for row in table.rows:
            rows.append([beside + cell if place in files else cell for place, cell in enumerate(row)] + [split])
        lines += table.lines
        places += map(table.line, range(len(table.rows)))
    return Joined(root / "*.csv", [*header, _SPLIT], rows, lines, places)
