"""A pack says at the top of its card what nobody measured, or what lost more than the experiment allows."""

from __future__ import annotations

import json

import pytest

from tfmo_drive.expect import Expect


@pytest.mark.parametrize(("row", "begins"), [
    (None, "**NEVER MEASURED: nothing says what this file scores"),
    ({"score": 0.9, "score_delta": -0.2, "size_bytes": 1}, "**NEVER MEASURED: nothing says"),
    ({"score": 0.7, "score_delta": -0.2}, "**NOT AS GOOD AS EXPECTED: of tiny/raspberry_pi_4, "
     "score_drop is 20.00 points, allowed is at most 1.00 points"),
    ({"score": 0.9, "score_delta": 0.0}, "Classes"),
])  # fmt: skip
def test_the_card_begins_with_what_the_file_lost_or_that_nobody_measured_it(row, begins, packing, model, tmp_path):
    """The row is that of the very file: of its name, and of its size where the report knows one."""
    if row is not None:
        rows = [{"name": "baseline/litert_float32", "score": 0.9}, {"name": "tiny/raspberry_pi_4"} | row]
        (tmp_path / "report.json").write_text(json.dumps({"schema": 2, "rows": rows}))
    expect = Expect(score_drop=0.01, size_ratio=0.1, baseline_beats_trivial=False)
    card = (packing(model, tmp_path, "raspberry_pi_4", expect).folder / "README.md").read_text()
    assert card.split("\n\n")[1].startswith(begins)
