"""What corruptions cost, as it is said, tabled and drawn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from tfmo_drive.report import robustness_section
from tfmo_drive.report.plots.figures import figures


@pytest.fixture
def small() -> dict:
    """float: clean 0.9, fog 0.8 0.6, jpeg 0.7 0.5. int8: clean 0.89, fog 0.78 0.5, jpeg 0.7 0.52."""
    first = {"name": "float", "robustness": _known(0.9, [0.8, 0.6], [0.7, 0.5]), "corruption_score": 0.65}
    row = {
        "name": "int8", "robustness": _known(0.89, [0.78, 0.5], [0.7, 0.52]), "score": 0.9, "score_delta": 0.0,
        "corruption_score": 0.625, "corruption_delta": -0.025, "fragility": 0.015, "worst_corruption": "motion_blur 4",
        "worst_corruption_delta": -0.1, "size_bytes": 1,
    }  # fmt: skip
    return {"rows": [first, row]}


def _known(clean: float, fog: list, jpeg: list) -> dict:
    return {"examples": 1100, "severities": [2, 4], "clean": clean, "scores": {"motion_blur": fog, "jpeg": jpeg}}


def test_the_worst_case_is_one_number_in_words(small):
    caption = robustness_section.section(small).caption
    assert "worst: motion blur 4, -10.0 points against float on the same pixels" in caption
    assert "int8 scores 62.5 % on corrupted images, -2.5 points against float" in caption
    assert "1,100 test examples, each corrupted at 2 severities" in caption


def test_where_nothing_is_worse_no_worst_case_is_named(small):
    small["rows"][1]["worst_corruption_delta"] = -0.0004
    caption = robustness_section.section(small).caption
    assert "under no corruption is it worse." in caption and "worst:" not in caption


@pytest.mark.parametrize(("fragility", "said"), [
    (0.015, "a corruption costs it 1.5 points more than it costs float"),
    (-0.004, "a corruption costs it 0.4 points less than it costs float"),
    (0.0004, "a corruption costs it as much as it costs float"),
])  # fmt: skip
def test_fragility_is_said_in_words(small, fragility, said):
    small["rows"][1]["fragility"] = fragility
    assert said in robustness_section.section(small).caption


def test_the_table_holds_points_on_the_same_pixels(small):
    table = robustness_section.section(small).table
    assert table.columns == ("Corruption", "Score of float", "int8")
    # Means over severities: 0.64 - 0.7 and 0.61 - 0.6; of all four 0.625 - 0.65.
    assert [[cell.text for cell in line] for line in table.rows] == [
        ["none", "90.0 %", "-1.0"], ["motion blur", "70.0 %", "-6.0"], ["jpeg", "60.0 %", "+1.0"],
        ["all together", "65.0 %", "-2.5"],
    ]  # fmt: skip


def test_a_row_that_was_not_asked_has_no_column(small):
    small["rows"].append({"name": "int16x8", "score": 0.9})
    assert robustness_section.section(small).table.columns == ("Corruption", "Score of float", "int8")


def test_without_the_float_row_nothing_is_said_or_drawn(small):
    del small["rows"][0]["robustness"]
    assert robustness_section.section(small) is None and robustness_section.figure(small) is None


def test_the_baseline_alone_is_described_and_drawn(small):
    small["rows"].pop()
    assert "float scores 65.0 % on corrupted images, 90.0 % on clean ones." in robustness_section.section(small).caption
    assert robustness_section.figure(small)


def test_lines_begin_clean_and_bars_are_worst_first(small):
    left, right = Figure().subplots(1, 2)
    first, row = small["rows"]
    robustness_section._by_severity(left, [first, row], row)
    # Over both corruptions: 0.75 and 0.55 of float, 0.74 and 0.51 of int8.
    assert [line.get_xdata().tolist() for line in left.lines] == [[0, 2, 4]] * 2
    assert np.allclose([line.get_ydata() for line in left.lines], [[90, 75, 55], [89, 74, 51]])
    robustness_section._by_corruption(right, row, first)
    assert [text.get_text() for text in right.get_yticklabels()] == ["motion blur", "jpeg"]
    assert np.allclose([bar.get_width() for bar in right.patches], [-6, 1])


def test_more_rows_than_colours_are_drawn_without_the_last(small, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        robustness_section, "_by_severity", lambda axes, rows, marked: drawn.extend(one["name"] for one in rows)
    )
    more = [{"name": f"row {i}", "robustness": small["rows"][0]["robustness"], "corruption_score": 0.65, "score": 0.1,
             "score_delta": -0.8} for i in range(9)]  # fmt: skip
    small["rows"] = [small["rows"][0], *more, small["rows"][1]]
    robustness_section.figure(small)
    assert drawn == ["float", "int8", *(f"row {i}" for i in range(5))]


def test_the_figure_is_among_the_reports(driving_report):
    assert {"robustness", "score_size", "class_deltas"} <= set(figures(driving_report))
