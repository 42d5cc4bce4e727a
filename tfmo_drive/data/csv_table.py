"""Reads CSV for every reader of the package: one line is one row (RFC 4180 without line breaks inside quotes).

With them a stray quote swallows every row up to the next one, in silence. A quote is either around a whole cell, where
quotes inside are doubled, or an error that names its line.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path

from tfmo_drive.base import faults, given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import is_missing

SEPARATORS = ",;\t"
LONGEST = 131_072
"""The largest number of characters in a cell, as in Python's csv module."""
_STRAY = "hold a quote that does not stand around a whole cell"
_QUOTES = 'Remove it, or put the cell in quotes and double those inside: "12"" sign".'
_QUOTED = re.compile('"[^"]*"')
_CELLS = {
    separator: re.compile(rf' *+(?:"((?:[^"]|"")*+)" *+|([^"{separator}]*+))({separator}|\Z)')
    for separator in SEPARATORS
}
"""One cell: what is inside its quotes, or all of it where it has none; and the separator behind it, if there is one."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Holds a CSV file as read: cells without spaces around them, rows as long as the header, no empty lines."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    """The line of each row in the file, from 1."""

    def place(self, row: int) -> str:
        """Returns where a row is in the file: `line 7`."""
        return f"line {self.lines[row]}"

    def line(self, row: int) -> str:
        """Returns where a row is, to begin an error with: `signs.csv, line 7`."""
        return f"{self.path}, {self.place(row)}"

    def at(self, rows: Sequence[int]) -> Table:
        """Returns a table of these rows alone."""
        return Table(self.path, self.header, [self.rows[row] for row in rows], [self.lines[row] for row in rows])

    def column(self, index: int) -> list[str]:
        """Returns the cells of one column, row after row."""
        return [row[index] for row in self.rows]

    def filled(self, index: int, allowed: Sequence[str] = ()) -> list[str]:
        """Returns the cells of a column that needs a value in every row.

        Raises BadInput that names the lines of empty cells (also nan, n/a, ...), except for words that are `allowed`.
        """
        cells = self.column(index)
        gaps = [row for row, cell in enumerate(cells) if is_missing(cell) and cell not in allowed]
        if gaps:
            shown = [self.place(row) + (f' ("{cells[row]}")' if cells[row] else "") for row in gaps]
            what = f'cells of the column "{self.header[index]}" are empty'
            raise BadInput(f"{self.path}: {faults.counted(shown, len(cells), what)} Fill them, or drop those rows.")
        return cells


def read_table(path: Path, unnamed: Sequence[str] = ()) -> Table:
    """Returns the header and the rows of a CSV file in UTF-8, or as Windows saves it, with commas, semicolons or tabs.

    Args:
        path: The file.
        unnamed: The names of the columns of a file without a header: they are used where the first line has as many
            cells and one of them is a number.

    Raises:
        BadInput: The file is no such CSV; the message names file and line.
    """
    lines = given_file.text_of(path, "a CSV file in UTF-8", windows=True).split("\n")
    numbers = [number for number, line in enumerate(lines, start=1) if line.strip(f"{SEPARATORS} ")]
    separator = separator_of(lines[numbers[0] - 1]) if numbers else ","
    if numbers and (said := re.fullmatch(rf"sep=([{SEPARATORS}])", lines[numbers[0] - 1].strip(" "))):
        separator, numbers = said[1], numbers[1:]  # Excel's own first line
    stray = [f"line {number}" for number in numbers if _stray(lines[number - 1], separator)]
    if stray:
        raise BadInput(f"{path}: {faults.counted(stray, len(numbers), f'lines {_STRAY}')} {_QUOTES}")
    rows = []
    for number in numbers:
        row = cells(path, number, lines[number - 1], separator)
        if rows and len(row) != len(rows[0]):
            raise BadInput(
                f"{path}, line {number}: {len(rows[0])} columns expected, as in the first line, got {len(row)}."
            )
        rows.append(row)
    if rows and len(rows[0]) == len(unnamed) and any(number_in(cell) is not None for cell in rows[0]):
        rows, numbers = [list(unnamed), *rows], [0, *numbers]
    if len(rows) < 2:
        raise BadInput(f"No rows in {path}. Expected a header line and one line per image.")
    return Table(path, rows[0], rows[1:], numbers[1:])


def separator_of(line: str) -> str:
    """Returns the commonest of comma, semicolon and tab outside quotes."""
    return max(SEPARATORS, key=_QUOTED.sub("", line).count)


def cells(path: Path, number: int, line: str, separator: str) -> list[str]:
    """Returns the cells of a line of a CSV file (its break may be left on), without the spaces around them.

    Raises BadInput that names the line for a quote that is not around a whole cell, a NUL and a cell beyond LONGEST.
    """
    if "\0" in line:
        raise BadInput(f"{path}, line {number} holds a NUL character. Write the file anew, as CSV in UTF-8.")
    found = _quoted(line, separator) if '"' in line else line.split(separator)
    if found is None:
        raise _has_stray(path, number)
    if len(line) > LONGEST and (longest := max(map(len, found))) > LONGEST:
        raise BadInput(f"{path}, line {number}: a cell has {longest:,} characters, of {LONGEST:,} at most.")
    return [cell.strip() for cell in found]


def spaced_cells(path: Path, number: int, line: str) -> list[str]:
    """Returns the cells of a line with spaces between them; raises BadInput for a quote not around a whole cell."""
    found = re.findall(r'"[^"]*"(?!\S)|\S+', line)
    bare = [cell[1:-1] if cell[0] == cell[-1] == '"' and len(cell) > 1 else cell for cell in found]
    if any('"' in cell for cell in bare):
        raise _has_stray(path, number)
    return bare


def _has_stray(path: Path, number: int) -> BadInput:
    return BadInput(f"{path}: line {number} {_STRAY.replace('hold', 'holds', 1)}. {_QUOTES}")


def _stray(line: str, separator: str) -> bool:
    return '"' in line and _quoted(line, separator) is None


def _quoted(line: str, separator: str) -> list[str] | None:
    """Returns the cells of a line with quotes; None where a quote does not stand around a whole cell."""
    line, found, place, more = line.strip(" \r\n"), [], 0, True
    while more:
        cell = _CELLS[separator].match(line, place)
        if not cell:
            return None
        inside, bare, more = cell.groups()
        found.append(bare if inside is None else inside.replace('""', '"'))
        place = cell.end()
    return found


def number_in(cell: str) -> float | None:
    """Returns the finite number that a cell holds, or None where it holds none; Python's own 1_000 is none."""
    try:
        value = float(cell) if "_" not in cell else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
