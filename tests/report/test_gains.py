"""Who says smaller and faster has measured it, and says against what."""

from __future__ import annotations

import pytest

from tfmo_drive.report import gains

FLOAT = {
    "name": "baseline/float", "stage": "baseline", "target": "float", "size_bytes": 4000, "gzip_bytes": 3600,
    "parameters": 1000, "nonzero_parameters": 1000, "macs": 100, "latency_ms": 8.0, "reference_latency_ms": 8.0,
    "speedup_spread": 0.0,
}  # fmt: skip
PLAIN = FLOAT | {"name": "baseline/int8", "target": "int8", "size_bytes": 1000, "gzip_bytes": 900, "latency_ms": 4.0}
TYPES = {"runtime": "litert xnnpack", "stage": "x", "name": "x/int8"}


@pytest.mark.parametrize(
    ("changes", "words", "why"),
    [
        ({"nonzero_parameters": 300, "gzip_bytes": 450}, "neither: 1.0x in size, 1.0x in time (±0 %)",
         "its zeros (70 %) are stored like other weights, only gzip makes them 2.0x smaller; "
         "zeros do not speed this graph up on litert xnnpack: it multiplies by them"),
        ({"gzip_bytes": 300}, "neither: 1.0x in size, 1.0x in time (±0 %)",
         "repeated values are stored in full, only gzip makes them 3.0x smaller; as many multiply-accumulates"),
        ({"size_bytes": 500, "parameters": 500, "macs": 40, "latency_ms": 1.6},
         "both: 2.0x in size, 2.5x in time (±0 %)", "2.0x fewer weights; 2.5x fewer multiply-accumulates"),
        ({"size_bytes": 500, "parameters": 500, "macs": 40, "latency_ms": 8 / 2.2, "speedup_spread": 0.2},
         "size only: 2.0x in size, 1.1x in time (±20 %)",
         "2.0x fewer weights; 2.5x fewer multiply-accumulates, but their time does not show it on litert xnnpack"),
        ({"size_bytes": 500, "parameters": 500, "macs": 4, "latency_ms": 8 / 560, "speedup_spread": 1.8},
         "smaller, latency not decided: 2.0x in size, about 280x in time (±180 %)",
         "2.0x fewer weights; its time repeated only within 180 % because the machine was busy"),
        ({"size_bytes": 500, "parameters": 500, "macs": 4, "latency_ms": 0.4, "speedup_spread": 0.5},
         "both: 2.0x in size, about 10x in time (±50 %)", "2.0x fewer weights; 25x fewer multiply-accumulates"),
        ({"latency_ms": 40.0}, "neither: 1.0x in size, 0.10x in time (±0 %)",
         "as many weights of the same type; slower kernels of litert xnnpack for its types"),
        ({"size_bytes": 2000, "parameters": 2000, "macs": 200, "latency_ms": 8.0},
         "neither: 0.50x in size, 0.50x in time (±0 %)",
         "2.0x as many weights; slower kernels of litert xnnpack for its types"),
        ({"runtime": "onnxruntime", "latency_ms": 8 / 3}, "latency only: 1.0x in size, 1.5x in time (±0 %)",
         "as many weights of the same type; another runtime, onnxruntime"),
        ({"reference_latency_ms": None, "size_bytes": 500}, "2.0x in size, not timed: size only", "4.0 bits a weight"),
    ],
)  # fmt: skip
def test_line_of_a_row(changes, words, why):
    row = PLAIN | TYPES | changes
    assert (gains.verdict(row, PLAIN), gains.reason(row, PLAIN)) == (words, why)


def test_section_holds_every_row_against_float_and_the_recipe_against_plain(full_report):
    table = gains.section(full_report).table
    lines = {line[0].text: [cell.text for cell in line[1:]] for line in table.rows}
    assert list(lines) == [row["name"] for row in full_report["rows"][1:]]
    assert lines["baseline/litert_int8"][1] == "–"
    assert lines["prune/litert_int8"][0].startswith("both: 3.9x in size")
    assert lines["prune/litert_int8"][1].startswith("neither: 1.0x in size")


def test_report_of_float_alone_has_no_such_section():
    assert gains.section({"rows": [FLOAT]}) is None
