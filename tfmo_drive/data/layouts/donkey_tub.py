"""Reads a donkeycar tub of version 2 (github.com/autorope/donkeycar, donkeycar/parts/datastore_v2.py) as a table.

manifest.json lists the catalogs and the records that were deleted; each line of a catalog is a record in JSON; images
lie in images/.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfmo_drive.base.given_file import reading, text_of
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.csv_table import Table

_MANIFEST = "manifest.json"


def is_tub(path: Path) -> bool:
    """Says whether `path` is the folder of a tub."""
    return (path / _MANIFEST).is_file() and any(path.glob("*.catalog"))


def read_tub(path: Path) -> Table:
    """Returns the records that were not deleted, in their order, with their fields as columns.

    Lines are the records' places among all; errors begin with the manifest. Raises BadInput for a damaged tub.
    """
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
    gone = set(deleted)
    kept = [row for row, record in enumerate(found) if record["_index"] not in gone]
    if not kept:
        raise BadInput(f"{manifest}: no record is left of {len(found):,}. Record some more, or restore deleted ones.")
    header = list(found[kept[0]])
    rows = [[_cell(found[row].get(name)) for name in header] for row in kept]
    return Table(manifest, header, rows, [row + 1 for row in kept])


def _are(values: Any, kind: type) -> bool:
    """Says whether a value of JSON is a list of values of one type; true and false are no numbers."""
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _cell(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
