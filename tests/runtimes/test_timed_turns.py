"""Latency: ratios are those of the times beside them, time is bounded, drift cancels. On a clock of its own, not this
machine's."""

from __future__ import annotations

import types

import pytest

from tfmo_drive.runtimes import timed_turns


@pytest.fixture
def clock(monkeypatch):
    """A clock that only runs when a run says so; `drift` slows everything down with time."""
    state = types.SimpleNamespace(now=0.0, drift=0.0)
    fake = types.SimpleNamespace(perf_counter=lambda: state.now, perf_counter_ns=lambda: round(state.now * 1e9))
    monkeypatch.setattr(timed_turns, "time", fake)

    def runs(milliseconds):
        def run():
            state.now += milliseconds / 1000 * (1 + state.drift * state.now)

        return run

    state.runs = runs
    return state


def test_median_tail_and_ratio_are_what_the_clock_says(clock):
    slow, fast = timed_turns.in_turns((clock.runs(6.0), clock.runs(1.0)))
    assert slow.median_ms == pytest.approx(6.0) and fast.p95_ms == pytest.approx(1.0)
    assert timed_turns.ratio(slow, fast) == (pytest.approx(6.0), pytest.approx(0.0, abs=1e-6))
    assert slow.count >= 150 and fast.count >= 900 and fast.spread == pytest.approx(0.0, abs=1e-6)


def test_the_ratio_is_exactly_that_of_the_two_times_and_its_spread_that_of_the_repeats():
    slow = timed_turns.Latency(6.0, 8.0, 9, repeats_ms=(4.0, 6.0, 9.0), repeats_p95_ms=(6.0, 8.0, 10.0))
    fast = timed_turns.Latency(2.0, 2.0, 9, (2.0, 2.0, 2.0), (2.0, 2.0, 2.0))
    assert timed_turns.ratio(slow, fast) == (3.0, (4.5 - 2.0) / 3.0)
    assert (slow.spread, slow.p95_spread) == (5 / 6, 0.5)
    outside = timed_turns.Latency(6.0, 8.0, 9, repeats_ms=(4.0, 4.2, 4.4), repeats_p95_ms=(6.0, 8.0, 10.0))
    assert timed_turns.ratio(outside, fast) == (3.0, (3.0 - 2.0) / 3.0)  # the ratio of all lies in its own spread


def test_as_many_runs_as_one_likes_take_turns(clock):
    found = timed_turns.in_turns([clock.runs(ms) for ms in (8.0, 5.0, 2.0, 1.0)], seconds=4.0)
    assert [one.median_ms for one in found] == pytest.approx([8.0, 5.0, 2.0, 1.0]) and clock.now <= 8.5


@pytest.mark.parametrize(("a", "b"), [(6.0, 1.0), (6.0, 60.0), (0.07, 0.07), (60.0, 0.1)])
def test_time_is_bounded_by_seconds(clock, a, b):
    timed_turns.in_turns((clock.runs(a), clock.runs(b)), seconds=2.0)
    assert clock.now <= 5.0


def test_one_very_slow_run_still_gives_every_repeat_a_sample(clock):
    one, slow = timed_turns.in_turns((clock.runs(1.0), clock.runs(3000.0)), seconds=2.0)
    assert slow.count == 5 and timed_turns.ratio(one, slow)[0] == pytest.approx(1 / 3000)


def test_drift_cancels_in_the_ratio(clock):
    clock.drift = 0.2  # 40 % slower after two seconds
    slow, fast = timed_turns.in_turns((clock.runs(4.0), clock.runs(1.0)))
    times, spread = timed_turns.ratio(slow, fast)
    assert times == pytest.approx(4.0, rel=0.05) and spread < 0.05 and slow.spread > 0.1


def test_single_timing_counts_what_fits(clock):
    (alone,) = timed_turns.in_turns([clock.runs(2.0)], seconds=1.0)
    assert alone.median_ms == pytest.approx(2.0) and alone.count >= 200
    assert clock.now <= 2.5


def test_outliers_move_the_tail_and_not_the_median(clock):
    calls = []

    def sometimes_slow():
        calls.append(1)
        clock.now += 0.010 if len(calls) % 10 == 0 else 0.001

    (alone,) = timed_turns.in_turns([sometimes_slow])
    assert alone.median_ms == pytest.approx(1.0) and alone.p95_ms == pytest.approx(10.0)
