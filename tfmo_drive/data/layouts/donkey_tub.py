"""Reads donkeycar's tubs (github.com/autorope/donkeycar, donkeycar/parts/datastore_v2.py and datastore.py) as tables.

Version 2: manifest.json lists the catalogs and the records that were deleted; each line of a catalog is a record in
JSON; images lie in images/. Version 1: record_17.json beside 17_cam-image_array_.jpg, and perhaps exclude.json, the
numbers of what was deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfmo_drive.base import faults
from tfmo_drive.base.given_file import json_of, reading, text_of
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.csv_table import Table
from tfmo_drive.data.found_files import entries

_MANIFEST, _EXCLUDED = "manifest.json", "exclude.json"
_RECORD = re.compile(r"record_(\d{1,18})\.json")


def is_tub(path: Path) -> bool:
    """Says whether `path` is the folder of a tub of either version."""
    return path.is_dir() and (_is_second(path) or any(_RECORD.fullmatch(entry.name) for entry in entries(path)))


def _is_second(path: Path) -> bool:
    return (path / _MANIFEST).is_file() and any(path.glob("*.catalog"))


def read_tub(path: Path) -> Table:
    """Returns the records that were not deleted, in their order, with their fields as columns.

    What was deleted is counted in a note. Lines are the records' places among all; errors begin with the manifest, of
    version 1 with the folder. Raises BadInput for a damaged tub.
    """
    return _second(path) if _is_second(path) else _first(path)


def _first(path: Path) -> Table:
    """Reads version 1; a record's number stands in its name."""
    names = {int(match[1]): entry.name for entry in entries(path) if (match := _RECORD.fullmatch(entry.name))}
    gone = json_of(path / _EXCLUDED, "the numbers of deleted records") if (path / _EXCLUDED).is_file() else []
    if not _are(gone, int):
        raise BadInput(f"{path / _EXCLUDED} must be a list of whole numbers, those of deleted records.")
    found = []
    for number in sorted(names):
        record = json_of(path / names[number], "a record of a donkeycar tub")
        if not isinstance(record, dict):
            raise BadInput(f"{path / names[number]} is no record of a donkeycar tub: it must be a JSON object.")
        found.append(record | {"_index": number})
    return _table(path / "meta.json", found, gone)


def _second(path: Path) -> Table:
    manifest, expected = path / _MANIFEST, "the manifest of a donkeycar tub of version 2"
    lines = [line for line in text_of(manifest, expected).split("\n") if line.strip()]
    with reading(manifest, expected):
        facts = json.loads(lines[-1])
        names, deleted = facts["paths"], facts["deleted_indexes"]
        if not _are(names, str) or not _are(deleted, int):
            raise ValueError('its last line needs the lists "paths", of names, and "deleted_indexes", of whole numbers')
    found: list[dict[str, Any]] = []
    for name in names:
        if Path(name).name != name:
            raise BadInput(f'{manifest} names the catalog "{name[:60]}", which lies in another folder. Move it here.')
        text = text_of(path / name, "a catalog of a donkeycar tub")
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                with reading(path / name, f"a catalog, one JSON object a line (see line {number})"):
                    record = json.loads(line)
                    if not _are([record], dict) or not _are([record.get("_index")], int):
                        raise ValueError('a record is an object with a whole number as its "_index"')
                    found.append(record)
    return _table(manifest, found, deleted)


def _table(path: Path, records: Sequence[dict[str, Any]], deleted: Sequence[int]) -> Table:
    gone = set(deleted)
    kept = [row for row, record in enumerate(records) if record["_index"] not in gone]
    if not kept:
        raise BadInput(f"{path}: no record is left of {len(records):,}. Record some more, or restore deleted ones.")
    if count := len(records) - len(kept):
        faults.note(path, f"{count:,} of {len(records):,} records are deleted there, and left out.")
    header = list(records[kept[0]])
    rows = [[_cell(records[row].get(name)) for name in header] for row in kept]
    return Table(path, header, rows, [row + 1 for row in kept])


def _are(values: Any, kind: type) -> bool:
    """Says whether a value of JSON is a list of values of one type; true and false are no numbers."""
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _cell(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
