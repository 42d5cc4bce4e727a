"""Checks that a report.json can be shown: names are texts, numbers are numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfmo_drive.base.given_file import is_number
from tfmo_drive.contracts import BadInput

SCHEMA = 2
AGAIN = "Run the experiment again to write it anew."
_TEXTS = ("name", "stage", "target")
_SIZES = re.compile(
    r"(\w+_)?(bytes|ms)(_\d)?|examples|threads|macs|\w*parameters|seconds|speedup\w*|latency\w*|size_ratio"
)
_NUMBERS = re.compile(r"score\w*|error(_delta)?(_low|_high)?|agreement|part_\w+|sqnr_db")


def checked(report: Any, path: Path) -> dict:
    """Returns `report` as it is; raises BadInput that names the first place where it is not of this schema.

    Rows must be there, and what else is there must be of its type.
    """
    schema = report.get("schema") if isinstance(report, dict) else None
    if schema != SCHEMA or isinstance(schema, bool):
        raise BadInput(f"{path} must be of schema {SCHEMA}, got {str(schema)[:40]}. {AGAIN}")
    rows = report.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row.get("name") for row in rows):
        raise BadInput(f"{path} must hold rows with names, the float baseline first. {AGAIN}")
    _refuse(path, report, "experiment", "the name of a file", lambda value: _name(value) and "/" not in value)
    _refuse(path, report, "seed", "a whole number", lambda value: type(value) is int and value >= 0)
    _refuse(path, report, "environment", "an object", lambda value: isinstance(value, dict))
    for place, row in enumerate(rows):
        _check_row(path, row, f"rows[{place}].")
    names = [row["name"] for row in rows]
    if len(set(names)) < len(names):
        raise BadInput(f"{path}: its rows must differ in name. {AGAIN}")
    return report


def _check_row(path: Path, row: Mapping[str, Any], where: str) -> None:
    for key in _TEXTS:
        _refuse(path, row, key, "a name", _name, where)
    _refuse(path, row, "own_numbers", "names of numbers", _names, where)
    _refuse(path, row, "reference", "true or false", lambda value: isinstance(value, bool), where)
    for key, value in row.items():
        if value is not None and _SIZES.fullmatch(key):
            _refuse(path, row, key, "a number of at least 0", lambda one: is_number(one) and one >= 0, where)
        elif value is not None and _NUMBERS.fullmatch(key):
            _refuse(path, row, key, "a number", is_number, where)


def _name(value: Any) -> bool:
    """Says whether a path of this name stays in its folder."""
    parts = value.split("/") if isinstance(value, str) and value.isprintable() else [""]
    return not {"", ".", ".."} & set(parts) and max(len(part.encode()) for part in parts) <= 255


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _refuse(
    path: Path, found: Mapping[str, Any], key: str, expected: str, holds: Callable[[Any], Any], where: str = ""
) -> None:
    if key in found and not holds(found[key]):
        raise BadInput(f"{path}: {where}{key} must be {expected}, got {str(found.get(key))[:40]}. {AGAIN}")
