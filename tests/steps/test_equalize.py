"""Equalization by hand, and what it gives back to a model that was made hard on purpose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.steps.equalize import Equalize, balanced, channel_ranges
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.spoilers.spread import Spread
from tfmo_drive.surgery.channel_scales import ChannelScales
from tfmo_drive.targets.litert import LiteRTInt8

layers = keras.layers


def chain(first: list[float], second: list[list[float]]) -> ChannelScales:
    """Dense 1 -> ReLU -> n without biases."""
    inputs = keras.Input((1,))
    hidden = layers.Dense(len(first), activation="relu", use_bias=False, name="a")(inputs)
    model = keras.Model(inputs, layers.Dense(len(second[0]), use_bias=False, name="b")(hidden))
    model.set_weights([np.float32([first]), np.float32(second)])
    return ChannelScales(model)


def factors(scales: ChannelScales) -> np.ndarray:
    return balanced(scales, channel_ranges(scales, np.float32([[1], [0.5]])))[scales.makes["a"]]


def test_ranges_are_the_largest_values_on_the_images():
    scales = chain([1, 10, -100], [[1], [1], [1]])
    ranges = channel_ranges(scales, np.float32([[1], [-0.5], [0.5]]), batch=2)
    np.testing.assert_array_equal(ranges[scales.makes["a"]], [1, 10, 50])


def test_tensor_and_kernel_meet_in_the_middle_by_hand():
    """Activations 1, 10, 100 become 3.16, 10, 31.6 and weights 1, 1, 1 the inverse: both spread by 10, not 100."""
    np.testing.assert_allclose(factors(chain([1, 10, 100], [[1], [1], [1]])), [10**0.5, 1, 10**-0.5], rtol=1e-2)


def test_a_spread_that_both_sides_show_is_undone():
    np.testing.assert_allclose(factors(chain([1, 10, 100], [[100], [10], [1]])), [10, 1, 0.1], rtol=1e-2)


def test_output_channels_of_a_kernel_count_alike_since_each_has_a_scale_of_its_own():
    one = factors(chain([1, 10], [[1, 3], [2, 1]]))
    np.testing.assert_allclose(factors(chain([1, 10], [[1, 300], [2, 100]])), one, rtol=1e-6)


def test_a_channel_that_is_never_active_is_scaled_by_the_kernel_alone():
    """Its weight 400 would take the whole range of the kernel; it becomes as large as the others."""
    scales = chain([1, -1, 1], [[1], [400], [1]])
    found = factors(scales)
    after = scales.model.get_layer("b").kernel.numpy()[:, 0] / found
    np.testing.assert_allclose(after / after[0], [1, 1, 1], rtol=2e-2)


def test_a_channel_that_is_dead_in_one_branch_does_not_drown_the_others():
    """It is 1e-7 in `a` and like the others in `b`: scaled up by thousands, it would rule `b` and the sum."""
    inputs = keras.Input((1,))
    a, b = (layers.Dense(4, use_bias=False, name=name)(inputs) for name in "ab")
    model = keras.Model(inputs, layers.Dense(2, use_bias=False, name="c")(layers.Add()([a, b])))
    model.set_weights([np.float32([[1e-7, 1, 1, 1]]), np.ones((1, 4)), np.ones((4, 2))])
    found = factors(ChannelScales(model))
    np.testing.assert_allclose(found / found[1], [2**0.5, 1, 1, 1], rtol=1e-2)  # 1 in the sum, where others are 2


def test_a_channel_that_is_read_at_many_places_is_one_channel_among_its_readers():
    """Behind the Flatten its four places are one reader, as the convolution is: their mean undoes the activations."""
    inputs = keras.Input((2, 2, 1))
    hidden = layers.Conv2D(3, 1, activation="relu", use_bias=False, name="a")(inputs)
    dense, beside = layers.Dense(1, use_bias=False), layers.Conv2D(1, 1, use_bias=False)
    model = keras.Model(inputs, [dense(layers.Flatten()(hidden)), beside(hidden)])
    model.get_layer("a").set_weights([np.float32([[[[1, 10, 100]]]])])
    dense.set_weights([np.ones((12, 1))])
    beside.set_weights([np.float32([1, 100, 10_000]).reshape(1, 1, 3, 1)])
    scales = ChannelScales(model)
    found = balanced(scales, channel_ranges(scales, np.ones((1, 2, 2, 1), np.float32)))[scales.makes["a"]]
    np.testing.assert_allclose(found / found[0], [1, 1, 1], rtol=1e-2)


def test_a_spread_model_is_equalised_to_the_same_network_as_the_plain_one(tiny_baseline, context):
    plain = Equalize(calibration_images=20)(tiny_baseline, context())
    hard = Spread(decades=3)(tiny_baseline, context())
    again = Equalize(calibration_images=20)(hard, context())
    for layer in plain.layers:
        if isinstance(layer, layers.BatchNormalization):  # all channels of a tensor may share another factor
            ours, theirs, spread = (model.get_layer(layer.name).gamma.numpy() for model in (again, plain, hard))
            assert np.std(np.log(ours / theirs)) < 0.1 < np.std(np.log(spread / theirs)), layer.name


def test_int8_of_a_hard_model_is_that_of_a_plain_one_again(tiny_baseline, context, tiny_task):
    pixels = tiny_task.examples("val").read(np.arange(64))[0]
    wanted = tiny_baseline(tiny_task.preprocessing(pixels), training=False).numpy()
    hard = Spread(decades=3)(tiny_baseline, context())
    models = {"plain": tiny_baseline, "hard": hard, "rescued": Equalize()(hard, context())}
    errors = {}
    for name, model in models.items():
        place = context()
        artifact = LiteRTInt8(calibration_images=50)(model, place.workdir, place)
        errors[name] = np.square(artifact.predict(pixels) - wanted).mean() / wanted.var()
    assert errors["hard"] > 5 * errors["plain"]
    assert errors["rescued"] < 1.5 * errors["plain"]


def test_zeros_stay_zeros(tiny_baseline, context):
    step = Prune(sparsity=0.7, epochs=0)
    pruned = step(tiny_baseline, context())
    for later in (Equalize(calibration_images=20), Spread()):
        step.check(later(pruned, context()))


@pytest.mark.parametrize("step", [Equalize(), Spread()], ids=lambda step: step.name)
def test_it_comes_before_quantization(step, finished, context):
    with pytest.raises(BadInput, match=f"{type(step).__name__} cannot follow QuantizeAware"):
        step(finished(QuantizeAware(epochs=2, batch_size=64)), context())


def test_spread_is_seeded_and_as_wide_as_asked(tiny_baseline, context):
    place = context()
    one, other = (Spread(decades=2)(tiny_baseline, dataclasses.replace(place, seed=seed)) for seed in (0, 1))
    gammas = [model.get_layer("conv2_block1_1_bn").gamma.numpy() for model in (one, other, tiny_baseline)]
    assert not np.allclose(gammas[0], gammas[1])
    factors = gammas[0] / gammas[2]
    assert 0.1 <= factors.min() < 0.3 and 3 < factors.max() <= 10
