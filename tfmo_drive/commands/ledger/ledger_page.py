"""Shows the ledger as a page and for the terminal: what every stage lost, and at which layer two of them part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfmo_drive.report import worth
from tfmo_drive.report.document import Cell, Document, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.tables import cell, interval
from tfmo_drive.report.write_report import write_document

CAPTION = (
    "The same seeded test examples through every stage. Points are against the stage named beside each, paired, with "
    "95 % intervals; 'to float' is what is lost in all. Alike: decisions that are equal. Moved: examples with any "
    "difference in the outputs. Where two stages decide alike less often than the bound, or two runtimes of one file "
    "differ at all, the first layer that differs is named, from the examples that moved most, of those that have one "
    "shape in both; LSB is the file's own integer step."
)


def write(found: dict[str, Any], folder: Path) -> str:
    """Writes ledger.md and .html into `folder`, and returns text for a terminal."""
    return write_document(document(found), {}, folder, "ledger")


def document(found: dict[str, Any]) -> Document:
    """Returns the ledger as a document; a baseline that is worth nothing is said first."""
    first = found["stages"][0] | {"name": found["stages"][0]["stage"]}
    least = [worth.trivial_row(first)] if first.get("trivial_score") is not None else []
    rows = [*found["stages"], *({**row, "stage": row["name"], "runtime": row["name"], "against": ""} for row in least)]
    lines = tuple(_line(row) for row in rows)
    columns = ("Stage", "Parts at", "Score", "Points", "To float", "Alike", "Moved")
    sections = (
        Section("Stages", CAPTION, table=Table(columns, lines, text_columns=2)),
        Section("Made by", text=found["environment"]["command"]),
    )
    return Document(
        f"Ledger of {found['experiment']}/{found['target']}",
        (*worth.doubts({"rows": [first]}), verdict(found)),
        sections,
    )


def verdict(found: dict[str, Any]) -> str:
    """Returns which stage lost most, if any lost more than chance on so many examples."""
    later = [row for row in found["stages"] if row["against"]]
    lost = [row for row in later if row["delta_high"] is not None and row["delta_high"] < 0]
    images = f"{found['examples']:,} of {found['of']:,} test examples"
    if later and all(row["delta_high"] is None for row in later):
        worst = min(later, key=lambda row: row["delta"])
        return (
            f"These {images} are one group, so nothing says what is chance; {worst['stage']} loses most against "
            f"{worst['against']}, {numbers.points(worst['delta'])} points."
        )
    if not lost:
        return f"No stage loses more than chance on {images}."
    worst = min(lost, key=lambda row: row["delta"])
    bounds = f"{numbers.points(worst['delta_low'])} to {numbers.points(worst['delta_high'])}"
    return (
        f"The loss appears at {worst['stage']}: {numbers.points(worst['delta'])} points ({bounds}) against "
        f"{worst['against']}, on {images}."
    )


def _line(row: dict[str, Any]) -> tuple[Cell, ...]:
    how = [row["runtime"]] * (row["runtime"] != row["stage"]) + [f"against {row['against']}"] * bool(row["against"])
    return (
        Cell(row["stage"], f"({', '.join(how)})" if how else ""),
        Cell(_parts_at(row.get("parts_at"))),
        interval(row, "score", numbers.percent, lambda value: f"{100 * value:.1f}"),
        interval(row, "delta", numbers.points, numbers.points),
        interval(row, "delta_first", numbers.points, numbers.points),
        cell(row.get("agreement"), numbers.percent),
        cell(row.get("changed"), numbers.percent),
    )


def _parts_at(said: dict[str, Any] | str | None) -> str:
    if not said or isinstance(said, str):
        return said or numbers.DASH
    apart = "" if said["steps"] is None else f", {said['steps']:.0f} LSB"
    return f"{said['layer']} ({said['operator']}, {said['sqnr_db']:.0f} dB{apart})"
