"""The worst slice is named, and every slice stands in the table."""

from __future__ import annotations

from tfmo_drive.report import slices


def test_the_worst_slice_is_named_with_its_examples(driving_report):
    shown = slices.section(driving_report)
    # 3 x -1.6 points in fog.
    said = "Worst slice of detection_channels_quantized/litert_int8: weather fog, -4.8 points on 41 examples."
    assert shown.caption.startswith(said)


def test_points_of_every_other_row_stand_beside_the_first_rows_score(driving_report):
    table = slices.section(driving_report).table
    assert table.columns[:4] == ("Slice", "Value", "Examples", "Score of baseline/litert_float32")
    assert [str(cell) for cell in table.rows[1]] == ["weather", "fog", "41", "33.0 %", "-2.1", "-4.8"]
    assert len(table.rows) == 7
    # Within a point is what a compressed file may cost; -0.8 in snow.
    assert [table.rows[place][-1].tone for place in (1, 3)] == ["bad", ""]


def test_a_slice_that_a_subset_does_not_hold_is_a_dash(driving_report):
    del driving_report["rows"][1]["slices"]["weather"]["fog"]
    assert str(slices.section(driving_report).table.rows[1][4]) == "\N{EN DASH}"


def test_of_equal_losses_the_one_with_more_examples_is_named(driving_report):
    for one in driving_report["rows"][2]["slices"]["weather"].values():
        one["delta"] = -0.5
    assert "weather clear, -50.0 points on 180 examples" in slices.section(driving_report).caption


def test_no_loss_and_no_other_row_are_said_as_such(driving_report):
    for values in driving_report["rows"][2]["slices"].values():
        for one in values.values():
            one["delta"] = 0.01
    assert slices.section(driving_report).caption.startswith("No slice got worse in detection_channels")
    driving_report |= {"rows": driving_report["rows"][:1], "expect": []}
    hardest = "Hardest for baseline/litert_float32: time of day night, 31.0 % on 80 examples."
    assert slices.section(driving_report).caption.startswith(hardest)


def test_data_without_attributes_has_no_slices(full_report):
    full_report["rows"][0]["slices"] = {}
    assert slices.section(full_report) is None
