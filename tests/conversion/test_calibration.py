"""Ranges by hand: percentiles, and the range of least squared error against a search over the values themselves."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.conversion.calibration import Histogram


def histogram(values: np.ndarray) -> Histogram:
    found = Histogram(float(values.min()), float(values.max()))
    for part in np.array_split(values, 3):
        found.add(part)
    return found


def test_a_percentile_leaves_out_the_outermost_values_on_either_side():
    values = np.concatenate([np.full(1, -100.0), np.linspace(-1, 1, 9998), np.full(1, 50.0)])
    low, high = histogram(values).percentile(99.98)
    assert low == pytest.approx(-1, abs=0.1) and high == pytest.approx(1, abs=0.1)
    assert histogram(values).percentile(100) == (-100, 50)


def test_zeros_count_among_the_values():
    values = np.concatenate([np.zeros(9900), np.linspace(0.01, 10, 100)])
    assert histogram(values).percentile(99.5)[1] == pytest.approx(5, abs=0.1)


def test_values_outside_the_ends_count_as_the_ends():
    found = Histogram(0.0, 1.0)
    found.add(np.float32([-0.5, 0.0, 0.5, 1.5]))
    assert (found.counts[0], found.counts[-1], found.counts.sum(), found.zeros) == (1, 1, 3, 1)


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    zero = np.round(-low / step)
    rounded = (np.clip(np.round(values / step) + zero, 0, 255) - zero) * step
    return float(np.square(values - rounded).sum())


@pytest.mark.parametrize("relu", [False, True])
def test_the_range_of_least_error_is_that_of_the_values_themselves(relu):
    values = np.append(np.random.default_rng(0).normal(size=200_000), [8, -8])
    values = np.maximum(values, 0) if relu else values
    low, high = histogram(values).least_error()
    best = min(
        squared_error(values, values.min() * a, values.max() * b)
        for a in ((1,) if relu else np.arange(1, 33) / 32) for b in np.arange(1, 33) / 32
    )  # fmt: skip
    assert squared_error(values, low, high) < 1.05 * best < 0.95 * squared_error(values, values.min(), values.max())


def test_nothing_is_clipped_where_values_are_spread_evenly():
    assert histogram(np.linspace(-3, 5, 10_000)).least_error() == (-3, 5)
