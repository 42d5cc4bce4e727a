"""Computes 95 % intervals by a seeded bootstrap over groups, because frames of one track are not independent.

Percentile bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Whole groups are
resampled with replacement (cluster bootstrap: Davison and Hinkley, Bootstrap Methods (1997), section 3.8), so that a
mean is a ratio of two sums, both of which vary, and scores that are no means (mAP, mean IoU) are computed anew on every
resample.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfmo_drive.contracts import Scores

_CELLS = 1 << 20
"""The number of examples' weights held at once: 8 MB, whatever the number of examples."""


@dataclasses.dataclass(frozen=True, eq=False)
class Resampled:
    """Holds a score of all examples, and of each bootstrap resample of their groups.

    Two of one seed and the same groups have the same resamples, so that their difference is a paired one.
    """

    whole: float
    bootstrapped: np.ndarray
    """float64 [resamples]; [0] where the data is one single group, which says nothing of other groups."""

    def __sub__(self, other: Resampled) -> Resampled:
        return Resampled(self.whole - other.whole, self.bootstrapped - other.bootstrapped)

    def interval(self, level: float = 0.95) -> tuple[float | None, float | None]:
        """Returns (low, high), which always holds the score itself; (None, None) with one single group.

        Examples that are all equal give an interval of no width, which says that errors are rare, not that there are
        none. Resamples without anything to evaluate are left out. Raises ValueError where the score is not finite.
        """
        if not np.isfinite(self.whole):
            raise ValueError(f"interval needs a finite score, got {self.whole}.")
        if not len(self.bootstrapped):
            return None, None
        low, high = np.nanquantile(self.bootstrapped, [(1 - level) / 2, (1 + level) / 2])
        return min(float(low), self.whole), max(float(high), self.whole)

    def numbers(self, key: str) -> dict[str, float | None]:
        """Returns the numbers of a report's row: the score by `key`, and its interval by `key`_low and `key`_high."""
        low, high = self.interval()
        return {key: self.whole, f"{key}_low": low, f"{key}_high": high}


def resampled(scores: Scores, groups: np.ndarray, seed: int = 0, resamples: int = 2000) -> Resampled:
    """Returns the score of all examples and of `resamples` bootstrap resamples.

    Args:
        scores: Computes scores from weights of the examples (contracts.Scores).
        groups: int [n]; examples of equal groups are resampled together.
        seed: The seed of the resamples.
        resamples: The number of resamples.

    Raises:
        ValueError: There are no examples.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not len(groups):
        raise ValueError(f"resampled needs groups [n] of at least one example, got {groups.shape}.")
    whole = float(scores(np.ones((1, len(groups))))[0])
    unique, members = np.unique(groups, return_inverse=True)
    if len(unique) < 2 or not np.isfinite(whole):
        return Resampled(whole, np.zeros(0))
    counts = _resamples(len(unique), len(groups), seed, resamples)
    return Resampled(whole, np.concatenate([scores(some[:, members]) for some in counts]))


def _resamples(count: int, examples: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Yields how often each group occurs in some of the resamples, float64 [some, count], until all were there."""
    generator = np.random.default_rng([seed, count])
    rows = max(1, _CELLS // examples)
    for start in range(0, resamples, rows):
        sampled = generator.integers(0, count, (min(rows, resamples - start), count))
        flat = sampled + count * np.arange(len(sampled))[:, None]
        yield np.bincount(flat.ravel(), minlength=sampled.size).reshape(sampled.shape).astype(np.float64)
