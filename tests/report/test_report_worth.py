"""What a report says first of a model that is no better than the trivial answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import results

from tfmo_drive.base import atomic
from tfmo_drive.expect import Expect, exit_code
from tfmo_drive.pack import write_pack as pack
from tfmo_drive.report.rendering.markdown import markdown, terminal
from tfmo_drive.report.row_facts import beats_trivial
from tfmo_drive.report.sections import document
from tfmo_drive.report.verdict import amount, limit, verdict
from tfmo_drive.report.worth import doubts

LEAST = {"trivial_answer": 'always "stop"', "trivial_score": 0.125}


def over(low, high=None, **more) -> dict:
    return LEAST | {"over_trivial": 0.006, "over_trivial_low": low, "over_trivial_high": high or low} | more


@pytest.fixture
def report(full_report):
    """Its baseline and its result are better than the trivial answer."""
    for row in full_report["rows"]:
        row |= over(0.6, 0.9)
    return full_report | {"headline": "quantize_aware/litert_int8"}


def test_what_is_better_by_its_interval_is_not_doubted_and_the_trivial_score_stands_in_every_table(report):
    assert doubts(report) == []
    assert verdict(report)[0].startswith("quantize_aware/litert_int8 scores 94.6 %")
    assert 'Answering always "stop" would score 12.5 %.' in verdict(report)
    assert 'trivial: always "stop"' in terminal(report) and 'trivial: always "stop"' in markdown(report)


@pytest.mark.parametrize(("row", "what"), [(0, "BASELINE"), (7, "RESULT")])
def test_the_baseline_and_the_result_are_the_first_line_where_they_are_not_better(report, row, what):
    report["rows"][row] |= over(-0.031, 0.042)
    first = f"WORTHLESS {what}: {report['rows'][row]['name']} scores "
    assert verdict(report)[0].startswith(first) and terminal(report).startswith(first)
    assert "+0.6 points (95 % interval -3.1 to +4.2)" in verdict(report)[0]
    assert document(report).tone == "bad" and document(report).tiles[0].value == "worthless"
    assert "WORTHLESS" not in verdict(report)[1], "only one of the two is"
    assert not {"interval", "class"} & set(" ".join(verdict(report)[2:]).split()), "nothing is made of its numbers"


def test_expectations_of_another_row_than_the_headlines_are_said_to_be_that_ones(report):
    """Without a recipe the report is about the float row, and what is expected of is the last target's."""
    judged = report["rows"][7]["name"]
    met = {"name": "size_ratio", "judged": judged, "row": judged, "bound": 0.3, "value": 0.26, "passed": True}
    report |= {"headline": report["rows"][0]["name"], "expect": [met]}
    assert f"The expectation of {judged} is met." in verdict(report)
    report["expect"].append(met | {"name": "score_drop", "value": 0.5, "unit": "points", "passed": False})
    assert f"FAILED 1 of 2 expectations of {judged}: score_drop of {judged} is 50.00 points" in " ".join(
        verdict(report)
    )
    report["rows"][7] |= over(-0.031)
    assert verdict(report)[0].startswith(f"WORTHLESS RESULT: {judged} scores ")


def test_a_control_that_is_spoilt_on_purpose_is_no_ones_headline(report):
    report["rows"][8] |= over(-0.1)
    assert doubts(report) == []


def test_one_group_decides_nothing_and_that_is_no_pass(report):
    report["rows"][0] |= over(None)
    (said,) = doubts(report)
    assert said.startswith("NOT DECIDED whether this BASELINE") and "two groups or more" in said
    assert document(report).tiles[0].value == "not decided"
    (first, second) = Expect().verdicts(report["rows"][7], report["rows"])
    assert (first["passed"], second["passed"]) == (False, True) and exit_code([first, second]) == 1
    assert amount(first, "value") == "not decided: one group" and "above 0" in limit(first)


def test_one_worthless_task_of_several_is_enough(report):
    report["rows"][0]["parts"] = {"detection": {"score": 0.0, **over(0.0)}, "segmentation": {"score": 0.6, **over(0.5)}}
    (said,) = doubts(report)
    assert "its detection scores 0.0 %, the trivial answer scores 12.5 %" in said and "segmentation" not in said


def test_who_says_the_same_of_every_example_is_worthless_whatever_that_scores(report):
    report["rows"][0] |= over(0.2, 0.3, always_the_same=True)
    assert beats_trivial(report["rows"][0]) is False
    assert "says the same of every example" in doubts(report)[0]
    assert Expect().verdicts(report["rows"][7], report["rows"])[0]["value"] == 0.0


def test_the_rule_is_switched_off_by_its_name_and_the_line_stays(report):
    report["rows"][0] |= over(-0.031, 0.042)
    assert [one["name"] for one in Expect().verdicts(report["rows"][7], report["rows"])] == [
        "baseline_beats_trivial", "beats_trivial",
    ]  # fmt: skip
    assert Expect(baseline_beats_trivial=False).verdicts(report["rows"][7], report["rows"]) == []
    assert doubts(report)


def test_a_result_that_no_target_took_is_a_miss(report):
    assert [one["passed"] for one in Expect().verdicts(None, report["rows"])] == [True, False]


def test_the_card_of_a_boards_pack_begins_with_it(report, tmp_path):
    report["rows"][7] |= over(-0.031, 0.042)
    atomic.write_json(tmp_path / "report.json", report)
    said = pack._reported(tmp_path)
    assert said["doubts"] == doubts(report) != [] and said["trivial"][0]["name"] == 'trivial: always "stop"'
    place = (Path(pack.__file__).parent / "card.md.j2").read_text().splitlines()
    assert place[2] == "{% for doubt in doubts %}"


def test_the_results_in_the_readme_hold_it_too(report):
    (line,) = [line for line in results._table([report]) if "trivial" in line]
    assert line.startswith('| `trivial: always "stop"` | 12.5 % | -82.60 |')
    assert line.count("|") == results._table([report])[2].count("|")


def test_rows_that_were_compared_with_nothing_are_not_judged(full_report):
    assert doubts(full_report) == [] and Expect().verdicts(full_report["rows"][7], full_report["rows"]) == []
