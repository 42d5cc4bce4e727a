"""Decides what the times of a report's row mean, and is the only place that says faster, slower or sure.

A row's time and the float baseline's come from the same turns, and their ratio is computed here from these two, so that
no sentence can divide one minute's time by another's. Every sentence, table, picture and expectation asks this module.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tfmo_drive.base.given_file import is_number

Row = Mapping[str, Any]

SURE = 0.2
"""The spread up to which a time counts as a number; beyond it pages say "about", and nothing is met or missed."""
ALIKE = 0.02
"""The difference, as a share, below which two times are called equal; timings on a shared machine repeat no better."""
KEYS = frozenset({
    "latency_ms", "latency_spread", "latency_p95_ms", "latency_p95_spread",
    "reference_latency_ms", "speedup", "speedup_spread",
    "latency_ms_1", "reference_latency_ms_1", "speedup_1", "speedup_1_spread",
    "latency_ms_2", "reference_latency_ms_2", "speedup_2", "speedup_2_spread",
    "speedup_best", "speedup_best_spread",
})  # fmt: skip
"""The keys that measures.latency writes into a row."""


@dataclasses.dataclass(frozen=True)
class Speed:
    """Compares one row's time for an inference with another's."""

    ratio: float
    """The other's time divided by the row's; 2 means twice as fast."""
    spread: float
    """(largest - smallest) / median of the ratio over the repeats."""
    milliseconds: tuple[float, float] | None = None
    """The row's and the float baseline's times, of the same turns; None where two rows are compared through it."""
    threads: tuple[int | None, int | None] = (None, None)
    """The row's and the float baseline's numbers of threads."""
    steady: bool = True
    """Whether the milliseconds are sure too: a drift of the machine changes them and leaves the ratio as it is."""

    @property
    def sure(self) -> bool:
        """Says whether the ratio repeated closely enough to be called a number."""
        return sure(self.spread)

    @property
    def faster(self) -> bool:
        """Says whether the row is faster even in the worst repeat."""
        return self.ratio * (1 - self.spread) > 1 + ALIKE

    @property
    def slower(self) -> bool:
        """Says whether the row is slower even in the best repeat."""
        return self.ratio * (1 + self.spread) < 1 - ALIKE

    @property
    def open(self) -> bool:
        """Says whether the repeats differ too much to say faster, slower or neither."""
        return not (self.sure or self.faster or self.slower)

    def decides(self, bound: float) -> bool:
        """Says whether it is certain on which side of `bound`, a share of the float baseline's time, the row's lies.

        It is where the ratio is sure; a bound that means faster, or slower, must also hold in every repeat.
        """
        met = 1 / self.ratio <= bound + 1e-9
        if met and bound < 1 / (1 + ALIKE):
            return self.sure and self.faster
        return self.sure and (met or bound < 1 / (1 - ALIKE) or self.slower)


def sure(*spreads: float) -> bool:
    """Says whether times that repeat within `spreads` are numbers and not only guesses."""
    return max(spreads) <= SURE


def of(row: Row, threads: int | None = None) -> Speed | None:
    """Returns the row's speed against the float baseline, or None where they were not timed in turns.

    Args:
        row: A row of the report.
        threads: The number of threads of both, 1 or 2; None takes the row's own.
    """
    end = "" if threads is None else f"_{threads}"
    times = _positive(row, f"latency_ms{end}"), _positive(row, f"reference_latency_ms{end}")
    both = threads or row.get("threads")
    return _speed(row, times, f"speedup{end}_spread", (both, both))


def best(row: Row) -> Speed | None:
    """Returns the row's speed against the float baseline, each on the number of threads that suits it best, or None."""
    own, theirs = _fastest(row, "latency_ms"), _fastest(row, "reference_latency_ms")
    if own is None or theirs is None:
        return None
    return _speed(row, (own[0], theirs[0]), "speedup_best_spread", (own[1], theirs[1]))


def against(row: Row, other: Row) -> Speed | None:
    """Returns the row's speed against another row, through the float baseline, or None.

    Both were timed in turns with that baseline.
    """
    if other.get("reference"):
        return of(row)
    one, two = of(row), of(other)
    return Speed(one.ratio / two.ratio, one.spread + two.spread) if one and two else None


def steady(row: Row) -> bool:
    """Says whether the row's median milliseconds are sure."""
    return sure(_spread(row, "latency_spread", "speedup_spread"))


def steady_p95(row: Row) -> bool:
    """Says whether the row's 95th percentile is sure; a busy neighbour moves it long before the median."""
    return sure(spread(row))


def spread(row: Row) -> float:
    """Returns the largest spread of the row's times and their ratio over the repeats; 0 where none is known."""
    return _spread(row, "latency_spread", "speedup_spread", "latency_p95_spread")


def _spread(row: Row, *keys: str) -> float:
    return max(filter(is_number, map(row.get, keys)), default=0.0)


def _speed(row: Row, times: tuple, key: str, threads: tuple) -> Speed | None:
    repeated = row.get(key)
    if None in times or not is_number(repeated) or repeated < 0 or not 0 < times[1] / times[0] < math.inf:
        return None
    return Speed(times[1] / times[0], repeated, times, threads, sure(repeated) and steady(row))


def _fastest(row: Row, key: str) -> tuple[float, int | None] | None:
    """Returns the shortest milliseconds and their number of threads, or None."""
    known = [(_positive(row, f"{key}_{threads}"), threads) for threads in (1, 2)]
    known += [(_positive(row, key), row.get("threads"))]
    return min((pair for pair in known if pair[0] is not None), key=lambda pair: pair[0], default=None)


def _positive(row: Row, key: str) -> float | None:
    value = row.get(key)
    return value if is_number(value) and value > 0 else None
