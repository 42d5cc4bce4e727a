"""Damaged CSV tables of rows: every line is a row with the numbers that stand there, or the first bad one is named."""

import csv

import numpy as np
from damage import damaged_bytes, damaged_text, pick

from tfmo_drive.tasks.sensor_rows.row_tables import Columns, Table

LARGEST = float(np.finfo(np.float32).max)
IGNORED = Columns(ignore=("note",))


def _table(random: np.random.Generator, delimiter: str) -> str:
    """30 rows with words, quoted cells and empty lines between."""
    lines = [delimiter.join(("speed", "yaw", "note", "split", "drive", "label"))]
    for row in range(30):
        note = pick(random, ("", "dry", '"wet, dark"', '"said ""no"""', "é"))
        if delimiter in note and not note.startswith('"'):
            note = f'"{note}"'
        cells = (f"{random.normal():.4g}", f"{random.normal():.3e}", note, pick(random, ("train", "val", "Test")))
        lines.append(delimiter.join((*cells, f"d{row // 10}", pick(random, ("0", "1", "stop")))))
        lines += [""] * (random.random() < 0.05)
    return "\n".join(lines) + pick(random, ("\n", "", "\r\n"))


def _expected(text: str) -> list[dict[str, str]]:
    """Line by line, with Python's own reader."""
    first, *lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    delimiter = max(",;\t", key=first.count)
    names = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]
    rows = [next(csv.reader([line], delimiter=delimiter)) for line in lines if line.strip()]
    return [dict(zip(names, map(str.strip, row), strict=True)) for row in rows]


def _number(cell: str) -> float:
    """A comma that does not part cells is decimal."""
    return float(cell.replace(",", "."))


def test_damaged_tables_are_read_right_or_refused(fuzz):
    def attempt(case):
        path, classes = case.folder / "rows.csv", case.random.random() < 0.5
        text = _table(case.random, pick(case.random, ",;\t"))
        if not classes:
            text = text.replace("stop", "2.5")
        if case.random.random() < 0.7:
            data = damaged_text(case.random, text).encode("utf-8", "surrogatepass")
        else:
            data = damaged_bytes(case.random, text.encode(), most=1)
        path.write_bytes(data)

        def read():
            table = Table(path, IGNORED, classes)
            return table, list(table.chunks())

        read = case.read(path, read)
        if read is None:
            return
        table, chunks = read
        rows = _expected(data.decode())
        if not chunks:  # no pack is made of a table without rows
            assert not rows
            return
        assert sum(len(chunk.inputs) for chunk in chunks) == len(rows)
        found = np.concatenate([np.column_stack([chunk.inputs, chunk.targets]) for chunk in chunks])
        for row, numbers in zip(rows, found, strict=True):
            target = row[table._roles["target"]]
            assert [_number(row[name]) for name in table.columns] == numbers[:-1].tolist()
            assert (table.classes[int(numbers[-1])] == target) if classes else (_number(target) == numbers[-1])
        assert (np.abs(found) <= LARGEST).all()

    fuzz(attempt, cases=400)
