"""Shows where the memory goes: on an NPU, as its compiler says, and at the moment when most activations are alive."""

from __future__ import annotations

from tfmo_drive.report.document import Cell, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.tables import cell
from tfmo_drive.report.row_facts import Row

_SLOWEST = 3


def npu(rows: list[Row]) -> Section | None:
    """Returns the cost of every compiled row on its NPU, or None without such rows.

    The layers that take longest are named.
    """
    compiled = [(row["name"], row["npu"]) for row in rows if row.get("npu")]
    if not compiled:
        return None
    columns = ("Row", "Slowest layers", "On the NPU", "Cycles", "Inference", "SRAM", "DRAM", "Flash", "Weights there")
    lines = tuple(
        (
            Cell(name),
            Cell(_slowest(said)),
            Cell(
                f"{said['npu_operators']} of {said['npu_operators'] + said['cpu_operators']}", "", said["npu_operators"]
            ),
            cell(said["cycles"], numbers.count),
            cell(said["inference_ms"], numbers.milliseconds),
            *(cell(said[f"{where}_bytes"], numbers.size) for where in ("sram", "dram", "flash")),
            cell(said["encoded_weight_bytes"], numbers.size, f"(of {numbers.size(said['weight_bytes'])})"),
        )
        for name, said in compiled
    )
    caption = (
        "Estimates of Vela, the NPU's compiler, for the chip that each row names; no NPU was run. Operators that are "
        "not on the NPU run on the processor beside it. Weights are stored compressed: zeros and repeats shrink them."
    )
    return Section("On the NPU", caption, table=Table(columns, lines, text_columns=2))


def _slowest(said: dict) -> str:
    worst = sorted(said["layers"], key=lambda layer: -layer["cycles"])[:_SLOWEST]
    return ", ".join(f"{_short(layer['name'])} {layer['cycles'] / said['cycles']:.0%}" for layer in worst)


def _short(name: str) -> str:
    folders = name.split(";")[0].split("/")
    return folders[max(0, len(folders) - 2)]


def peak(row: Row) -> Section | None:
    """Returns the activations that hold the featured row's memory, or None where they are not known."""
    found = row.get("activation_peak")
    if not found:
        return None
    lines = tuple((Cell(layer), cell(held, numbers.size)) for layer, held in found["held"])
    caption = f"While {found['layer']} of {row['name']} runs, {numbers.size(found['bytes'])} of activations are alive."
    return Section("Memory", caption, table=Table(("Activation of", "Bytes"), lines))
