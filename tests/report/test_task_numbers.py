"""A task's own numbers are spelt for people, and those of a task that nobody thought of too."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from tfmo_drive import measures
from tfmo_drive.contracts import Measure
from tfmo_drive.report.task_numbers import over_time, section, spelt


@pytest.mark.parametrize(("key", "value", "title", "text"), [
    ("ap50", 0.661, "AP50", "66.1 %"),
    ("miss_rate_at_0.1", 0.5, "Pedestrians missed at 0.1 false alarms an image", "50.0 %"),
    ("pedestrians", 1220, "Pedestrians", "1,220"),
    ("jitter_degrees", 0.044, "Jitter", "0.04\N{DEGREE SIGN}"),
    ("mean_absolute_error", 0.0321, "Mean absolute error", "0.0321"),
    ("part_detection", 0.4, "Detection: score", "40.0 %"),
    ("score_curves", 0.4, "Score on curves", "40.0 %"),
    ("score_straight", 0.79, "Score of always straight", "79.0 %"),
    ("detection_ap50", 0.4, "Detection: AP50", "40.0 %"),
    ("lane_keeping_error_curves_degrees", 1.5, "Lane keeping: Error on curves", "1.50\N{DEGREE SIGN}"),
    ("lane_keeping_score_curves", 0.4, "Lane keeping: Score on curves", "40.0 %"),
    ("heading_degrees", 1.5, "Heading", "1.50\N{DEGREE SIGN}"),
    ("recall_of_trams", 0.25, "Recall of trams", "25.0 %"),
    ("trams", 3, "Trams", "3"),
    ("depth_error_m", 1.234, "Depth error m", "1.23"),
])  # fmt: skip
def test_a_number_is_spelt_for_people(key, value, title, text):
    found, written = spelt(key, [value])
    assert (found, written(value)) == (title, text)


def test_a_number_is_percent_only_where_every_row_is_within_0_and_1():
    assert spelt("depth_error", [0.5, 0.9])[1](0.5) == "50.0 %"
    assert spelt("depth_error", [0.5, 1.9])[1](0.5) == "0.500"


def test_every_number_that_a_row_has_is_a_column_and_what_stands_elsewhere_is_not(driving_report):
    rows = driving_report["rows"]
    rows[1]["trams"] = 3
    rows[1]["own_numbers"].append("trams")
    table = section(rows).table
    assert table.columns[:3] == ("Row", "AP50", "AP of small objects") and table.columns[-1] == "Trams"
    assert [str(line[-1]) for line in table.rows] == ["\N{EN DASH}", "3", "\N{EN DASH}"]
    assert len(table.columns) == 10
    assert all(len(line) == 10 for line in table.rows)


def test_a_row_says_on_how_many_examples_it_counted(driving_report):
    driving_report["rows"][1]["subset"] = "200 of 400, seeded"
    assert str(section(driving_report["rows"]).table.rows[1][0]) == "baseline/litert_int8 (200 of 400, seeded)"


def test_classification_has_no_numbers_of_its_own(full_report):
    assert section(full_report["rows"]) is None and over_time(full_report["rows"]) is None


def test_clips_are_counted_in_the_caption_and_their_numbers_in_the_table(driving_report):
    del driving_report["rows"][1]["temporal"]
    shown = over_time(driving_report["rows"])
    assert "in 6 clips of 15 frames" in shown.caption
    assert shown.table.columns == ("Row", "Flicker of boxes", "Jumps of boxes, in their size")
    # 0.08 and 0.06; 0.08 + 2 x 0.016 and 0.06 + 0.016.
    assert [[str(cell) for cell in line[1:]] for line in shown.table.rows] == [["8.0 %", "6.0 %"], ["11.2 %", "7.6 %"]]


def test_numbers_of_a_measure_without_a_part_of_its_own_stand_with_the_tasks(driving_report):
    """Whoever writes a measure sees its numbers; every measure of the package says that it has a part of the report."""
    modules = [importlib.import_module(f"tfmo_drive.measures.{one.name}")
               for one in pkgutil.iter_modules(measures.__path__)]  # fmt: skip
    known = {kind for module in modules for kind in vars(module).values()
             if isinstance(kind, type) and issubclass(kind, Measure) and kind is not Measure}  # fmt: skip
    assert len(known) >= 7 and all(kind.has_section for kind in known) and not Measure.has_section
    rows = driving_report["rows"]
    for row in rows:
        row["own_numbers"], row["energy_mj"] = ["energy_mj"], 1.5
    assert section(rows).table.columns == ("Row", "Energy mj")
