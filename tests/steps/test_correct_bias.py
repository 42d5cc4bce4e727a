"""Bias correction by hand, and the means that an int8 file gets back."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.steps.correct_bias import CorrectBias, corrected
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.surgery import rounding

layers = keras.layers

ENDS = np.float32([[255, 255], [0, 0]])


def test_kernels_are_rounded_per_output_channel():
    layer = layers.Dense(2, use_bias=False)
    layer.build((None, 3))
    layer.set_weights([np.float32([[1.27, -2.54], [0.304, 0.031], [0.016, 0.0]])])
    # Steps 0.01 and 0.02.
    np.testing.assert_allclose(rounding.rounded_kernel(layer), [[1.27, -2.54], [0.30, 0.04], [0.02, 0.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "per"),
    [
        (layers.Conv2D(5, 3), (0, 1, 2)), (layers.DepthwiseConv2D(3, depth_multiplier=2), (0, 1)),
        (layers.Conv2DTranspose(5, 3), (0, 1, 3)),
    ],
    ids=lambda one: getattr(one, "name", ""),
)  # fmt: skip
def test_every_kind_of_kernel_has_steps_of_its_output_channels(layer, per):
    layer.build((None, 8, 8, 4))
    kernel = layer.get_weights()[0]
    step = np.abs(kernel).max(axis=per, keepdims=True) / 127
    found = rounding.rounded_kernel(layer)
    assert 0 < np.abs(found - kernel).max() and (np.abs(found - kernel) <= 0.501 * step).all()
    np.testing.assert_allclose(found / step, np.rint(found / step), atol=1e-3)


def test_the_mean_shift_is_taken_off_the_bias_by_hand():
    """Steps 0.01: 0.304 becomes 0.30, so the output is low by 0.004 * 127.5 on average."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layers.Dense(1, activation="relu", name="a")(inputs))
    model.set_weights([np.float32([[1.27], [0.304]]), np.float32([1.0])])
    made = corrected(model, ENDS)
    np.testing.assert_array_equal(made.get_layer("a").kernel, model.get_layer("a").kernel)
    assert made.get_layer("a").bias.numpy() == pytest.approx([1 + 0.51], abs=1e-4)
    assert model.get_layer("a").bias.numpy() == [1.0]


def test_without_a_bias_the_batch_norm_takes_the_shift():
    inputs = keras.Input((2,))
    norm = layers.BatchNormalization(name="norm")
    model = keras.Model(inputs, layers.ReLU()(norm(layers.Dense(1, use_bias=False, name="a")(inputs))))
    model.get_layer("a").set_weights([np.float32([[1.27], [0.304]])])
    made = corrected(model, ENDS)
    before, after = model.get_layer("norm").get_weights(), made.get_layer("norm").get_weights()
    assert after[2] - before[2] == pytest.approx(-0.51, abs=1e-4)
    for index in (0, 1, 3):
        np.testing.assert_array_equal(after[index], before[index])


def test_a_layer_sees_what_corrected_layers_before_it_make():
    """The second layer's kernel is exact: once the first is corrected, nothing is left for it to correct."""
    inputs = keras.Input((2,))
    hidden = layers.Dense(1, name="a")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="b")(hidden))
    model.set_weights(
        [np.float32([[1.27], [0.304]]), np.zeros(1, np.float32), np.float32([[3]]), np.zeros(1, np.float32)]
    )
    made = corrected(model, ENDS)
    assert float(made.get_layer("a").bias[0]) == pytest.approx(0.51, abs=1e-3)
    assert float(made.get_layer("b").bias[0]) == pytest.approx(0, abs=1e-3)


def test_shared_and_bare_layers_are_left_alone():
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="twice")
    bare = layers.Conv2D(4, 1, use_bias=False, name="bare")(shared(shared(inputs)))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(bare))
    made = corrected(model, np.random.default_rng(0).uniform(0, 255, (8, 8, 8, 3)).astype(np.float32))
    for ours, theirs in zip(made.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("beside", [layers.Rescaling(0.5), layers.BatchNormalization()], ids=["rescaling", "norm"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "behind"])
def test_only_a_batch_norm_behind_takes_a_shift(before, beside):
    inputs = keras.Input((2,))
    bare = layers.Dense(3, use_bias=False, name="bare")
    norm = type(beside).from_config(beside.get_config())
    model = keras.Model(inputs, layers.ReLU()(bare(norm(inputs)) if before else norm(bare(inputs))))
    bare.set_weights([np.float32([[1.27, 1.27, 1.27], [0.304, 0.3, 0.3]])])
    made, shifts = corrected(model, ENDS), not before and isinstance(norm, layers.BatchNormalization)
    changed = [(ours != theirs).any() for ours, theirs in zip(made.get_weights(), model.get_weights(), strict=True)]
    assert any(changed) == shifts


def test_only_biases_and_means_change(tiny_baseline, finished):
    made = finished(CorrectBias(calibration_images=20))
    changed = {
        variable.name.split("/")[-1]
        for variable, other in zip(made.weights, tiny_baseline.weights, strict=True)
        if (variable.numpy() != other.numpy()).any()
    }
    assert changed == {"bias:0"}


def test_means_come_back_on_images_that_were_not_seen(tiny_task, tiny_baseline, finished):
    def means(biases: keras.Model) -> np.ndarray:
        """The mean logits of a network with the baseline's kernels rounded and these biases."""
        rough = keras.models.clone_model(biases)
        rough.set_weights(biases.get_weights())
        for layer in rough.layers:
            if isinstance(layer, layers.Conv2D | layers.Dense):
                layer.kernel.assign(rounding.rounded_kernel(layer))
        return rough(pixels, training=False).numpy().mean(0)

    pixels = tiny_task.preprocessing(tiny_task.examples("val").read(np.arange(64))[0])
    wanted = tiny_baseline(pixels, training=False).numpy().mean(0)
    plain, made = (np.abs(means(one) - wanted).mean() for one in (tiny_baseline, finished(CorrectBias())))
    assert made < 0.3 * plain


def test_it_comes_before_quantization(finished, context):
    with pytest.raises(BadInput, match="CorrectBias cannot follow QuantizeAware"):
        CorrectBias()(finished(QuantizeAware(epochs=2, batch_size=64)), context())
