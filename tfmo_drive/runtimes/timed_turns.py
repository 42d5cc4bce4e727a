"""Times single inferences in turns, so that a drifting clock or a busy neighbour meets all of them alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np

_TURNS = 4
"""The number of times the runs alternate within one repeat."""


@dataclasses.dataclass(frozen=True)
class Latency:
    """Holds the times of single inferences of one run, in milliseconds."""

    median_ms: float
    p95_ms: float
    count: int
    repeats_ms: tuple[float, ...]
    """The median of each repeat alone."""
    repeats_p95_ms: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Returns (largest - smallest) of the repeats' medians / the median of all."""
        return (max(self.repeats_ms) - min(self.repeats_ms)) / self.median_ms

    @property
    def p95_spread(self) -> float:
        """Returns (largest - smallest) of the repeats' 95th percentiles / that of all.

        A busy neighbour shows here first.
        """
        return (max(self.repeats_p95_ms) - min(self.repeats_p95_ms)) / self.p95_ms


def in_turns(
    runs: Sequence[Callable[[], None]], seconds: float = 2.0, minimum: int = 200, repeats: int = 5
) -> tuple[Latency, ...]:
    """Times the runs in alternating blocks, about `seconds` in all and never more than about twice that.

    Args:
        runs: Functions that run one inference each.
        seconds: The time for all of them together; each gets an equal share.
        minimum: The number of inferences of each, where twice its share of the time allows that.
        repeats: The number of repeats, whose differences give the spread.

    Returns:
        The Latency of each run, in their order.
    """
    share = seconds / len(runs)
    counts = [_count(_warm_up(run, share / 10), share, minimum) for run in runs]
    turns = min(_TURNS, max(1, min(counts) // repeats))
    blocks = [max(1, count // (repeats * turns)) for count in counts]
    samples: list[list[np.ndarray]] = [[] for _ in runs]
    for _ in range(repeats):
        repeat = [[_times(run, count) for run, count in zip(runs, blocks, strict=True)] for _ in range(turns)]
        for kept, times in zip(samples, zip(*repeat, strict=True), strict=True):
            kept.append(np.concatenate(times))
    return tuple(_latency(kept) for kept in samples)


def ratio(slow: Latency, fast: Latency) -> tuple[float, float]:
    """Returns how many times `fast` is faster by the medians, and (largest - smallest) of the repeats' ratios / that.

    Both were timed in the same turns.
    """
    times = slow.median_ms / fast.median_ms
    repeats = [times, *(a / b for a, b in zip(slow.repeats_ms, fast.repeats_ms, strict=True))]
    return times, (max(repeats) - min(repeats)) / times


def _count(once_s: float, share_s: float, minimum: int) -> int:
    return max(1, int(max(share_s / once_s, min(minimum, 2 * share_s / once_s))))


def _warm_up(run: Callable[[], None], seconds: float) -> float:
    """Returns the seconds of one run, the median of what fits; at least three run, since the first allocates."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.extend(_times(run, 1))
    return max(float(np.median(times)) / 1000, 1e-7)


def _times(run: Callable[[], None], count: int) -> np.ndarray:
    """Returns the milliseconds of `count` runs, each timed alone."""
    clock, marks = time.perf_counter_ns, []
    for _ in range(count):
        start = clock()
        run()
        marks.append(clock() - start)
    return np.maximum(np.array(marks, np.float64), 1.0) / 1e6  # a clock's tick may be longer than a run


def _latency(repeats: list[np.ndarray]) -> Latency:
    times = np.concatenate(repeats)
    medians, p95s = (tuple(float(np.percentile(one, percent)) for one in repeats) for percent in (50, 95))
    return Latency(float(np.median(times)), float(np.percentile(times, 95)), len(times), medians, p95s)
