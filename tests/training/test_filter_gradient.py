"""Filter gradients by a matrix product: TensorFlow's own numbers, only where maps are tiny, only inside `fast()`."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import tf
from tfmo_drive.training import filter_gradient


def gradients(size: int, kernel: int, stride: int, padding: str, dilation: int = 1, groups: int = 1) -> list:
    """Of the sum of squared outputs, by input and by filter."""
    generator = np.random.default_rng(0)
    inputs = tf.constant(generator.normal(size=(3, size, size, 4)), tf.float32)
    weights = tf.constant(generator.normal(size=(kernel, kernel, 4 // groups, 6)), tf.float32)

    @tf.function
    def both():
        with tf.GradientTape() as tape:
            tape.watch((inputs, weights))
            loss = tf.reduce_sum(tf.nn.conv2d(inputs, weights, stride, padding, dilations=dilation) ** 2)
        return tape.gradient(loss, (inputs, weights))

    return [value.numpy() for value in both()]


def products(*case, **more) -> tuple[list, int]:
    """The gradients inside `fast()`, and how many of them were matrix products."""
    with filter_gradient.fast(), mock.patch.object(filter_gradient, "_rows", wraps=filter_gradient._rows) as rows:
        return gradients(*case, **more), rows.call_count // 2


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 2), st.sampled_from(["SAME", "VALID"]))
def test_gradients_are_tensorflows(size, kernel, stride, padding):
    kernel = min(kernel, size)
    found, count = products(size, kernel, stride, padding)
    places = -(-size // stride) if padding == "SAME" else (size - kernel) // stride + 1
    assert count == (places**2 <= filter_gradient.LARGEST_MAP)
    for value, expected in zip(found, gradients(size, kernel, stride, padding), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("more", "count"), [({"dilation": 2}, 1), ({"groups": 2}, 0)])
def test_dilated_and_grouped_convolutions_too(more, count):
    found, products_made = products(2, 3, 1, "SAME", **more)
    assert products_made == count
    for value, expected in zip(found, gradients(2, 3, 1, "SAME", **more), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


def test_outside_nothing_is_changed():
    with filter_gradient.fast():
        pass
    with mock.patch.object(filter_gradient, "_rows", side_effect=AssertionError):
        gradients(2, 3, 1, "SAME")
