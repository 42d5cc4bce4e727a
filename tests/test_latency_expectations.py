"""What is expected of latency is met, missed, or on a busy machine neither: then it is measured again, for a while."""

from __future__ import annotations

import itertools
import types
from pathlib import Path

import numpy as np
import pytest

from tfmo_drive.contracts import Artifact
from tfmo_drive.expect import Expect, exit_code
from tfmo_drive.experiment import Experiment
from tfmo_drive.flow import flow
from tfmo_drive.flow.files import Files
from tfmo_drive.flow.flow import Run
from tfmo_drive.measures.latency import Latency
from tfmo_drive.runtimes import timed_turns
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.classification import Classification

CONTEXT = types.SimpleNamespace(calibration=lambda count: np.zeros((count, 1)))


class Clocked(Artifact):
    """A runtime whose inferences take `milliseconds` on the fake clock, three times that in every other stretch of 97
    while the machine is busy."""

    name = path = runtime = "clocked"
    threads = 2

    def __init__(self, clock, milliseconds: float):
        self.clock, self.milliseconds, self.calls = clock, milliseconds, itertools.count()

    def runner(self, example, threads=None):
        def run():
            slow = 3 if self.clock.busy and (next(self.calls) // 97) % 2 else 1
            self.clock.now += slow * self.milliseconds / 1000

        return run

    def predict(self, batch):
        raise NotImplementedError

    weights = macs = predict


@pytest.fixture
def clock(monkeypatch):
    """The clock of runtimes.timed_turns, which only runs with Clocked; `busy` until it has struck `calm`."""

    class Clock(types.SimpleNamespace):
        @property
        def busy(self):
            return self.now < self.calm

    state = Clock(now=0.0, calm=0.0)
    fake = types.SimpleNamespace(perf_counter=lambda: state.now, perf_counter_ns=lambda: round(state.now * 1e9))
    monkeypatch.setattr(timed_turns, "time", fake)
    return state


def expected(clock, **bounds) -> tuple[dict, list[dict]]:
    """The judged row and the verdicts of an experiment whose int8 file takes 1 ms where float takes 4."""
    measure = Latency(seconds=1.0)
    artifacts = {"baseline/litert_float32": Clocked(clock, 4.0), "baseline/litert_int8": Clocked(clock, 1.0)}
    first = artifacts["baseline/litert_float32"]
    rows = [{"name": name, **measure(artifact, first, CONTEXT)} for name, artifact in artifacts.items()]
    targets = (LiteRTFloat32(), LiteRTInt8())
    whole = Experiment(task=Classification(), targets=targets, measures=(measure,), expect=Expect(**bounds))
    run = Run(name="tried", experiment=whole, workdir=Path("unused"))
    files = Files(CONTEXT, {}, Path("unused"), artifacts=artifacts, rows=rows)
    return rows[1], run._expected(files)


@pytest.mark.parametrize(("bound", "code"), [(0.3, 0), (0.2, 1)])
def test_a_calm_machine_meets_or_misses_it_at_once(clock, bound, code):
    row, verdicts = expected(clock, latency_ratio=bound)
    assert row["speedup"] == pytest.approx(4) and row["speedup_spread"] < 0.01 and clock.now < 8
    assert verdicts[0]["value"] == pytest.approx(0.25) and exit_code(verdicts) == code


@pytest.mark.parametrize(("bound", "code"), [({"latency_ratio": 0.3}, 0), ({"latency_p95_ms": 0.9}, 1)], ids=str)
def test_on_a_busy_machine_it_is_measured_again_until_that_is_calm(clock, bound, code):
    clock.calm = 30.0
    row, verdicts = expected(clock, **bound)
    assert 30 < clock.now < 40 and exit_code(verdicts) == code
    assert row["speedup"] == row["reference_latency_ms"] / row["latency_ms"] == pytest.approx(4, rel=0.2)


def test_a_machine_that_stays_busy_neither_meets_nor_misses_it(clock, monkeypatch):
    monkeypatch.setattr(flow, "PATIENCE_S", 0.3)
    clock.calm = float("inf")
    row, verdicts = expected(clock, latency_ratio=0.3, latency_p95_ms=100)
    assert [one["passed"] for one in verdicts] == [None, None] and exit_code(verdicts) == 3
    assert row["speedup"] == row["reference_latency_ms"] / row["latency_ms"]
    assert exit_code([*verdicts, {"passed": True}]) == 3 and exit_code([*verdicts, {"passed": False}]) == 1


def test_it_is_not_measured_again_where_nothing_is_expected_of_it(clock):
    clock.calm = float("inf")
    _, verdicts = expected(clock)
    assert verdicts == [] and clock.now < 12
