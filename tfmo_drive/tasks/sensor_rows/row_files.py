"""Reads one file of CSV, JSON lines, Parquet or Feather as blocks of numbers, every cell checked.

CSV is parsed by `np.loadtxt`'s C reader, some megabytes at a time, JSON by Python's own, line by line; Parquet and
Feather by pyarrow, batch by batch
(https://arrow.apache.org/docs/python/generated/pyarrow.parquet.ParquetFile.html).
"""

from __future__ import annotations

import abc
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base.given_file import encoding_of, once, reading
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import is_missing
from tfmo_drive.data.csv_table import cells, number_in, separator_of

_JSON, _ARROW = (".json", ".jsonl", ".ndjson"), (".parquet", ".feather", ".arrow")
SUFFIXES = (".csv", ".tsv", *_JSON, *_ARROW)
_CSV = "a CSV file in UTF-8"
_BEGIN = b"ARROW1"
"""The first bytes of a Feather file of version 2."""
_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 1 << 14
_LARGEST = float(np.finfo(np.float32).max)
INDEX = ("Unnamed: 0", "__index_level_0__")
"""What pandas calls the column of its index, which is no reading."""
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)
_BOOLEANS = {"true": 1.0, "false": 0.0}
_TRIED = 100
"""The number of lines in which other forms of numbers are looked for."""
_ADVICE = "Mend the cell, drop its row, or leave the column out with --set=task.columns.ignore"


class Codes(dict[str, int]):
    """Gives every word a number, in the order in which they are met."""

    def __missing__(self, word: str) -> int:
        self[word] = len(self)
        return self[word]

    def code(self, cell: str) -> float:
        """Returns the number of a cell's word, NaN for a cell without a value (empty, nan, ...), which is no word."""
        return np.nan if is_missing(cell) else self[cell.strip()]


class RowFile(abc.ABC):
    """Reads a file with a header."""

    path: Path
    header: tuple[str, ...]

    @abc.abstractmethod
    def blocks(self, wanted: Sequence[str], words: Mapping[str, Codes]) -> Iterator[np.ndarray]:
        """Yields columns as numbers within float32, float64 [m, wanted], in order.

        Args:
            wanted: The names of the columns.
            words: The columns that hold words, whose codes are given.

        Raises:
            BadInput: A cell is empty or no finite number; the message names file, line and column of the first.
        """


def opened(path: Path) -> RowFile:
    """Returns the reader for the file's suffix (one of SUFFIXES).

    Raises BadInput where the file cannot be read, or columns share a name.
    """
    suffix = path.suffix.lower()
    if suffix in _JSON:
        return JsonRows(path)
    return ParquetRows(path) if suffix == ".parquet" else FeatherRows(path) if suffix in _ARROW else CsvRows(path)


class CsvRows(RowFile):
    """Reads cells split by the commonest of comma, semicolon and tab in the first line, which names the columns.

    The text is UTF-8, or as Windows saves it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encoding = encoding_of(path, _CSV)
        with self._reading(), open(path, encoding=self._encoding) as file:
            first = file.readline()
            self._delimiter = separator_of(first)
            self.header = tuple(cells(path, 1, first, self._delimiter))
        if self.header[:1] == ("",) and len(self.header) > 1:
            self.header = (INDEX[0], *self.header[1:])
        if not _names_columns(self.header) or all(map(_is_number, self.header)):
            raise BadInput(f"{path}: the first line must name every column, each once, got {first.strip()[:60]!r}.")

    def blocks(self, wanted: Sequence[str], words: Mapping[str, Codes]) -> Iterator[np.ndarray]:
        places = {name: self.header.index(name) for name in wanted}
        numbers = [place for name, place in places.items() if name not in words]
        options = {
            "delimiter": self._delimiter, "comments": None, "quotechar": '"', "ndmin": 2,
            "usecols": list(places.values()),
            "converters": {places[name]: codes.code for name, codes in words.items()},
        }  # fmt: skip
        with self._reading(), open(self.path, encoding=self._encoding) as file:
            file.readline()
            line = 2
            while lines := file.readlines(_BLOCK_BYTES):
                self._refuse_stray_quotes(lines, line)
                # A line too long is no error to loadtxt where some columns are left out: a decimal comma would pass.
                if any(text.count(self._delimiter) != len(self.header) - 1 for text in lines):
                    self._explain(lines, line, places, words)
                if any(map(str.strip, lines)):
                    options["converters"] |= self._forms(lines, line, numbers)
                    try:
                        block = np.loadtxt(lines, **options)
                    except ValueError as error:
                        self._explain(lines, line, places, words)
                        raise BadInput(f"{self.path}, near line {line}: {error}. Expected numbers.") from error
                    if not (np.abs(block) <= _LARGEST).all():
                        self._explain(lines, line, places, words)
                    yield block
                line += len(lines)

    def _reading(self):
        return reading(self.path, _CSV)

    def _refuse_stray_quotes(self, lines: list[str], first: int) -> None:
        """Raises BadInput for a quote without its other half, which would swallow every row up to the next one."""
        for line, text in enumerate(lines, first):
            if '"' in text:
                cells(self.path, line, text, self._delimiter)

    def _forms(self, lines: list[str], first: int, places: Sequence[int]) -> dict[int, Callable[[str], float]]:
        """Returns how cells are read in columns of decimal commas, or of true and false, by the columns' places.

        A comma is decimal only where it does not part cells. Columns of plain numbers are left to the C reader.
        """
        rows = [cells(self.path, first + row, text, self._delimiter) for row, text in enumerate(lines[:_TRIED])]
        rows = [row for row in rows if len(row) == len(self.header)]
        if first == 2 and any(_DECIMAL_COMMA.fullmatch(row[place]) for row in rows for place in places):
            faults.note(self.path, "its numbers have decimal commas: 1,5 is read as one and a half.")
        odd = [place for place in places if any(_is_of_other_form(row[place]) for row in rows)]
        return dict.fromkeys(odd, _number_of)

    def _explain(self, lines: list[str], first: int, places: Mapping[str, int], words: Mapping[str, Codes]) -> None:
        """Raises BadInput for the first line or cell that cannot be read, where there is one.

        It is slow, so called only then.
        """
        for line, text in enumerate(lines, first):
            found = cells(self.path, line, text, self._delimiter) if text.strip() else []
            where = f"{self.path}, line {line}"
            if found and len(found) != len(self.header):
                expected = f"{len(self.header)} cells expected, as in the header"
                raise BadInput(f"{where}: {expected}, got {len(found)}. Decimal commas and gaps shift cells.")
            for name, place in places.items() if found else ():
                if name in words and is_missing(found[place]):
                    said = f'"{found[place]}"' if found[place] else "empty"
                    raise BadInput(f'{where}, column "{name}": the cell is {said}. Fill it, or drop its row.')
                if name not in words and not _is_number(found[place]) and not _is_of_other_form(found[place]):
                    odd = [other for other in places if other not in words and not _is_number(found[places[other]])]
                    raise BadInput(
                        f'{where}, column "{name}": {found[place]!r} is no finite number. {_ADVICE}={",".join(odd)}.'
                    )


class JsonRows(RowFile):
    """Reads JSON lines: an object a line, all with the names of the first; "line" in errors is the file's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading(), open(path, encoding="utf-8-sig") as file:
            first = next(filter(str.strip, file), "")
            self.header = tuple(self._row(first))
        if not _names_columns(self.header):
            raise BadInput(f"{path}: the first line must name every column, got {first.strip()[:60]!r}.")

    def _reading(self):
        return reading(self.path, "JSON lines, an object a line")

    @staticmethod
    def _row(text: str) -> dict[str, Any]:
        row = json.loads(text, object_pairs_hook=once) if text else {}
        if not isinstance(row, dict):
            raise ValueError('a line is no object (pandas writes such with orient="records", lines=True)')
        return row

    def blocks(self, wanted: Sequence[str], words: Mapping[str, Codes]) -> Iterator[np.ndarray]:
        columns = [(name, words.get(name)) for name in wanted]
        rows: list[list[float]] = []
        with self._reading(), open(self.path, encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                if text.strip():
                    rows.append(self._numbers(line, text, columns))
                if len(rows) == _BATCH_ROWS:
                    yield np.array(rows)
                    rows = []
            if rows:
                yield np.array(rows)

    def _numbers(self, line: int, text: str, columns: Sequence[tuple[str, Codes | None]]) -> list[float]:
        """Returns a line's numbers and codes of words; raises BadInput that names the first value that is neither."""
        try:
            row = self._row(text)
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from error
        found = []
        for name, codes in columns:
            value = row.get(name)
            if codes is None:
                good = isinstance(value, int | float) and abs(value) <= _LARGEST
                if not good:
                    shown = repr(value)[:60]
                    raise BadInput(
                        f'{self.path}, line {line}, column "{name}": {shown} is no finite number. {_ADVICE}={name}.'
                    )
                found.append(float(value))
                continue
            if isinstance(value, list | dict) or value is None or np.isnan(code := codes.code(str(value))):
                shown = repr(value)[:60]
                where = f'{self.path}, line {line}, column "{name}"'
                raise BadInput(f"{where}: {shown} is no word. Fill it, or drop its row.")
            found.append(code)
        return found


class ArrowRows(RowFile):
    """Reads what pyarrow does, batch by batch; "line" in errors is the row, counted from 1."""

    expected: str
    """What the file should be."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
        except ImportError:
            raise BadInput(f"Reading {path} needs pyarrow. pip install pyarrow, or give a CSV file.") from None
        self.path, self._arrow = path, pyarrow
        self.header = tuple(self._names())
        if not _names_columns(self.header):
            raise BadInput(f"{path} must name every column, each once, got {str(self.header)[:60]}.")

    @abc.abstractmethod
    def _names(self) -> Sequence[str]:
        """Opens the file and returns the names of its columns."""

    @abc.abstractmethod
    def _batches(self, wanted: Sequence[str]) -> Iterator[Any]:
        """Yields record batches of these columns."""

    def blocks(self, wanted: Sequence[str], words: Mapping[str, Codes]) -> Iterator[np.ndarray]:
        with self._reading():
            yield from self._blocks(wanted, words)

    def _reading(self):
        return reading(self.path, self.expected)

    def _blocks(self, wanted: Sequence[str], words: Mapping[str, Codes]) -> Iterator[np.ndarray]:
        first = 1
        for batch in self._batches(wanted):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            block = np.empty((batch.num_rows, len(wanted)))
            for place, name in enumerate(wanted):
                block[:, place] = (
                    self._coded(columns[name], name, words[name])
                    if name in words
                    else self._numbers(columns[name], name)
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
        """Returns a column as float64 [m]; NaN where there is no value."""
        try:
            return column.cast(self._arrow.float64(), safe=False).to_numpy(zero_copy_only=False)
        except self._arrow.ArrowException as error:
            raise BadInput(
                f'{self.path}, column "{name}": its values are {column.type}, not numbers. Leave it out with '
                f"--set=task.columns.ignore={name}."
            ) from error

    def _coded(self, column, name: str, codes: Codes) -> np.ndarray:
        """Returns the codes of a column's words, float64 [m]; NaN where there is no word."""
        kind, types = column.type, self._arrow.types
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if not any(is_kind(kind) for is_kind in (types.is_string, types.is_large_string, types.is_string_view,
                                                 types.is_integer, types.is_boolean, types.is_floating,
                                                 types.is_null)):  # fmt: skip
            raise BadInput(f'{self.path}, column "{name}": its values are {kind}, not words. Write them as text.')
        coded = column.cast(self._arrow.string()).dictionary_encode()
        table = np.array([*(codes.code(word) for word in coded.dictionary.to_pylist()), np.nan])
        return table[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


class ParquetRows(ArrowRows):
    """Reads a Parquet file."""

    expected = "a whole Parquet file"

    def _names(self) -> Sequence[str]:
        import pyarrow.parquet

        # By itself pyarrow 26 reads a row group whole before its first batch: 849 MB resident for a million rows of
        # 100 columns, against 430 MB so, by pages.
        with self._reading():
            self._file = pyarrow.parquet.ParquetFile(
                self.path, pre_buffer=False, buffer_size=1 << 16, page_checksum_verification=True
            )
            return self._file.schema_arrow.names

    def _batches(self, wanted: Sequence[str]) -> Iterator[Any]:
        return self._file.iter_batches(batch_size=_BATCH_ROWS, columns=list(wanted))


class FeatherRows(ArrowRows):
    """Reads a Feather file of version 2, which is Arrow's own (https://arrow.apache.org/docs/python/feather.html)."""

    expected = "a whole Feather file of version 2"

    def _names(self) -> Sequence[str]:
        import pyarrow.ipc

        with self._reading(), self._arrow.OSFile(str(self.path)) as file:
            if file.read(len(_BEGIN)) != _BEGIN:  # open_file looks at the end alone
                raise ValueError(f"it does not begin with {_BEGIN.decode()}")
            return pyarrow.ipc.open_file(file).schema.names

    def _batches(self, wanted: Sequence[str]) -> Iterator[Any]:
        with self._arrow.OSFile(str(self.path)) as source:
            file = self._arrow.ipc.open_file(source)
            for number in range(file.num_record_batches):
                batch = file.get_batch(number).select(list(wanted))
                batch.validate(full=True)  # a damaged file's words may end beyond its bytes
                yield batch


def _names_columns(header: Sequence[str]) -> bool:
    return bool(header) and len(set(header)) == len(header) and "" not in header


def _is_number(cell: str) -> bool:
    value = number_in(cell)
    return value is not None and abs(value) <= _LARGEST


def _is_of_other_form(cell: str) -> bool:
    return cell.strip().lower() in _BOOLEANS or bool(_DECIMAL_COMMA.fullmatch(cell.strip()))


def _number_of(cell: str) -> float:
    """Returns the number of a cell that has a decimal comma, or is true or false; raises ValueError for words."""
    plain = cell.strip().strip('"').lower()
    return _BOOLEANS[plain] if plain in _BOOLEANS else float(plain.replace(",", "."))
