"""Rare classes count more, by the square root of how rare they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfmo_drive.tasks.segmentation.class_balance import class_weights


def test_a_class_of_a_hundredth_of_the_medians_pixels_counts_ten_times():
    np.testing.assert_allclose(class_weights(np.array([10, 1000, 100_000, 0])), [10, 1, 0.1, 0], rtol=1e-6)


def test_without_a_pixel_nothing_counts():
    assert not class_weights(np.zeros(3, np.int64)).any()


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=12))
def test_the_rarer_a_class_the_more_a_pixel_of_it_counts(pixels):
    pixels = np.array(pixels)
    weights = class_weights(pixels)
    there = np.flatnonzero(pixels)
    assert np.isfinite(weights).all() and (weights[there] > 0).all()
    assert (np.diff(weights[there][np.argsort(pixels[there], kind="stable")]) <= 0).all()
