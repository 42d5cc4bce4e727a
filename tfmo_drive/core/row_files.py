"""One CSV or Parquet file as blocks of numbers, every cell checked.

CSV is parsed by `np.loadtxt`'s C reader, some megabytes at a time; Parquet by pyarrow, batch by batch
(https://arrow.apache.org/docs/python/generated/pyarrow.parquet.ParquetFile.html).
"""

from __future__ import annotations

import abc
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.contracts import BadInput

SUFFIXES = (".csv", ".tsv", ".parquet")
_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 1 << 14
_LARGEST = float(np.finfo(np.float32).max)
_ADVICE = "Mend the cell, drop its row, or leave the column out with --set=task.columns.ignore"


class Codes(dict[str, int]):
    """A number for every word, in the order in which they are met."""

    def __missing__(self, word: str) -> int:
        self[word] = len(self)
        return self[word]

    def code(self, cell: str) -> float:
        """NaN for an empty cell, which no word is."""
        word = cell.strip()
        return self[word] if word else np.nan


class RowFile(abc.ABC):
    """A file with a header."""

    path: Path
    header: tuple[str, ...]

    @abc.abstractmethod
    def blocks(self, wanted: Sequence[str], words: Mapping[str, Codes]) -> Iterator[np.ndarray]:
        """float64 [m, wanted], in order: these columns as numbers within float32, those in `words` by their codes.

        Raises BadInput that names file, line and column of the first cell that is empty, or no finite number.
        """


def opened(path: Path) -> RowFile:
    """The reader for the file's suffix (one of SUFFIXES). BadInput where it cannot be read."""
    return ParquetRows(path) if path.suffix.lower() == ".parquet" else CsvRows(path)


class CsvRows(RowFile):
    """Cells split by the commonest of comma, semicolon and tab in the first line, which names the columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._read() as file:
            first = next(self._chunks(file, 1), [""])[0]
        self._delimiter = max(",;\t", key=first.count)
        self.header = tuple(cell.strip() for cell in next(csv.reader([first], delimiter=self._delimiter), ()))
        if len(set(self.header)) < len(self.header) or "" in self.header or all(map(_is_number, self.header)):
            raise BadInput(f"{path}: the first line must name every column, each once, got {first.strip()[:60]!r}.")

    def blocks(self, wanted: Sequence[str], words: Mapping[str, Codes]) -> Iterator[np.ndarray]:
        places = {name: self.header.index(name) for name in wanted}
        options = {
            "delimiter": self._delimiter, "comments": None, "quotechar": '"', "ndmin": 2,
            "usecols": list(places.values()),
            "converters": {places[name]: codes.code for name, codes in words.items()},
        }  # fmt: skip
        with self._read() as file:
            file.readline()
            line = 2
            for lines in self._chunks(file, _BLOCK_BYTES):
                # A line too long is no error to loadtxt where some columns are left out: a decimal comma would pass.
                if any(text.count(self._delimiter) != len(self.header) - 1 for text in lines):
                    self._explain(lines, line, places, words)
                if any(map(str.strip, lines)):
                    try:
                        block = np.loadtxt(lines, **options)
                    except ValueError as error:
                        self._explain(lines, line, places, words)
                        raise BadInput(f"{self.path}, near line {line}: {error}. Expected numbers.") from error
                    if not (np.abs(block) <= _LARGEST).all():
                        self._explain(lines, line, places, words)
                    yield block
                line += len(lines)

    def _read(self):
        try:
            return open(self.path, encoding="utf-8-sig")
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read: {error.strerror}. Expected a CSV file.") from error

    def _chunks(self, file, size: int) -> Iterator[list[str]]:
        """Whole lines of about `size` characters together."""
        try:
            while lines := file.readlines(size):
                yield lines
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{self.path} cannot be read: {error}. Expected a CSV file in UTF-8.") from error

    def _explain(self, lines: list[str], first: int, places: Mapping[str, int], words: Mapping[str, Codes]) -> None:
        """BadInput for the first line or cell that cannot be read, where there is one; slow, so asked only then."""
        reader = csv.reader(lines, delimiter=self._delimiter)
        for cells in reader:
            where = f"{self.path}, line {first - 1 + reader.line_num}"
            if cells and len(cells) != len(self.header):
                expected = f"{len(self.header)} cells expected, as in the header"
                raise BadInput(f"{where}: {expected}, got {len(cells)}. Decimal commas and gaps shift cells.")
            for name, place in places.items() if cells else ():
                cell = cells[place].strip()
                if name in words and not cell:
                    raise BadInput(f'{where}, column "{name}": the cell is empty. Fill it, or drop its row.')
                if name not in words and not _is_number(cell):
                    raise BadInput(f'{where}, column "{name}": {cell!r} is no finite number. {_ADVICE}={name}.')


class ParquetRows(RowFile):
    """A Parquet file; "line" in errors is the row, counted from 1."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise BadInput(f"Reading {path} needs pyarrow. pip install pyarrow, or give a CSV file.") from None
        self.path, self._arrow = path, pyarrow
        try:
            # By itself pyarrow 26 reads a row group whole before its first batch: 849 MB resident for a million rows of
            # 100 columns, against 430 MB so, by pages.
            self._file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)
        except (OSError, pyarrow.ArrowException) as error:
            raise BadInput(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error
        self.header = tuple(self._file.schema_arrow.names)

    def blocks(self, wanted: Sequence[str], words: Mapping[str, Codes]) -> Iterator[np.ndarray]:
        first = 1
        for batch in self._file.iter_batches(batch_size=_BATCH_ROWS, columns=list(wanted)):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            block = np.empty((batch.num_rows, len(wanted)))
            for place, name in enumerate(wanted):
                block[:, place] = (
                    self._coded(columns[name], words[name]) if name in words else self._numbers(columns[name], name)
                )
            bad = np.argwhere(~(np.abs(block) <= _LARGEST))
            if len(bad):
                row, place = bad[0]
                name, value = wanted[place], columns[wanted[place]][int(row)].as_py()
                raise BadInput(
                    f'{self.path}, line {first + row}, column "{name}": {value!r} is '
                    + (f"no finite number. {_ADVICE}={name}." if name not in words else "empty. Fill it, or drop it.")
                )
            first += len(block)
            yield block

    def _numbers(self, column, name: str) -> np.ndarray:
        """float64 [m]; NaN where there is no value."""
        try:
            return column.cast(self._arrow.float64(), safe=False).to_numpy(zero_copy_only=False)
        except self._arrow.ArrowException as error:
            raise BadInput(
                f'{self.path}, column "{name}": its values are {column.type}, not numbers. Leave it out with '
                f"--set=task.columns.ignore={name}."
            ) from error

    def _coded(self, column, codes: Codes) -> np.ndarray:
        """float64 [m]; NaN where there is no word."""
        coded = column.cast(self._arrow.string()).dictionary_encode()
        table = np.array([*(codes.code(word) for word in coded.dictionary.to_pylist()), np.nan])
        return table[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) <= _LARGEST
    except ValueError:
        return False
