"""The verdict says what was measured, of the right row, and no more."""

from __future__ import annotations

import pytest

from tests.report.conftest import timed
from tfmo_drive.base.recipe import SMALL
from tfmo_drive.report.row_facts import featured, frontier, worst_classes
from tfmo_drive.report.verdict import limit, tiles, verdict


def test_verdict_is_about_the_row_that_the_expectations_judge(full_report):
    assert featured(full_report)[0]["name"] == "quantize_aware/litert_int8"


def test_it_is_that_row_whoever_answers_a_bound(full_report):
    other = {"name": "baseline_score", "row": full_report["rows"][0]["name"], "judged": "prune/litert_int8"}
    full_report["expect"].insert(0, full_report["expect"][0] | other)
    assert featured(full_report)[0]["name"] == "prune/litert_int8"


def test_it_is_the_row_that_the_run_names_whatever_else_is_smaller_or_scores_more(full_report):
    full_report |= {"expect": [], "headline": "prune/litert_int8"}
    row, why = featured(full_report)
    assert row["name"] == "prune/litert_int8" and why == "It is the recipe's row on litert_int8"
    assert verdict(full_report)[0].startswith("prune/litert_int8 scores 93.8 %")


def test_without_expectations_it_is_the_recipes_row_on_the_last_target_and_no_control(full_report):
    """As in a report that an earlier version wrote: controls come after the recipe, and may score more."""
    full_report |= {"expect": [], "experiment": "quantize_aware"}
    full_report["rows"].append({**full_report["rows"][7], "name": "control/litert_int8", "stage": "control"})
    assert featured(full_report)[0]["name"] == "quantize_aware/litert_int8"


def test_without_a_recipe_it_is_the_float_row(full_report):
    full_report |= {"expect": [], "rows": full_report["rows"][:5]}
    assert featured(full_report)[0] is full_report["rows"][0]


def test_a_row_that_its_target_did_not_take_is_said_to_be_missing(full_report):
    full_report |= {"expect": [], "headline": "quantize_aware/micro", "experiment": "quantize_aware"}
    row, why = featured(full_report)
    assert row["name"] == "quantize_aware/litert_int8" and "There is no row quantize_aware/micro" in why


def test_baseline_alone_is_reported_as_the_baseline(full_report):
    full_report |= {"rows": full_report["rows"][:1], "expect": []}
    assert verdict(full_report)[0].startswith("The float baseline baseline/litert_float32 scores 95.1 %")


def test_verdict_tells_delta_bytes_latency_worst_class_and_the_bar(full_report):
    text = " ".join(verdict(full_report))
    for said in (
        "94.6 % against 95.1 %", "-0.5 points (95 % interval -1.1 to +0.1)", "1,055 test examples cannot tell",
        "3.9x smaller: 24.2 MB against 94.3 MB", "4.7x faster: 1.06 ms against 4.98 ms", "within 4 %",
        "Worst class: speed limit 70, -10.0 points on 20 examples", "The bar to beat, baseline/litert_int8",
        "All 3 expectations are met",
    ):  # fmt: skip
        assert said in text


def test_interval_without_zero_is_more_than_chance(full_report):
    missed = {"name": "score_drop", "bound": 0.01, "value": 0.013, "unit": "points",
              "row": "prune/litert_int8", "passed": False}  # fmt: skip
    full_report["expect"] = [missed]
    text = " ".join(verdict(full_report))
    assert "excludes zero: the loss is more than chance" in text
    assert "FAILED 1 of 1 expectations: score_drop is 1.30 points, expected at most 1.00 points" in text


def test_faster_is_said_only_of_what_was_timed_side_by_side(full_report):
    row = featured(full_report)[0]
    row["reference_latency_ms"] = None
    text = " ".join(verdict(full_report))
    assert "faster" not in text and "no ratio is given" in text
    row["latency_ms"] = None
    assert "Its latency was not measured." in verdict(full_report)


def test_slower_is_called_slower_and_alike_is_called_neither(full_report):
    row = featured(full_report)[0]
    row |= timed("", 2.0, 0.5)
    assert any("2.0x slower" in sentence for sentence in verdict(full_report))
    row |= timed("", 2.0, 1.01)
    assert any("neither faster nor slower" in sentence for sentence in verdict(full_report))


def test_subset_row_is_compared_with_the_reference_on_the_same_images(full_report):
    row = featured(full_report)[0]
    row |= {"subset": "200 of 1,055, seeded", "examples": 200, "score": 0.90, "score_delta": -0.02}
    text = " ".join(verdict(full_report))
    # 0.90 + 0.02 on those 200 images, not the 0.951 of all; and no bar scored on other images.
    assert "90.0 % against 92.0 %" in text and "200 of 1,055, seeded cannot" in text and "bar to beat" not in text


def test_no_class_worse_is_said(full_report):
    for one in featured(full_report)[0]["per_class"].values():
        one["delta"] = abs(one["delta"])
    assert "No class got worse." in verdict(full_report)
    assert "worst class" not in [tile.label for tile in tiles(full_report)]


def test_worst_classes_come_first_and_unknown_deltas_are_left_out():
    row = {"per_class": {"a": {"delta": 0.1}, "b": {"delta": -0.2, "examples": 5}, "c": {"delta": -0.2, "examples": 9},
                         "d": {"delta": None}}}  # fmt: skip
    assert [name for name, _ in worst_classes(row)] == ["c", "b", "a"]


def test_frontier_holds_the_rows_that_no_other_beats():
    rows = [
        {"name": "big", "size": 9, "score": 0.9},
        {"name": "small", "size": 1, "score": 0.8},
        {"name": "beaten", "size": 5, "score": 0.7},
        {"name": "same score, bigger", "size": 2, "score": 0.8},
        {"name": "other images", "size": 1, "score": 1.0, "subset": "9 of 99"},
        {"name": "unknown", "size": None, "score": 1.0},
        {"name": "worthless", "size": 0.1, "score": 0.3, "over_trivial": 0.0, "over_trivial_low": -0.1},
        {"name": "not decided", "size": 0.2, "score": 0.3, "over_trivial": 0.1},
    ]
    assert [row["name"] for row in frontier(rows, "size")] == ["small", "big"]


@pytest.mark.parametrize(
    ("value", "bound", "passed", "said"),
    [(0.2, 0.3, True, "at most 0.300"), (0.4, 0.3, False, "at most 0.300"), (None, 0.3, False, "at most 0.300")],
)  # fmt: skip
def test_words_of_an_expectation_never_contradict_its_verdict(value, bound, passed, said):
    assert limit({"name": "size_ratio", "value": value, "bound": bound, "passed": passed}) == said


@pytest.mark.parametrize(("delta", "low", "high", "size", "advice"), [
    (-0.02, -0.03, -0.01, 1e5, "TAKE THE SMALL NETWORK: it is better."),
    (-0.02, -0.03, -0.01, 1e9, "TAKE THE SMALL NETWORK: it is better."),
    (0.01, -0.01, 0.03, 1e5, "TAKE THE SMALL NETWORK: it is no worse by these examples, and no larger."),
    (0.01, -0.01, 0.03, 1e9, ""),
    (0.02, 0.01, 0.03, 1e5, ""),
    (-0.01, None, None, 1e5, "TAKE THE SMALL NETWORK: it is no worse by these examples, and no larger."),
])  # fmt: skip
def test_a_small_network_from_nothing_that_does_as_well_is_advised(full_report, delta, low, high, size, advice):
    own = featured(full_report)[0]
    small = {**own, "name": f"{SMALL}/litert_int8", "stage": SMALL, "score": 0.9, "size_bytes": size}
    full_report["rows"].append(small)
    full_report["stages"].append({"name": "1_distill", "recipe": SMALL, "seconds": 125.0, "curves": {}})
    assert SMALL not in " ".join(verdict(full_report))
    pair = {"row": own["name"], "against": small["name"], "score_delta": delta}
    full_report["paired"] = [pair | {"score_delta_low": low, "score_delta_high": high}]
    said = next(one for one in verdict(full_report) if SMALL in one)
    assert "scores 90.0 %" in said and "after 2 min 05 s of training" in said
    assert said.endswith(advice or ").")
