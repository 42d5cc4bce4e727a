"""Quantization-aware training: the fast arithmetic is tfmot's, ranges start at the data, zeros and BatchNorm stay."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.recipe import apply_steps
from tfmo_drive.contracts import BadInput, BrokenPromise
from tfmo_drive.networks import fake_quant, layers
from tfmo_drive.networks.integers import quantize_scheme
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.training import scoring, trained_step

SPARSE = Prune(sparsity=0.6, epochs=0)


def quantized(weights: np.ndarray, per_channel: bool):
    """(value, gradient, minimum, maximum) of tfmot's LastValueQuantize as it is patched at the moment."""
    shape = weights.shape[-1:] if per_channel else ()
    low, high = tf.Variable(tf.fill(shape, -6.0)), tf.Variable(tf.fill(shape, 6.0))
    inputs = tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = quant_ops.LastValueQuantize(
            inputs, low, high, per_channel=per_channel, is_training=True, num_bits=8, narrow_range=True, symmetric=True
        )
        loss = tf.reduce_sum(value * tf.constant(np.arange(weights.size, dtype=np.float32).reshape(weights.shape)))
    return value.numpy(), tape.gradient(loss, inputs).numpy(), low.numpy(), high.numpy()


@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([(3, 3, 5, 4), (7, 6)]), st.floats(1e-3, 8))
@settings(deadline=None, max_examples=40)
def test_fast_fake_quant_is_tfmots_in_value_gradient_and_ranges(seed, per_channel, shape, spread):
    weights = np.float32(np.random.default_rng(seed).normal(0, spread, shape))
    expected = quantized(weights, per_channel)
    with fake_quant.fast():
        found = quantized(weights, per_channel)
    step = np.broadcast_to(expected[3] / 127, shape)
    differing = ~np.isclose(found[0], expected[0], rtol=1e-5, atol=0)
    halfway = np.abs(np.abs(weights / step % 1) - 0.5) < 1e-3  # float rounding may decide either way there
    assert not (differing & ~halfway).any()
    assert (np.abs(found[0] - expected[0]) <= 1.001 * step).all()
    # The standard op takes the range's end for clipped where its own rounding puts it a hair inside the range.
    inside = np.abs(weights) < expected[3]
    np.testing.assert_allclose(found[1][inside], expected[1][inside], rtol=1e-6)
    np.testing.assert_array_equal(found[1], np.arange(weights.size).reshape(shape))
    np.testing.assert_allclose(found[2:], expected[2:], rtol=1e-6)


def test_fast_fake_quant_by_hand():
    with fake_quant.fast():
        value, gradient, low, high = quantized(np.float32([[-1.27, 0.5], [0.014, -0.254]]), per_channel=True)
    np.testing.assert_allclose(value, [[-1.27, 0.5], [0.01, -65 * 0.5 / 127]], rtol=1e-5)  # steps 0.01 and 0.5 / 127
    np.testing.assert_array_equal(gradient, [[0, 1], [2, 3]])
    np.testing.assert_allclose([low, high], [[-1.27, -0.5], [1.27, 0.5]])


def test_a_channel_of_zeros_stays_zero():
    with fake_quant.fast():
        value, _, _, _ = quantized(np.float32([[0, 1], [0, -1]]), per_channel=True)
    np.testing.assert_array_equal(value, [[0, 1], [0, -1]])


def shared_range(weights: np.ndarray):
    """A convolution whose kernel [1, 1, 2, 2] has one range, its quantizer and the variables of that."""
    conv = keras.layers.Conv2D(2, 1, name="conv")
    conv.build((None, 1, 1, 2))
    conv.kernel.assign(weights)
    quantizer = quantize_scheme.kernel_config(conv, lambda kernel: kernel.max() > 1, False).weight_quantizer
    return conv, quantizer, quantizer.build(conv.kernel.shape, "kernel", keras.layers.Layer())


def test_one_range_for_a_kernel_by_hand():
    """The range is +-2, the step 2 / 127; channel by channel the second one's would be 0.25 / 127."""
    conv, quantizer, ends = shared_range(np.float32([[[[1.27, 0.25], [-2, 0.2]]]]))
    np.testing.assert_array_equal([ends["min_var"], ends["max_var"]], [[-2, -2], [2, 2]])
    conv.kernel.assign(conv.kernel * 0.5)
    with tf.GradientTape() as tape:
        trained = quantizer(conv.kernel, True, ends)
        loss = tf.reduce_sum(trained * np.float32([[[[1, 2], [3, 4]]]]))
    np.testing.assert_allclose(trained * 127, [[[[81, 16], [-127, 13]]]], rtol=1e-5)  # 80.645, 15.875, -127, 12.7
    np.testing.assert_array_equal(tape.gradient(loss, conv.kernel), [[[[1, 2], [3, 4]]]])
    np.testing.assert_array_equal([ends["min_var"], ends["max_var"]], [[-1, -1], [1, 1]])
    np.testing.assert_allclose(quantizer(conv.kernel, False, ends), trained, rtol=1e-5)


def test_other_kernels_keep_a_range_for_each_channel():
    conv = keras.layers.Conv2D(2, 1)
    conv.build((None, 1, 1, 2))
    conv.kernel.assign(np.full((1, 1, 2, 2), 0.5))
    quantizer = quantize_scheme.kernel_config(conv, lambda kernel: kernel.max() > 1, False).weight_quantizer
    ends = quantizer.build(conv.kernel.shape, "kernel", keras.layers.Layer())
    assert quantizer.per_axis and ends["max_var"].shape == (2,)


def test_outside_of_fast_the_standard_op_is_back():
    before = quant_ops.LastValueQuantize
    with pytest.raises(RuntimeError), fake_quant.fast():
        assert quant_ops.LastValueQuantize is not before
        raise RuntimeError
    assert quant_ops.LastValueQuantize is before


def ranges(model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {v.name.removesuffix(":0"): v.numpy() for v in model.variables}
    return {name[:-4]: (low, found[f"{name[:-4]}_max"]) for name, low in found.items() if name.endswith("_min")}


@pytest.fixture(scope="module")
def calibrated(tiny_baseline, tiny_task, context):
    """The quantize-aware model before any training, and the splits of which it read examples."""
    whole, kinds = {split: tiny_task.examples(split) for split in ("train", "val", "test")}, []
    read = type(whole["train"]).read

    def noted(examples, indices):
        kinds.extend(split for split, one in whole.items() if one is examples)
        return read(examples, indices)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(whole["train"]), "read", noted)
        return QuantizeAware(epochs=0)(tiny_baseline, context()), kinds


def test_ranges_start_at_the_data_and_not_at_tfmots_six(calibrated, tiny_baseline, tiny_task, context):
    found = ranges(calibrated[0])
    assert len(found) > 2 * len(list(layers.kernels(tiny_baseline)))
    for name, (low, high) in found.items():
        assert (low <= 0).all() and (high >= 0).all() and (low < high).all(), name
        assert not (low == -6).any() and not (high == 6).any(), name
    of_inputs = next(name for name in found if name.startswith("quantize_layer"))
    assert found[of_inputs] == pytest.approx((-123.68, 255 - 103.939), rel=1e-6), "any pixel's, preprocessed"
    for kernel in layers.kernels(tiny_baseline):
        largest = np.abs(kernel.variable.numpy()).max(axis=None if kernel.name == "logits" else (0, 1, 2))
        np.testing.assert_allclose(found[f"quant_{kernel.name}/kernel"], (-largest, largest), rtol=1e-6)


def test_the_calibrated_model_scores_like_the_float_one_before_any_training(calibrated, tiny_baseline, tiny_task):
    assert scoring.score(calibrated[0], tiny_task, "train") == pytest.approx(
        scoring.score(tiny_baseline, tiny_task, "train"), abs=0.03
    )


def test_calibration_never_looks_at_val_or_test(calibrated):
    assert set(calibrated[1]) == {"train"}


@pytest.fixture(scope="module")
def sparse(small_cnn, context):
    return SPARSE(small_cnn, context())


@pytest.fixture(scope="module")
def retrained(sparse, context):
    """`sparse` after one epoch of QAT at a rate that moves weights: without preserving (and BatchNorm frozen all the
    time), and preserving its zeros (and BatchNorm never frozen)."""
    fast = {"epochs": 1, "averaged_epochs": 1, "batch_size": 32, "learning_rate": 0.02}  # not the start, if it is best
    frozen = {"": 0.0, "sparsity": 1.0}
    return {kept: QuantizeAware(preserve=kept, freeze_bn_after=after, **fast)(sparse, context())
            for kept, after in frozen.items()}  # fmt: skip


def test_preserving_keeps_every_zero_while_the_other_weights_move(retrained, sparse):
    for before, after in zip(layers.kernels(sparse), layers.kernels(retrained["sparsity"]), strict=True):
        old, new = before.variable.numpy(), after.variable.numpy()
        assert (new[old == 0] == 0).all(), before.name
        assert (new[old != 0] != old[old != 0]).mean() > 0.5, before.name
    SPARSE.check(retrained["sparsity"])


def test_the_step_that_broke_a_promise_is_named_with_what_to_type(sparse, retrained, context, monkeypatch):
    with pytest.raises(BrokenPromise, match=r"^Prune promised 60% zeros; conv1 has \d+\.\d+%\.$"):
        SPARSE.check(retrained[""])
    for kept, advice in {
        "": 'Use QuantizeAware(preserve="sparsity").',
        "sparsity": "report this fault of QuantizeAware",
    }.items():
        breaks = QuantizeAware(preserve=kept)
        monkeypatch.setattr(QuantizeAware, "__call__", lambda step, model, place: retrained[""])
        with pytest.raises(BrokenPromise, match=rf"QuantizeAware, which ran after it, .*{re.escape(advice)}"):
            list(apply_steps((SPARSE, breaks), sparse, context()))


def test_zeros_stay_when_a_reloaded_preserving_model_is_trained_on(retrained, sparse, context, tmp_path):
    step = QuantizeAware(preserve="sparsity", epochs=1, batch_size=64)
    retrained["sparsity"].save(tmp_path / "model.h5", include_optimizer=False)
    again = step.reload(sparse, tmp_path / "model.h5", context())
    trained_step.train(again, step, context(), trained_step.Hooks(tracing=fake_quant.fast))
    SPARSE.check(again)


def batch_normalization(model) -> dict[str, np.ndarray]:
    """Moving means and variances."""
    inner = [getattr(layer, "layer", layer) for layer in model.layers]
    found = [layer for layer in inner if isinstance(layer, keras.layers.BatchNormalization)]
    return {layer.name: np.stack([layer.moving_mean, layer.moving_variance]) for layer in found}


def test_batch_normalization_stands_still_in_frozen_epochs_alone(retrained, sparse):
    before, frozen, free = map(batch_normalization, (sparse, retrained[""], retrained["sparsity"]))
    assert len(before) == len(frozen) == len(free) == 2
    for name in before:
        np.testing.assert_array_equal(before[name], frozen[name], err_msg=name)
        assert not np.array_equal(before[name], free[name]), name
    assert all(layer.trainable for model in retrained.values() for layer in model.layers)


def test_quantizing_twice_is_refused(calibrated, context):
    with pytest.raises(BadInput, match="cannot follow QuantizeAware"):
        QuantizeAware(epochs=0)(calibrated[0], context())


def test_a_step_that_drops_the_fake_quantisation_breaks_the_promise(tiny_baseline):
    with pytest.raises(BrokenPromise, match="QuantizeAware promised int8"):
        QuantizeAware().check(tiny_baseline)
