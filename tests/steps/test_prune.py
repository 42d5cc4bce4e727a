"""Pruning: masks by hand and by property, the ramp's end, and the sparsity that is really reached."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BrokenPromise
from tfmo_drive.networks import layers
from tfmo_drive.steps.prune import Prune
from tfmo_drive.surgery import masks, sparse_training

SHAPES = st.one_of(st.tuples(st.integers(1, 12), st.integers(1, 12)),
                   st.tuples(st.just(3), st.just(3), st.integers(1, 6), st.integers(1, 6)))  # fmt: skip
WEIGHTS = SHAPES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(-4, 4, width=32)))
SPARSITIES = st.floats(0, 0.99)


def test_unstructured_masks_by_hand():
    weights = np.float32([[0.1, -0.9], [0.5, -0.2]])
    np.testing.assert_array_equal(masks.largest(weights, 0.5, None), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(masks.largest(weights, 0.25, None), [[0, 1], [1, 1]])
    np.testing.assert_array_equal(masks.largest(weights, 0.0, None), np.ones((2, 2)))


@given(st.lists(WEIGHTS, min_size=1, max_size=4), SPARSITIES)
@settings(max_examples=100, deadline=None)
def test_kernels_of_any_size_that_were_pruned_keep_their_promise_in_the_file(kernels, sparsity):
    pruned = {str(i): np.where(weights == 0, 1, weights) for i, weights in enumerate(kernels)}
    pruned = {name: weights * masks.largest(weights, sparsity, None) for name, weights in pruned.items()}
    Prune(sparsity=sparsity).check_artifact(SimpleNamespace(weights=lambda: pruned, path="model.tflite"))


def test_a_file_with_fewer_zeros_than_rounding_explains_is_a_broken_promise():
    dense = {"kernel": np.ones((8, 8), np.float32)}
    with pytest.raises(BrokenPromise, match="promised 50% zeros, but model.tflite has 0.0%"):
        Prune(sparsity=0.5).check_artifact(SimpleNamespace(weights=lambda: dense, path="model.tflite"))


def test_two_of_four_masks_by_hand_go_along_the_input_channels():
    weights = np.float32([[4, 1], [-3, 2], [2, -3], [1, 4], [0, 0], [0, 0], [0, 5], [6, 6]])  # c_in 8, c_out 2
    expected = np.float32([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0], [1, 1], [1, 1]])
    np.testing.assert_array_equal(masks.largest(weights, 0.5, (2, 4)), expected)
    assert masks.holds(weights * expected, 0.5, (2, 4)) and not masks.holds(weights[:4], 0.5, (2, 4))
    assert masks.fits((3, 3, 8, 5), (2, 4)) and not masks.fits((7, 7, 3, 64), (2, 4))


def test_block_masks_by_hand_drop_whole_blocks():
    weights = np.float32([[1, 9, 1], [1, 9, 1], [5, 0, 5], [5, 1, 5]])
    expected = [[0, 1, 0], [0, 1, 0], [1, 0, 1], [1, 0, 1]]
    np.testing.assert_array_equal(masks.largest(weights, 0.5, "2x1"), expected)
    hanging_over = masks.largest(np.float32([[3, 3, 1], [3, 3, 1]]), 0.5, "2x2")
    np.testing.assert_array_equal(hanging_over, [[1, 1, 0], [1, 1, 0]])


def test_zeros_that_are_not_whole_blocks_do_not_hold_a_block_pattern():
    scattered = np.float32([[0, 1], [1, 0], [0, 1], [1, 0]])
    assert masks.holds(scattered, 0.5, None)
    assert not masks.holds(scattered, 0.5, "2x1")


@given(WEIGHTS, SPARSITIES)
@settings(deadline=None)
def test_the_number_of_zeros_is_exact_and_the_kept_are_the_largest(weights, sparsity):
    mask = masks.largest(weights, sparsity, None)
    assert mask.shape == weights.shape and mask.dtype == weights.dtype
    assert int((mask == 0).sum()) == round(weights.size * sparsity)
    if 0 < mask.sum() < mask.size:
        assert np.abs(weights[mask == 1]).min() >= np.abs(weights[mask == 0]).max()
    assert masks.holds(weights * mask, sparsity, None)


@given(WEIGHTS, SPARSITIES, st.sampled_from([None, "1x1", "2x1", "4x1", "2x3", "16x16"]))
@settings(deadline=None)
def test_masking_twice_is_masking_once(weights, sparsity, pattern):
    once = weights * masks.largest(weights, sparsity, pattern)
    np.testing.assert_array_equal(once * masks.largest(once, sparsity, pattern), once)
    assert masks.holds(once, sparsity, pattern)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_two_of_four_leaves_at_most_two_in_every_four_input_channels(fours, outputs, seed):
    weights = np.random.default_rng(seed).integers(-2, 3, (3, 3, 4 * fours, outputs)).astype(np.float32)
    once = weights * masks.largest(weights, 0.5, (2, 4))
    groups = np.moveaxis(once, -2, -1).reshape(-1, 4)
    assert (np.count_nonzero(groups, axis=1) <= 2).all()
    np.testing.assert_array_equal(once * masks.largest(once, 0.5, (2, 4)), once)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.floats(0, 0.9))
@settings(deadline=None, max_examples=30)
def test_the_mask_is_tfmots_own(seed, rows, columns, sparsity):
    """Apart from halves (tfmot rounds the kept, we the dropped) and from its rule to keep at least one."""
    assume(abs(rows * columns * sparsity % 1 - 0.5) > 1e-3 and round(rows * columns * sparsity) < rows * columns)
    generator = np.random.default_rng(seed)
    magnitudes = generator.permutation(rows * columns).reshape(rows, columns) + 1
    weights = np.float32(magnitudes * generator.choice([-1, 1], magnitudes.shape))
    schedule = pruning_schedule.ConstantSparsity(sparsity, 0)
    tfmots = SimpleNamespace(_pruning_schedule=schedule, _step_fn=lambda: tf.constant(0, tf.int64))
    expected = pruning_impl.Pruning._update_mask(tfmots, tf.constant(weights))[1]
    np.testing.assert_array_equal(masks.largest(weights, sparsity, None), expected)


@st.composite
def ramps(draw) -> tuple[Prune, int]:
    epochs = draw(st.integers(1, 12))
    begin = draw(st.floats(0, epochs * 0.9))
    end = draw(st.none() | st.floats(begin, epochs, exclude_min=True))
    initial, sparsity = sorted(draw(st.tuples(st.floats(0, 0.95), st.floats(0.01, 0.95))))
    step = Prune(sparsity=sparsity, initial_sparsity=initial, epochs=epochs, begin_epoch=begin, end_epoch=end,
                 frequency=draw(st.none() | st.integers(1, 200)),
                 schedule=draw(st.sampled_from(["polynomial", "constant"])))  # fmt: skip
    return step, draw(st.integers(1, 300))


@given(ramps())
@settings(deadline=None, max_examples=200)
def test_the_last_update_of_the_ramp_has_the_sparsity_asked_for(sampled):
    step, steps_per_epoch = sampled
    total = step.epochs * steps_per_epoch
    ramp = step.ramp.in_steps(steps_per_epoch)
    due, sparsity = ramp(tf.range(total, dtype=tf.int64))
    updates = np.flatnonzero(due)
    sparsity = np.broadcast_to(sparsity, [total])
    assert sparsity[updates[-1]] == pytest.approx(step.sparsity, abs=1e-6)
    settled = step.ramp.settled_epoch(steps_per_epoch)
    assert sparsity[updates[updates < (settled + 1) * steps_per_epoch][-1]] == pytest.approx(step.sparsity, abs=1e-6)


@given(ramps())
@settings(deadline=None, max_examples=200)
def test_a_polynomial_ramp_ends_on_its_end_step_after_at_least_20_updates(sampled):
    step, steps_per_epoch = dataclasses.replace(sampled[0], schedule="polynomial", frequency=None), sampled[1]
    last = step.epochs * steps_per_epoch - 1
    begin = min(round(step.begin_epoch * steps_per_epoch), last)
    end = min(max(round(step.ramp.end * steps_per_epoch) - 1, begin), last)
    ramp = step.ramp.in_steps(steps_per_epoch)
    due, _ = ramp(tf.range(last + 1, dtype=tf.int64))
    updates = np.flatnonzero(due)
    assert end in updates and updates[0] >= begin
    if end > begin:
        assert updates[-1] == end
    assert len(updates) >= min(20, end - begin)


def test_a_short_data_set_still_reaches_the_sparsity_asked_for(small_cnn, context):
    """One step an epoch (256 images, batch 256): tfmot's own frequency of 100 would never prune."""
    pruned = Prune(sparsity=0.62, epochs=3, batch_size=256)(small_cnn, context())
    for name, kernel in layers.kernels(pruned):
        zeros = np.count_nonzero(kernel.numpy() == 0)
        assert zeros == round(zeros_wanted := 0.62 * kernel.shape.num_elements()), (name, zeros_wanted)


@pytest.mark.parametrize(("pattern", "sparsity"), [("2:4", 0.5), ("4x1", 0.62)])
def test_every_kernel_that_fits_the_pattern_carries_it(pattern, sparsity, tiny_baseline, context):
    step = Prune(sparsity=sparsity, pattern=pattern, epochs=0)
    pruned = step(tiny_baseline, context())
    step.check(pruned)
    for name, share in layers.sparsity(pruned).items():
        if pattern == "2:4" and name == "conv1_conv":
            assert share == 0, "its 3 input channels are not in fours"
        else:
            assert share == pytest.approx(sparsity, abs=0.02), name


def test_one_shot_pruning_without_training_keeps_the_largest_weights(tiny_baseline, context):
    pruned = Prune(sparsity=0.5, epochs=0, skip=("logits", "conv1_conv"))(tiny_baseline, context())
    for before, after in zip(layers.kernels(tiny_baseline), layers.kernels(pruned), strict=True):
        old = before.variable.numpy()
        mask = 1 if before.name in ("logits", "conv1_conv") else masks.largest(old, 0.5, None)
        np.testing.assert_array_equal(after.variable, old * mask, err_msg=before.name)


def test_lamp_scores_by_hand():
    # Squares 1 4 9 over the squares not smaller: 1/14, 4/13, 1; and 25/50, 1 for the other kernel.
    kernels = [np.float32([[1, 2, 3]]), np.float32([[5, 5.0001]])]
    assert masks.lamp(kernels, 0.4) == pytest.approx([2 / 3, 0])
    assert masks.lamp(kernels, 0.0) == [0, 0]


@given(seed=st.integers(0, 1000), sparsity=st.floats(0.05, 0.9), scale=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_lamp_keeps_the_total_and_is_blind_to_a_kernels_scale(seed, sparsity, scale):
    generator = np.random.default_rng(seed)
    kernels = [generator.normal(size=size).astype(np.float32) for size in ((8, 16), (3, 3, 8, 32), (4, 4))]
    shares = masks.lamp(kernels, sparsity)
    dropped = sum(share * kernel.size for share, kernel in zip(shares, kernels, strict=True))
    assert dropped == pytest.approx(sparsity * sum(kernel.size for kernel in kernels), abs=len(kernels))
    again = masks.lamp([kernels[0] * np.float32(scale), *kernels[1:]], sparsity)
    assert again == pytest.approx(shares, abs=2 / 16)
    if sparsity > 0.3:  # the large kernel gives more than the small one
        assert shares[1] >= shares[2]


def test_lamp_allocation_keeps_the_promise_in_total_and_spares_small_kernels(tiny_baseline, context):
    step = Prune(sparsity=0.7, allocation="lamp", epochs=0)
    pruned = step(tiny_baseline, context())
    step.check(pruned)
    shares = layers.sparsity(pruned)
    sizes = {kernel.name: int(np.prod(kernel.variable.shape)) for kernel in layers.kernels(pruned)}
    total = sum(shares[name] * sizes[name] for name in sizes) / sum(sizes.values())
    assert total == pytest.approx(0.7, abs=0.001)
    assert shares[min(sizes, key=sizes.get)] < shares[max(sizes, key=sizes.get)]
    with pytest.raises(BrokenPromise):
        step.check(tiny_baseline)


@pytest.mark.parametrize(("sparsity", "size"), [(0.78, (2048, 1024)), (0.6, (4096, 4096))])
def test_a_sparsity_that_float32_rounds_is_reached_all_the_same(sparsity, size, context):
    """The schedule says float32(0.78), a little less, and float32(0.6), a little more: one zero too few or many."""
    inputs = keras.Input((size[0],))
    model = keras.Model(inputs, keras.layers.Dense(size[1], use_bias=False)(inputs))
    one_shot = Prune(sparsity=sparsity, epochs=0)
    one_shot.check(one_shot(model, context()))
    step = Prune(sparsity=sparsity, epochs=1)
    wrapped = sparse_training.masked(model, {layer.name for layer in model.layers if layer.weights})
    step.updates(wrapped, 10, context()).update(float(np.float32(sparsity)))
    step.check(step.finished(wrapped))


@pytest.mark.parametrize("shape", [(8, 1, 1, 16), (8, 3, 3, 16), (8, 16, 3, 3), (8, 16, 1, 1), (8, 16)])
def test_lost_zeros_of_any_convolution_are_seen_in_the_file(shape):
    """1x1 and 3x3 convolutions as .tflite and .onnx lay them out, and a dense layer."""
    lost = {"pruned": np.zeros((8, 3, 3, 16)), "lost": np.ones(shape), "depthwise": np.ones((1, 3, 3, 16)),
            "onnx_depthwise": np.ones((16, 1, 3, 3))}  # fmt: skip
    artifact = SimpleNamespace(weights=lambda: lost, path="model.tflite")
    with pytest.raises(BrokenPromise, match="model.tflite has"):
        Prune(sparsity=0.99).check_artifact(artifact)
    lost["lost"] = np.zeros(shape)
    Prune(sparsity=0.99).check_artifact(artifact)


def test_the_ramp_ends_half_way_through_what_is_left():
    assert [Prune(epochs=e, begin_epoch=b).ramp.end for e, b in ((1, 0), (4, 0), (4, 3))] == [0.5, 2, 3.5]
