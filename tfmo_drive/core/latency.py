"""Latency of one inference, and of two against each other so that a drifting clock or a busy neighbour cancels."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

_TURNS = 4
"""How often the two alternate within one repeat."""


@dataclasses.dataclass(frozen=True)
class Latency:
    """Of single inferences, in milliseconds."""

    median_ms: float
    p95_ms: float
    count: int


@dataclasses.dataclass(frozen=True)
class LatencyPair:
    a: Latency
    b: Latency
    ratio: float
    """Median over the repeats of (median of a / median of b): how many times faster b is."""
    spread: float
    """(largest - smallest) / median of the repeats' ratios."""


def timed(run: Callable[[], None], seconds: float = 1.0, minimum: int = 200) -> Latency:
    """Time `run` after a warm-up for about `seconds`, never more than twice that."""
    return _latency(_times(run, _count(_warm_up(run, seconds / 10), seconds / 2, minimum)))


def interleaved(
    run_a: Callable[[], None],
    run_b: Callable[[], None],
    seconds: float = 2.0,
    minimum: int = 200,
    repeats: int = 5,
) -> LatencyPair:
    """Time two runs in alternating blocks, about `seconds` in all and never more than about twice that.

    Each gets half of the time; `minimum` inferences where twice its half allows that.
    """
    runs = (run_a, run_b)
    counts = [_count(_warm_up(run, seconds / 20), seconds / 2, minimum) for run in runs]
    turns = min(_TURNS, max(1, min(counts) // repeats))
    blocks = [max(1, count // (repeats * turns)) for count in counts]
    samples: tuple[list, list] = ([], [])
    for _ in range(repeats):
        repeat = [np.concatenate(x) for x in zip(*(_turn(runs, blocks) for _ in range(turns)), strict=True)]
        for kept, times in zip(samples, repeat, strict=True):
            kept.append(times)
    ratios = [np.median(a) / np.median(b) for a, b in zip(*samples, strict=True)]
    ratio = float(np.median(ratios))
    latencies = (_latency(np.concatenate(times)) for times in samples)
    return LatencyPair(*latencies, ratio, float((max(ratios) - min(ratios)) / ratio))


def _turn(runs: tuple[Callable, Callable], blocks: list[int]) -> list[np.ndarray]:
    return [_times(run, count) for run, count in zip(runs, blocks, strict=True)]


def _count(once_s: float, share_s: float, minimum: int) -> int:
    return max(1, int(max(share_s / once_s, min(minimum, 2 * share_s / once_s))))


def _warm_up(run: Callable[[], None], seconds: float) -> float:
    """Seconds of one run, the median of what fits; at least three, since the first allocates."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.extend(_times(run, 1))
    return max(float(np.median(times)) / 1000, 1e-7)


def _times(run: Callable[[], None], count: int) -> np.ndarray:
    """Milliseconds of `count` runs, each timed alone."""
    clock, marks = time.perf_counter_ns, []
    for _ in range(count):
        start = clock()
        run()
        marks.append(clock() - start)
    return np.array(marks, np.float64) / 1e6


def _latency(times: np.ndarray) -> Latency:
    return Latency(float(np.median(times)), float(np.percentile(times, 95)), len(times))
