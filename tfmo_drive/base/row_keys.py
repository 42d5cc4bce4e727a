"""Joins what several sources say of a report's row, and refuses two that say different things under one key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfmo_drive.contracts import BadInput


def joined(row: Mapping[str, Any], found: Mapping[str, Any], source: object) -> dict[str, Any]:
    """Returns a row with the numbers in `found` added.

    Args:
        row: The row so far.
        found: The numbers to add, by key.
        source: Where they come from: a measure, an artifact, a task.

    Raises:
        BadInput: The row has one of the keys already.
    """
    twice = sorted(row.keys() & found.keys())
    if twice:
        raise BadInput(f"{type(source).__name__} gives a row {twice[0]}, which it has already. Give it another name.")
    return {**row, **found}
