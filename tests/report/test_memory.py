"""Tables of memory: NPU rows with their slowest layers, the activations alive at the peak."""

from __future__ import annotations

from tfmo_drive.report import memory_section
from tfmo_drive.report.rendering.tables import rows_table

NPU = {
    "npu_operators": 70, "cpu_operators": 2, "cycles": 1_000_000, "inference_ms": 2.0, "sram_bytes": 50_000,
    "dram_bytes": 0, "flash_bytes": 900_000, "weight_bytes": 1_000_000, "encoded_weight_bytes": 800_000,
    "layers": [
        {"name": "net/conv1/Relu;net/conv1_bn/x", "cycles": 100_000}, {"name": "net/conv2/Relu", "cycles": 600_000},
        {"name": "logits", "cycles": 1000}, {"name": "net/conv3/Relu", "cycles": 200_000},
    ],
}  # fmt: skip
PEAK = {"bytes": 600, "layer": "narrow", "held": [["wide", 400], ["stem", 200]]}


def row(name, **more):
    return {"name": name, "score": 0.9, "size_bytes": 10, **more}


def test_npu_rows_name_their_slowest_layers():
    found = memory_section.npu([row("float"), row("small/ethos_u55_128", npu=NPU)])
    (line,) = found.table.rows
    assert line[0].text == "small/ethos_u55_128" and line[1].text == "conv2 60%, conv3 20%, conv1 10%"
    assert line[2].text == "70 of 72" and line[4].text == "2.00 ms" and line[-1].note == "(of 1.00 MB)"
    assert memory_section.npu([row("float")]) is None


def test_the_peak_says_who_holds_it():
    found = memory_section.peak(row("int8", activation_peak=PEAK))
    assert found.caption == "While narrow of int8 runs, 600 B of activations are alive."
    assert [[cell.text for cell in line] for line in found.table.rows] == [["wide", "400 B"], ["stem", "200 B"]]
    assert memory_section.peak(row("onnx")) is None


def test_rows_say_what_is_taken_before_what_is_needed():
    rows = [
        row("a", activation_bytes=500),
        row("b", activation_bytes=500, arena_bytes=800),
        row("c", npu=NPU),
        row("d"),
    ]
    table = rows_table(rows, [rows[0]] * 4)
    column = table.columns.index("RAM")
    shown = [(line[column].text, line[column].note) for line in table.rows]
    assert shown[:3] == [("500 B", "(at least)"), ("800 B", ""), ("50.0 kB", "")] and shown[3][1] != "(at least)"
