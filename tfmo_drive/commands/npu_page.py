"""Shows rows of several runs on NPUs, as a page and for the terminal: what each method gains there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfmo_drive.report.document import Cell, Document, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.tables import cell
from tfmo_drive.report.write_report import write_document

CAPTION = (
    "Estimates of Vela for Arm's own example of a chip around each NPU; no NPU was run. Operators are as it counts "
    "them, cycles leave out those on the processor. Beside cycles and weights, in parentheses: how many times fewer "
    "than the first line's on the same NPU. Weights are what the NPU reads: Vela encodes them without loss, so zeros "
    "and repeated values shrink them. Values: different ones in a layer (median)."
)


def write(found: dict[str, Any], folder: Path) -> str:
    """Writes npu.md and .html into `folder`, and returns text for a terminal."""
    return write_document(document(found), {}, folder, "npu")


def document(found: dict[str, Any]) -> Document:
    """Returns one line for every row on every NPU, and names the fastest."""
    rows, firsts = found["rows"], {}
    for row in rows:
        firsts.setdefault(row["npu"]["accelerator"], row["npu"])
    lines = tuple(_line(row, firsts[row["npu"]["accelerator"]]) for row in rows)
    entirely = [row for row in rows if row["npu"]["cpu_operators"] == 0]
    verdict = (f"{len(entirely)} of {len(rows)} run on the NPU entirely.",)
    if entirely:  # cycles of other rows leave out the processor's operators
        best = min(entirely, key=lambda row: row["npu"]["inference_ms"])
        took = numbers.milliseconds(best["npu"]["inference_ms"])
        verdict += (f"Fastest of these: {best['run']}, {best['name']} on {best['npu']['accelerator']}, {took}.",)
    columns = ("Row", "NPU", "Points", "On the NPU", "Cycles", "Inference", "SRAM", "Zeros", "Values", "Weights")
    sections = (
        Section("Rows", CAPTION, table=Table(columns, lines, text_columns=2)),
        Section("Made by", text=found["command"]),
    )
    return Document("On the NPU", verdict, sections)


def _line(row: dict[str, Any], first: dict[str, Any]) -> tuple[Cell, ...]:
    said = row["npu"]
    whole = said["npu_operators"] + said["cpu_operators"]
    fewer = {key: numbers.times(first[key] / said[key] if said[key] else None)
             for key in ("cycles", "encoded_weight_bytes")}  # fmt: skip
    return (
        Cell(row["name"] if row["stage"] == row["run"] else f"{row['run']}: {row['name']}"),
        Cell(said["accelerator"]),
        cell(row["score_delta"], numbers.points),
        Cell(f"{said['npu_operators']} of {whole}", "", said["npu_operators"]),
        cell(said["cycles"], numbers.count, f"({fewer['cycles']})"),
        cell(said["inference_ms"], numbers.milliseconds),
        cell(said["sram_bytes"], numbers.size),
        cell(row["zeros"], lambda share: numbers.percent(share, 0)),
        cell(row["values"], numbers.whole),
        cell(said["encoded_weight_bytes"], numbers.size, f"({fewer['encoded_weight_bytes']})"),
    )
