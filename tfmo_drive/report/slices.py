"""Shows slices of the test examples (weather, time of day, ...): where a row lost most."""

from __future__ import annotations

from tfmo_drive.report.document import Cell, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.tables import cell, changes
from tfmo_drive.report.row_facts import Row, examples, featured, reference


def section(report: dict) -> Section | None:
    """Returns every slice in every row, and the featured row's worst one in a sentence."""
    first, rows = reference(report), [row for row in report["rows"] if row.get("slices")]
    if first not in rows:
        return None
    lines = tuple(
        (
            Cell(attribute),
            Cell(value),
            cell(one["examples"], numbers.whole),
            cell(one["score"], numbers.percent),
            *changes((row["slices"].get(attribute, {}).get(value) or {}).get("delta") for row in rows[1:]),
        )
        for attribute, values in first["slices"].items()
        for value, one in values.items()
    )
    columns = ("Slice", "Value", "Examples", f"Score of {first['name']}", *(row["name"] for row in rows[1:]))
    caption = f"{_worst(featured(report)[0], first)} Points against the first row on the same examples."
    return Section("Slices", caption.lstrip(), table=Table(columns, lines, text_columns=2))


def _worst(row: Row, first: Row) -> str:
    found = [(f"{attribute} {value}", one) for attribute, values in (row.get("slices") or {}).items()
             for value, one in values.items()]  # fmt: skip
    if not found:
        return ""
    if row is first:
        name, one = min(found, key=lambda pair: pair[1]["score"])
        return f"Hardest for {row['name']}: {name}, {numbers.percent(one['score'])} on {examples(one)}."
    name, one = min(found, key=lambda pair: (pair[1]["delta"], -pair[1]["examples"]))
    if one["delta"] >= 0:
        return f"No slice got worse in {row['name']}."
    return f"Worst slice of {row['name']}: {name}, {numbers.points(one['delta'])} points on {examples(one)}."
