"""The one judge of faster, slower and sure: every answer comes from one row's pair of times and how they repeated."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfmo_drive.base import speed
from tfmo_drive.base.speed import Speed

ROW = {"threads": 2, "latency_ms": 2.0, "reference_latency_ms": 8.0, "speedup_spread": 0.1, "latency_spread": 0.1}


@pytest.mark.parametrize(
    ("times", "spread", "said"),
    [
        (4.0, 0.1, "sure faster"), (4.0, 0.5, "faster"), (4.0, 0.8, "open"), (280.0, 1.8, "open"), (1.1, 0.2, "sure"),
        (1.01, 0.0, "sure"), (0.5, 0.1, "sure slower"), (0.5, 0.5, "slower"), (0.5, 1.0, "open"), (0.9, 0.2, "sure"),
    ],
)  # fmt: skip
def test_what_a_ratio_and_its_spread_say(times, spread, said):
    found = Speed(times, spread)
    assert [word for word in ("sure", "faster", "slower", "open") if getattr(found, word)] == said.split()


def test_the_ratio_is_that_of_the_two_times_whatever_else_the_row_says():
    assert speed.of(ROW | {"speedup": 99.0}).ratio == 4.0
    assert speed.of(ROW).milliseconds == (2.0, 8.0) and speed.of(ROW).threads == (2, 2)


@pytest.mark.parametrize(
    "change",
    [{"latency_ms": None}, {"reference_latency_ms": None}, {"speedup_spread": None}, {"latency_ms": 0.0},
     {"reference_latency_ms": math.nan}, {"reference_latency_ms": "8"}, {"speedup_spread": -1.0}],
    ids=str,
)  # fmt: skip
def test_what_was_not_timed_in_turns_has_no_ratio(change):
    assert speed.of(ROW | change) is None
    assert speed.against(ROW | change, ROW) is None and speed.against(ROW, ROW | change) is None


def test_best_against_best_takes_each_where_it_is_fastest():
    row = ROW | {
        "latency_ms_1": 1.0,
        "latency_ms_2": 2.0,
        "reference_latency_ms_1": 10.0,
        "reference_latency_ms_2": 8.0,
    }
    found = speed.best(row | {"speedup_best_spread": 0.05})
    assert (found.ratio, found.milliseconds, found.threads) == (8.0, (1.0, 8.0), (1, 2))
    assert speed.best(row) is None


def test_of_two_rows_the_spreads_add_up_and_against_the_baseline_it_is_the_rows_own():
    other = ROW | {"latency_ms": 4.0, "speedup_spread": 0.15}
    found = speed.against(ROW, other)
    assert (found.ratio, found.spread, found.milliseconds) == (2.0, 0.25, None)
    assert speed.against(ROW, other | {"reference": True}) == speed.of(ROW)


def test_a_drift_leaves_the_ratio_sure_and_not_the_milliseconds():
    found = speed.of(ROW | {"latency_spread": 0.5})
    assert found.sure and not found.steady and not speed.steady(ROW | {"latency_spread": 0.5})
    assert speed.steady(ROW) and speed.steady_p95(ROW)


def test_a_tail_that_does_not_repeat_leaves_the_median_sure():
    row = ROW | {"latency_p95_spread": 0.5}
    assert speed.steady(row) and not speed.steady_p95(row) and speed.spread(row) == 0.5


@given(st.floats(1e-3, 1e3), st.floats(0, 3), st.floats(0, 5))
def test_a_bound_is_decided_only_where_that_says_no_more_than_the_repeats_do(times, spread, bound):
    found = Speed(times, spread)
    if not found.decides(bound):
        return
    assert found.sure
    if 1 / times <= bound <= 0.98:
        assert found.faster
    if 1 / times > bound + 1e-9 and bound >= 1.03:
        assert found.slower


def test_a_sure_ratio_decides_every_bound_but_those_that_its_repeats_contradict():
    assert all(Speed(4.0, 0.1).decides(bound) for bound in (0.1, 0.25, 0.26, 1.0, 2.0))
    assert not Speed(1.1, 0.15).decides(0.95) and Speed(1.1, 0.15).decides(0.5)
    assert not Speed(4.0, 0.21).decides(0.5)
