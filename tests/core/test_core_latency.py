"""Latency: ratios are right, time is bounded, drift cancels. Runs on a clock of its own, not on this machine's."""

from __future__ import annotations

import types

import pytest

from tfmo_drive.core import latency


@pytest.fixture
def clock(monkeypatch):
    """A clock that only runs when a run says so; `drift` slows everything down with time."""
    state = types.SimpleNamespace(now=0.0, drift=0.0)
    fake = types.SimpleNamespace(perf_counter=lambda: state.now, perf_counter_ns=lambda: round(state.now * 1e9))
    monkeypatch.setattr(latency, "time", fake)

    def runs(milliseconds):
        def run():
            state.now += milliseconds / 1000 * (1 + state.drift * state.now)

        return run

    state.runs = runs
    return state


def test_median_tail_and_ratio_are_what_the_clock_says(clock):
    pair = latency.interleaved(clock.runs(6.0), clock.runs(1.0))
    assert pair.a.median_ms == pytest.approx(6.0) and pair.b.p95_ms == pytest.approx(1.0)
    assert pair.ratio == pytest.approx(6.0) and pair.spread == pytest.approx(0.0, abs=1e-6)
    assert pair.a.count >= 150 and pair.b.count >= 900


@pytest.mark.parametrize(("a", "b"), [(6.0, 1.0), (6.0, 60.0), (0.07, 0.07), (60.0, 0.1)])
def test_time_is_bounded_by_seconds(clock, a, b):
    latency.interleaved(clock.runs(a), clock.runs(b), seconds=2.0)
    assert clock.now <= 5.0


def test_one_very_slow_run_still_gives_every_repeat_a_sample(clock):
    pair = latency.interleaved(clock.runs(1.0), clock.runs(3000.0), seconds=2.0)
    assert pair.b.count == 5 and pair.ratio == pytest.approx(1 / 3000)


def test_drift_cancels_in_the_ratio(clock):
    clock.drift = 0.2  # 40 % slower after two seconds
    pair = latency.interleaved(clock.runs(4.0), clock.runs(1.0))
    assert pair.ratio == pytest.approx(4.0, rel=0.05)


def test_single_timing_counts_what_fits(clock):
    alone = latency.timed(clock.runs(2.0), seconds=1.0)
    assert alone.median_ms == pytest.approx(2.0) and alone.count >= 200
    assert clock.now <= 2.5


def test_outliers_move_the_tail_and_not_the_median(clock):
    calls = []

    def sometimes_slow():
        calls.append(1)
        clock.now += 0.010 if len(calls) % 10 == 0 else 0.001

    alone = latency.timed(sometimes_slow)
    assert alone.median_ms == pytest.approx(1.0) and alone.p95_ms == pytest.approx(10.0)
