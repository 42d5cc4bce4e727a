"""95 % intervals by a seeded bootstrap over groups, because frames of one track are not independent.

Percentile bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Whole groups are drawn
with replacement (cluster bootstrap: Davison and Hinkley, Bootstrap Methods (1997), section 3.8), so the mean is a ratio
of two sums, both of which vary.
"""

from __future__ import annotations

import dataclasses

import numpy as np

_CELLS = 1 << 20
"""Group draws held at once: 8 MB of indices, whatever the number of groups."""


@dataclasses.dataclass(frozen=True)
class Delta:
    """A difference of two means over the same examples; no bounds where the data is one single group."""

    delta: float
    low: float | None
    high: float | None


def interval(
    values: np.ndarray, groups: np.ndarray, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> tuple[float | None, float | None]:
    """(low, high) of the mean of `values` (float [n]), examples with equal `groups` (int [n]) being drawn together.

    The interval always holds the mean itself. With one single group nothing can be said of other groups: (None, None).
    Examples that are all equal give an interval of no width, which says that errors are rare, not that there are none.
    Raises ValueError on empty, unequal or non-finite arrays.
    """
    values, groups = np.asarray(values, np.float64), np.asarray(groups)
    if values.ndim != 1 or values.shape != groups.shape or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"interval needs finite values [n] and groups [n], got {values.shape} and {groups.shape}.")
    _, members = np.unique(groups, return_inverse=True)
    counts = np.bincount(members).astype(np.float64)
    if len(counts) < 2:
        return None, None
    means = _resampled(np.bincount(members, weights=values), counts, seed, resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean = float(values.mean())
    return min(float(low), mean), max(float(high), mean)


def paired(
    values: np.ndarray, reference_values: np.ndarray, groups: np.ndarray, seed: int = 0, resamples: int = 2000
) -> Delta:
    """Mean of `values - reference_values` (float [n] each, the same examples) with its interval, as in `interval`."""
    values, reference_values = np.asarray(values, np.float64), np.asarray(reference_values, np.float64)
    if values.shape != reference_values.shape:
        raise ValueError(f"paired needs the same examples twice, got {values.shape} and {reference_values.shape}.")
    differences = values - reference_values
    return Delta(float(differences.mean()), *interval(differences, groups, seed, resamples))


def _resampled(sums: np.ndarray, counts: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of `resamples` draws of all groups with replacement: float64 [resamples]."""
    generator = np.random.default_rng([seed, len(sums)])
    rows = max(1, _CELLS // len(sums))
    means = []
    for start in range(0, resamples, rows):
        drawn = generator.integers(0, len(sums), (min(rows, resamples - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)
