"""Costs by hand, and networks in which one trouble was planted: it is found, in its layer, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.commands.lint import calibration_set, int8_forecast
from tfmo_drive.commands.lint.calibration_set import Sample
from tfmo_drive.commands.lint.int8_forecast import EQUALIZE, KEEP_FLOAT, OWN_OUTPUTS
from tfmo_drive.commands.lint.stored_tensors import StoredTensors
from tfmo_drive.contracts import Preprocessing
from tfmo_drive.steps.equalize import Equalize
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.surgery.channel_scales import ChannelScales
from tfmo_drive.targets.litert import LiteRTInt8

layers = keras.layers
INPUTS = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)


def network(widen=(), small=1.0, dead=0, bounded=False, meet=layers.Concatenate) -> keras.Model:
    """Two branches that meet, and a head. `widen`: factors of the first channels of relu_a, taken back by what reads
    them; `small`: of all of relu_b, likewise; `dead`: so many channels of relu_b are never active."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3), name="image")
    a, b = (layers.Conv2D(8, 3, padding="same", name=f"conv_{one}")(inputs) for one in "ab")
    a = layers.BatchNormalization(name="bn_a")(a)
    a, b = (layers.ReLU(6.0 if bounded else None, name=f"relu_{n}")(x) for n, x in (("a", a), ("b", b)))
    a, b = (layers.Conv2D(8, 3, padding="same", name=f"next_{n}")(x) for n, x in (("a", a), ("b", b)))
    met = meet(name="met")([layers.ReLU(name="end_a")(a), layers.ReLU(name="end_b")(b)])
    model = keras.Model(inputs, layers.Dense(5, name="logits")(layers.GlobalAveragePooling2D(name="gap")(met)))
    factors = np.ones(8)
    factors[: len(widen)] = widen
    _scale(model, "conv_a", factors)
    kernel, bias = model.get_layer("next_a").get_weights()
    model.get_layer("next_a").set_weights([kernel / factors[:, None], bias])
    _scale(model, "next_b", np.full(8, small))
    kernel, bias = model.get_layer("conv_b").get_weights()
    bias[:dead] = -100
    model.get_layer("conv_b").set_weights([kernel, bias])
    return model


def _scale(model, name, factors):
    kernel, bias = model.get_layer(name).get_weights()
    model.get_layer(name).set_weights([kernel * factors, bias * factors])


def faults(model, inputs=INPUTS):
    stored = StoredTensors(model)
    return [
        (one.kind, one.layer, one.mend, one.bits_lost) for one in int8_forecast.faults(stored, stored.ranges(inputs))
    ]


def test_what_is_fused_into_its_operator_is_not_stored():
    stored = StoredTensors(network())
    wanted = {"image", "relu_a", "relu_b", "end_a", "end_b", "met", "gap", "logits"}
    assert {one.layer.name for one in stored.tensors.values()} == wanted and len(stored.tensors) == len(wanted)
    readers = {one.layer.name: [layer.name for layer in one.readers] for one in stored.tensors.values()}
    assert readers["image"] == ["conv_a", "conv_b"] and readers["relu_a"] == ["next_a"] and readers["met"] == []


def test_ranges_are_those_of_all_batches_with_zero_inside():
    stored = StoredTensors(network())
    found = {stored.tensors[key].layer.name: one for key, one in stored.ranges(INPUTS).items()}
    np.testing.assert_allclose(found["image"], [INPUTS.min((0, 1, 2)), INPUTS.max((0, 1, 2))])
    assert (found["relu_a"][0] == 0).all()


@pytest.mark.parametrize(("kernel", "own", "bits"), [
    ([[1.0], [1.0]], [4, 4], 0),
    ([[1.0], [0.0]], [1, 16], 4),  # only the narrow one is heard
    ([[0.0], [1.0]], [1, 16], 0),  # only the wide one is
    ([[256.0], [1.0]], [1, 16], np.log2(257 / 2) / 2),  # 16 times 1 against 16: the wide one is heard as loudly
    ([[1.0, 0.0], [0.0, 1.0]], [1, 16], 2),  # the mean of 4 and 0
    (None, [1, 16], 2),
])  # fmt: skip
def test_lost_bits_by_hand(kernel, own, bits):
    kernel = None if kernel is None else np.array(kernel)
    assert int8_forecast.lost_bits(kernel, np.array(own, float)) == pytest.approx(bits)


def test_a_plain_network_is_silent():
    assert faults(network()) == []


def test_an_outlier_channel_is_found_where_it_is():
    ((kind, layer, mend, bits),) = faults(network(widen=[256]))
    assert (kind, layer, mend) == ("outlier channel", "relu_a", EQUALIZE)
    assert 5 < bits < 8.5


def test_what_a_bounded_relu_holds_cannot_be_equalized():
    ((kind, layer, mend, _),) = faults(network(widen=[1, *[1 / 256] * 7], bounded=True))
    assert (kind, layer, mend) == ("outlier channel", "relu_a", KEEP_FLOAT)


def test_an_outlier_that_is_all_there_is_to_hear_costs_nothing():
    """Wide, and read with the same kernel: the rest is small beside it in float too."""
    model = network()
    _scale(model, "conv_a", np.array([256.0] + [1.0] * 7))
    assert [one for one in faults(model) if one[1] == "relu_a"] == []


def test_a_branch_that_is_small_beside_the_other_is_found_at_the_concat():
    ((kind, layer, mend, bits),) = [one for one in faults(network(small=1 / 256)) if one[0] == "shared scale"]
    assert (kind, layer, mend) == ("shared scale", "met", EQUALIZE)
    assert bits == pytest.approx(8, abs=1.5)


def test_heads_that_share_an_output_are_told_to_part():
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(4, 1, name=name)(inputs) for name in ("boxes", "scores")]
    model = keras.Model(inputs, layers.Reshape((64, 8))(layers.Concatenate(name="both")(parts)))
    _scale(model, "boxes", np.full(4, 640.0))
    assert ("shared scale", "both", OWN_OUTPUTS) in [one[:3] for one in faults(model)]


def test_an_addend_may_be_small_until_it_drowns():
    found = [faults(network(small=small, meet=layers.Add)) for small in (1 / 16, 1 / 1024)]
    assert found[0] == []
    assert [one[:2] for one in found[1]] == [("drowned addend", "met")]


def test_a_sum_in_which_two_large_branches_cancel_is_found():
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(4, 1, name=name)(inputs) for name in ("plus", "minus")]
    model = keras.Model(inputs, layers.Add(name="met")(parts))
    kernel, bias = model.get_layer("plus").get_weights()
    model.get_layer("minus").set_weights([-kernel * 0.99, bias])
    assert [one[:2] for one in faults(model)] == [("shared scale", "met")]


@pytest.mark.parametrize(("dead", "words"), [(4, None), (6, "ChannelPruning"), (8, "learning_rate")])
def test_a_relu_that_is_mostly_dead_is_found(dead, words):
    found = [one for one in faults(network(dead=dead)) if one[0] == "dead ReLU"]
    assert [one[1] for one in found[:1]] == (["relu_b"] if words else [])  # and those behind one that is all dead
    assert all(words in one[2] and one[3] is None for one in found)


@pytest.mark.parametrize("trouble", [{}, {"widen": [256]}, {"small": 1 / 256}, {"dead": 6}], ids=str)
def test_one_factor_for_all_channels_changes_no_finding(trouble):
    model = network(**trouble)
    scales = ChannelScales(model)
    found = faults(scales.rescaled(np.where(scales.free, 8.0, 1.0)))
    assert [one[:3] for one in found] == [one[:3] for one in faults(model)]


PIXELS = np.random.default_rng(1).integers(0, 256, (100, 8, 8, 3), np.uint8)
BLUE = PIXELS // np.uint8([4, 2, 1])


@pytest.mark.parametrize(("ours", "train", "said"), [
    (BLUE, BLUE, []),
    (BLUE[..., ::-1], BLUE, ["BGR"]),
    (PIXELS[..., ::-1], PIXELS, []),
    (BLUE[..., :1].repeat(3, -1), BLUE, ["grey"]),
    (BLUE[..., :1].repeat(3, -1), BLUE[..., :1].repeat(3, -1), []),
    (BLUE / 255, BLUE, ["scaled to 0..1"]),
    (BLUE - 128.0, BLUE, ["from -128 to 127"]),
    (PIXELS // 4, PIXELS, ["0.25 times as wide"]),
], ids=["same", "bgr", "grey in any order", "grey", "all grey", "unit", "centred", "dark"])  # fmt: skip
def test_how_images_were_made_is_seen_in_their_pixels(ours, train, said):
    found = calibration_set.faults(Sample(ours, {}), Sample(train, {}), Preprocessing("none"))
    assert [one.kind for one in found] == ["unlike train"] * len(said)
    assert all(words in one.message for words, one in zip(said, found, strict=True))


def test_ranges_that_fall_short_are_told_with_their_cost():
    train = Sample(PIXELS, {str(n): np.array([[0.0], [8.0]]) for n in range(3)})
    for high, kinds in ((7.0, []), (4.0, ["too small"])):
        ours = Sample(PIXELS, {str(n): np.array([[0.0], [high]]) for n in range(3)})
        found = calibration_set.faults(ours, train, Preprocessing("none"))
        assert [one.kind for one in found] == kinds
        assert all(one.bits_lost == 1 and "50% below" in one.message for one in found)


@pytest.mark.parametrize(("common", "kinds"), [(0.04, ["one class"]), (0.99, [])])
def test_one_class_is_no_fault_where_nearly_all_of_train_is_of_it(common, kinds):
    train = Sample(PIXELS, {}, (np.arange(100) >= 100 * common).astype(int))
    found = calibration_set.faults(Sample(PIXELS, {}, np.zeros(100, int)), train, Preprocessing("none"))
    assert [one.kind for one in found] == kinds


def gained(behind: str = "conv", activation: str | None = "relu", spread: float = 1e-4) -> keras.Model:
    """A convolution whose channels but one are `spread` of the other, and a BatchNorm that gives them back their size.

    `behind` is what reads that: a "conv", which can absorb the BatchNorm, or a "pool", which cannot.
    """
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    sizes = np.r_[spread, np.ones(7)] if spread < 1 else np.ones(8)
    x = layers.Conv2D(8, 3, activation=activation, name="seeing")(image)
    x = layers.BatchNormalization(name="norm", epsilon=1e-12)(x)
    x = layers.Conv2D(8, 3, activation="relu")(x) if behind == "conv" else layers.MaxPooling2D()(x)
    model = keras.Model(image, layers.Dense(9)(layers.Flatten()(x)))
    _scale(model, "seeing", sizes)
    model.get_layer("norm").set_weights([np.ones(8), np.zeros(8), np.zeros(8), sizes**2])
    return model


@pytest.mark.parametrize(("settings", "mends"), [
    ({}, [int8_forecast.FOLD]), ({"behind": "pool"}, [KEEP_FLOAT]), ({"spread": 1.0}, []), ({"activation": None}, []),
], ids=str)  # fmt: skip
def test_gains_far_apart_are_found_where_the_batch_norm_stays_an_operator(settings, mends):
    stored = StoredTensors(gained(**settings))
    inputs = np.random.default_rng(0).normal(size=(16, 32, 32, 3)).astype(np.float32)
    found = [one for one in int8_forecast.faults(stored, stored.ranges(inputs)) if one.kind == "gains far apart"]
    assert [(one.layer, one.mend) for one in found] == [("norm", mend) for mend in mends]


def test_what_is_said_to_mend_gains_far_apart_does(context):
    """The int8 file is as good as float again: by its logits' signal to noise, before and after."""
    work, model = context(), gained()
    raw = work.task.examples("test").read(np.arange(32))[0]
    mended = Equalize()(FoldBatchNorm()(model, work), work)

    def decibels(one, name):
        folder = work.workdir / name
        folder.mkdir()
        said = LiteRTInt8()(one, folder, work).predict(raw)
        wanted = model.predict(work.task.preprocessing(raw), verbose=0)
        return 10 * np.log10(np.mean(wanted**2) / np.mean((said - wanted) ** 2))

    before, after = decibels(model, "before"), decibels(mended, "after")
    assert before < 15 and after > 30
