"""Whatever was measured, everything that one report says of speed agrees: sentences, tiles, tables, expectations."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base import speed
from tfmo_drive.expect import Expect, exit_code
from tfmo_drive.report import gains, timing
from tfmo_drive.report.rendering.markdown import terminal
from tfmo_drive.report.sections import document
from tfmo_drive.report.verdict import MET, MISSED, outcome

NUMBER = r"(about )?([\d.]+)"
CLAIM = re.compile(
    rf"(?:{NUMBER}x (faster|slower)|(not surely faster|not surely slower|neither faster nor slower) \({NUMBER}x\)): "
    rf"{NUMBER} ms against {NUMBER} ms"
)
CELL = re.compile(rf"{NUMBER}x: {NUMBER} ms against {NUMBER} ms")
NAMES = ("baseline/litert_float32", "baseline/litert_int8", "tried/litert_int8")
TIMES = st.floats(-3, 3).map(lambda power: 10**power)
RATIOS = st.one_of(st.sampled_from((0.1, 0.5, 0.9, 1.0, 1.01, 1.1, 1.15, 4.0, 280.0)), st.floats(0.7, 1.5), TIMES)
SPREADS = st.one_of(st.sampled_from((0.0, 0.04, 0.1, 0.15, 0.2, 0.21, 0.5, 1.8)), st.floats(0, 0.2), st.floats(0, 4))


@st.composite
def rows(draw) -> list[dict]:
    """The float baseline, its plain conversion and a recipe's row, timed in turns on one thread and on two, on any
    machine."""
    found = []
    for name in NAMES:
        stage, target = name.split("/")
        row = {"name": name, "stage": stage, "target": target, "reference": not found, "score": 0.9, "examples": 100,
               "score_delta": 0.0, "size_bytes": 100 if found else 400, "gzip_bytes": 90, "parameters": 100,
               "nonzero_parameters": 100, "macs": 100, "runtime": "litert xnnpack", "threads": 2}  # fmt: skip
        for end in ("_1", "_2"):
            base = draw(TIMES)
            own = base / draw(RATIOS) if found else base
            row |= {f"latency_ms{end}": own, f"reference_latency_ms{end}": base, f"speedup{end}": base / own,
                    f"speedup{end}_spread": draw(SPREADS) if found else 0.0}  # fmt: skip
        row |= {key.replace("_2", ""): row[key] for key in [*row] if "_2" in key}
        best = [min(row[f"{key}{end}"] for end in ("_1", "_2")) for key in ("reference_latency_ms", "latency_ms")]
        row |= {"speedup_best": best[0] / best[1], "speedup_best_spread": draw(SPREADS) if found else 0.0}
        found.append(row | {"latency_p95_ms": 1.2 * row["latency_ms"], "latency_spread": draw(SPREADS),
                            "latency_p95_spread": draw(SPREADS)})  # fmt: skip
    return found


@st.composite
def reports(draw) -> dict:
    made = draw(rows())
    around = draw(st.sampled_from((0.5, 0.98, 1.02, 2.0))) / speed.of(made[2]).ratio
    bounds = {"latency_ratio": min(around, 100), "latency_p95_ms": draw(TIMES), "size_ratio": 0.3}
    verdicts = Expect(**bounds).verdicts(made[2], made)
    return {"experiment": "tried", "environment": {}, "rows": made, "expect": verdicts}


def same(stated: float, exact: float) -> bool:
    """As far as two digits can tell, of a ratio and of both its times."""
    return exact / 1.17 < stated < exact * 1.17


def check_claim(said: str, found: speed.Speed) -> None:
    """The only claim in `said` is what the judge found, divides to what it says, and is as sure."""
    parts = CLAIM.search(said).groups()
    about, times, way = (parts[0], parts[1], parts[2]) if parts[2] else (parts[4], parts[5], parts[3])
    own, theirs = float(parts[7]), float(parts[9])
    assert (way == "faster", way == "slower") == (found.faster, found.slower)
    assert same(1 / float(times) if way.endswith("slower") and way[0] != "n" or way == "not surely slower"
                else float(times), theirs / own)  # fmt: skip
    assert bool(about) == (not found.sure)
    assert [bool(parts[6]), bool(parts[8])] == [not found.steady] * 2
    if not found.steady:
        assert all(len(number.replace(".", "").strip("0")) <= 2 for number in (parts[7], parts[9])), said


@settings(max_examples=200, deadline=None)
@given(reports())
def test_everything_that_a_report_says_of_speed_agrees(report):
    page, row = document(report), report["rows"][2]
    found, tables = speed.of(row), {section.title: section.table for section in page.sections if section.table}
    headline = next(sentence for sentence in page.verdict if sentence.startswith("One inference"))
    check_claim(headline, found)
    if "suits" in headline:
        check_claim(headline.split("suits")[1], speed.best(row))

    (tile,) = [tile for tile in page.tiles if "ms against" in tile.note]
    assert tile.value in headline and tile.label in headline and tile.note in headline

    lines = {line[0].text: line for line in tables["Rows"].rows}
    latency, faster = (lines[row["name"]][tables["Rows"].columns.index(name)] for name in ("Latency", "Faster"))
    assert latency.text == tile.note.split(" against ")[0] or not speed.steady(row)
    assert faster.text.startswith("about ") == (not found.sure)
    assert latency.text.startswith("about ") == (not speed.steady(row))
    short, shown = f"{latency.text} {latency.note}".replace(" ms", ""), terminal(report)
    assert short.replace("about ", "~") in shown and faster.text.replace("about ", "~") in shown
    assert ("~ about: " in shown) == ("~" in shown)

    words = {line[0].text: line[1].text for line in tables["Really smaller, really faster?"].rows}[row["name"]]
    assert words.startswith(("both", "latency only")) == found.faster
    assert ("not decided" in words) == found.open and f"{faster.text} in time" in words
    if found.open or found.faster:
        assert "does not show it" not in gains.reason(row, report["rows"][0])

    speeds = {line[0].text: line for line in tables["Speed"].rows}[row["name"]]
    assert speeds[3].text.startswith(f"{faster.text}: ") and tile.note in speeds[3].text
    for cell in speeds[2:]:
        times, own, theirs = (float(CELL.match(cell.text)[place]) for place in (2, 4, 6))
        assert same(times, theirs / own)

    judged = {one["name"]: outcome(one) for one in report["expect"]}
    shown = {line[1].text: line[0].text for line in tables["Expectations"].rows}
    assert judged == shown and judged["size_ratio"] == MET
    ratio = next(one for one in report["expect"] if one["name"] == "latency_ratio")
    assert ratio["value"] == 1 / found.ratio
    if judged["latency_ratio"] in (MET, MISSED):
        assert found.sure and (judged["latency_ratio"] == MET) == (ratio["value"] <= ratio["bound"] + 1e-9)
        assert found.faster or judged["latency_ratio"] == MISSED or ratio["bound"] > 0.98
    else:
        assert timing.BUSY in " ".join(page.verdict) and page.tone != "good"
    assert (judged["latency_p95_ms"] in (MET, MISSED)) == speed.steady_p95(row)
    assert speeds[1].text.startswith("about ") == (not speed.steady_p95(row))
    said = set(judged.values())
    assert exit_code(report["expect"]) == (1 if MISSED in said else 3 if timing.BUSY in said else 0)


def test_the_contradictions_of_old_cannot_be_said(full_report):
    """1.08 ms against the first row's 4.03 ms of another minute was called 5.7 times faster."""
    first, row = full_report["rows"][0], full_report["rows"][7]
    first |= {"latency_ms": 4.03, "reference_latency_ms": 4.03}
    row |= {"latency_ms": 1.08, "reference_latency_ms": 6.16, "speedup": 5.7}
    assert "5.7x faster: 1.08 ms against 6.16 ms" in timing.sentence(row)
    page = document(full_report)
    assert "4.03" not in " ".join((*page.verdict, *(tile.note for tile in page.tiles)))


@pytest.mark.parametrize(("spread", "tone"), [(0.1, "good"), (1.8, "")])
def test_a_busy_machine_meets_no_latency_expectation(full_report, spread, tone):
    row = full_report["rows"][7]
    row |= {"speedup_spread": spread, "speedup_2_spread": spread}
    full_report["expect"] = Expect(latency_ratio=0.5).verdicts(row, full_report["rows"])
    page = document(full_report)
    assert page.tone == tone and (timing.BUSY in " ".join(page.verdict)) == (not tone)
    assert exit_code(full_report["expect"]) == (0 if tone else 3)


def test_each_on_what_suits_it_best_is_said_where_that_is_another_number_of_threads(full_report):
    row = full_report["rows"][7]
    assert "suits it best" not in timing.sentence(row)
    row |= {"latency_ms_1": 0.8}
    said = timing.sentence(row)
    assert (
        "Each on what suits it best, 1 thread against 2 threads, it is 6.2x faster: 0.800 ms against 4.98 ms." in said
    )
