"""Shared weights: the arithmetic by hand, and step by step against tfmot's own wrapper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_optimization.python.core.clustering.keras.cluster_config import (
    CentroidInitialization,
    GradientAggregation,
)
from tensorflow_model_optimization.python.core.clustering.keras.cluster_wrapper import ClusterWeights

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.surgery import clusters
from tfmo_drive.surgery.clusters import SharedKernel

WEIGHTS = st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=40).map(np.float32)


def shared(weights, values, **rules) -> SharedKernel:
    return SharedKernel(tf.Variable(np.float32(weights)), np.float32(values), **rules)


def test_the_nearest_value_by_hand_and_the_lower_of_equals():
    weights = tf.constant([-0.6, -0.5, -0.4, 0.9, 1.0, 1.1, 5])
    np.testing.assert_array_equal(clusters.nearest(weights, tf.constant([-1.0, 0, 2])), [0, 0, 1, 1, 1, 2, 2])


@given(WEIGHTS, WEIGHTS)
@settings(deadline=None)
def test_no_other_value_is_nearer(weights, values):
    values = np.sort(values)
    chosen = values[clusters.nearest(tf.constant(weights), tf.constant(values))]
    least = np.abs(weights[:, None] - values).min(1)
    np.testing.assert_allclose(np.abs(weights - chosen), least, atol=1e-6)


def test_first_values_are_k_means_by_hand():
    assert clusters.first_values(np.float32([[0, 1], [10, 11]]), 2, "linear", False).tolist() == [0.5, 10.5]
    # tfmot starts at -4, 0, 1; then {-4, -2}, {0, 0, 0}, {1, 1, 3, 5}; then the ones are nearer to 0, which stays.
    weights = np.float32([-4, -2, 0, 0, 0, 1, 1, 3, 5])
    assert clusters.first_values(weights, 3, "linear", True).tolist() == [-3, 0, 4]
    assert clusters.first_values(np.float32([0, 0, 1]), 4, "linear", False).tolist() == [0, 1, 1, 1]


@given(WEIGHTS, st.integers(2, 8), st.sampled_from(sorted(clusters.STARTS)), st.booleans())
@settings(deadline=None, max_examples=60)
def test_first_values_are_the_means_of_their_weights(weights, count, start, zero):
    if zero and count == 2:
        count = 3
    values = clusters.first_values(weights, count, start, zero)
    assert values.shape == (count,) and (np.diff(values) >= 0).all() and (not zero or 0 in values)
    chosen = clusters.nearest(tf.constant(weights), tf.constant(values)).numpy()
    for number in np.unique(chosen):
        if not (zero and values[number] == 0):
            assert values[number] == pytest.approx(weights[chosen == number].mean(), abs=1e-5)


def test_a_step_by_hand():
    kernel = shared([[0, 1], [10, 12]], [0.5, 11], free=True, zeros=False)
    np.testing.assert_array_equal(kernel.kernel, [[0.5, 0.5], [11, 11]])
    np.testing.assert_array_equal(kernel.rest, [-0.5, 0.5, -1, 1])
    kernel.kernel.assign_add([[0.2, 0.4], [-1, 0]])
    kernel.share()  # the values move by the means 0.3 and -0.5; the weights themselves are at 0.2, 1.4, 9, 12
    np.testing.assert_allclose(kernel.kernel, [[0.8, 0.8], [10.5, 10.5]])
    np.testing.assert_allclose(kernel.rest, [-0.6, 0.6, -1.5, 1.5], rtol=1e-6)
    kernel.kernel.assign_add([[0, 6], [0, 0]])  # the second: from 1.4 to 7.4, nearer to 10.5 than to 3.8
    kernel.share()
    np.testing.assert_allclose(kernel.values, [3.8, 10.5])
    np.testing.assert_allclose(kernel.kernel, [[3.8, 10.5], [10.5, 10.5]])


def test_zeros_stay_zero_and_other_weights_may_come_and_go():
    kernel = shared([0, 0, 1.5, 3], [0, 2], free=True, zeros=True)
    kernel.kernel.assign_add([1, -9, 0.5, 0.5])
    kernel.share()
    np.testing.assert_allclose(kernel.kernel, [0, 0, 2.5, 2.5])
    kernel.kernel.assign_sub([0, 0, 1.5, 0])  # from 2 to 0.5; the value from 2.5 to 1.75
    kernel.share()
    np.testing.assert_allclose(kernel.kernel, [0, 0, 0, 1.75])
    kernel.kernel.assign_add([0, 0, 1, 0])
    kernel.share()
    np.testing.assert_allclose(kernel.kernel, [0, 0, 1.75, 1.75])


def test_what_is_not_free_keeps_its_value_company():
    kernel = shared([0, 1, 1, 3], [0, 1, 3], free=False, zeros=True)
    kernel.kernel.assign_add([5, 0, 4, -2.5])
    kernel.share()
    np.testing.assert_allclose(kernel.kernel, [0, 3, 3, 0.5])
    kernel = shared([0, 1, 1, 3], [0, 1, 3], free=False, zeros=False)
    kernel.kernel.assign_add([5, 0, 4, -2.5])
    kernel.share()
    np.testing.assert_allclose(kernel.kernel, [5, 3, 3, 0.5])


@pytest.mark.parametrize("sparse", [False, True])
def test_training_is_tfmots_own(sparse):
    """Dense 12 -> 10 on a linear task, six steps of plain gradient descent: kernel, latent weights, values and bias."""
    generator = np.random.default_rng(0)
    signs = generator.choice([-1, 0, 1] if sparse else [-1, 1], (12, 10))
    weights = np.float32(generator.uniform(1, 2, (12, 10)) * signs)
    inputs = tf.constant(generator.normal(size=(64, 12)), tf.float32)
    targets = tf.constant(generator.normal(0, 3, (64, 10)), tf.float32)

    def dense():
        layer = keras.layers.Dense(10)
        layer.build((None, 12))
        layer.kernel.assign(weights)
        return layer

    theirs = ClusterWeights(
        dense(), 5, CentroidInitialization.LINEAR, sparse, cluster_gradient_aggregation=GradientAggregation.AVG
    )
    theirs.build((None, 12))
    latent, values = theirs.original_clusterable_weights["kernel"], theirs.cluster_centroids["kernel"]
    layer = dense()
    ours = SharedKernel(layer.kernel, values.numpy(), free=True, zeros=sparse)
    changed = 0
    for _ in range(6):
        before = ours.chosen.numpy()
        for variables, call in (([latent, values, theirs.layer.bias], theirs), ([layer.kernel, layer.bias], layer)):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((call(inputs) - targets) ** 2)
            for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
                variable.assign_sub(0.5 * gradient)
        ours.share()
        changed += int((ours.chosen.numpy() != before).sum())
        theirs.update_clustered_weights_associations()
        np.testing.assert_allclose(ours.kernel, theirs.layer.kernel, rtol=1e-4, atol=1e-5)
        kept = tf.reshape(ours.kernel, [-1]) + ours.rest
        np.testing.assert_allclose(kept, tf.reshape(latent, [-1]) * np.float32(ours.alive), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.values, np.sort(values.numpy()), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.bias, theirs.layer.bias, rtol=1e-4, atol=1e-5)
    assert changed > 5, "no weight ever took another value"


def test_only_kernels_with_fewer_values_than_weights_share_them():
    assert clusters.found_values(np.float32([[1, 2], [1, 0]])).tolist() == [0, 1, 2]
    assert clusters.found_values(np.float32([[1, 2], [3, 0]])) is None
    assert clusters.found_values(np.zeros((3, 3), np.float32)) is None
    assert clusters.found_values(np.arange(600, dtype=np.float32) // 2) is None
