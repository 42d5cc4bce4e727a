"""Every way to make a network smaller leaves a detector's two outputs their names, their order and their meaning."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tfmo_drive.base import outputs
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.runtimes import tflite_file
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.training import scoring

STEPS = [
    ChannelPruning(pruning_ratio=0.5, multiple=4, epochs=0),
    LowRank(macs=0.6, multiple=4, calibration_images=16, epochs=0),
    Prune(sparsity=0.5, epochs=0),
    Cluster(clusters=8, epochs=0),
    QuantizeAware(calibration_images=16, epochs=0),
]
every_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)


@pytest.fixture(scope="module")
def made(detector):
    """made(step) -> (its result, its context); run once, so nobody may change it."""

    def run(step):
        place = detector()
        return step(place.baseline, place), place

    return functools.cache(run)


def said(model, task, count=16):
    raw, targets = task.examples("val").read(np.arange(count))
    found = outputs.named(model, model(task.preprocessing(raw), training=False))
    return outputs.each(lambda tensor: tensor.numpy(), found), targets


@every_step
def test_outputs_keep_their_names_order_and_shapes_and_are_judged(step, made):
    model, place = made(step)
    assert outputs.names(model) == ("scores", "boxes")
    assert [one.shape for one in model.outputs] == [one.shape for one in place.baseline.outputs]
    found, targets = said(model, place.task)
    assert found["boxes"].min() >= 0 and found["boxes"].max() <= 6.1, "boxes are still exponents"
    evaluation = place.task.evaluate(found, targets)
    assert 0 <= evaluation.score <= 1 and len(evaluation.values) == 16
    step.check(model)


@every_step
def test_outputs_stay_near_the_floats(step, made):
    """What little these strengths move of either output; a swap or a lost layer would be far away."""
    model, place = made(step)
    found, before = said(model, place.task)[0], said(place.baseline, place.task)[0]
    for name, values in before.items():
        assert np.abs(found[name] - values).mean() < 0.5 * np.abs(values).mean(), name


def test_both_heads_lose_channels_and_the_outputs_none(made):
    model, place = made(STEPS[0])
    for name in ("scores_smooth_conv", "boxes_smooth_conv"):
        assert model.get_layer(name).filters < place.baseline.get_layer(name).filters == 8
    assert model.get_layer("scores").filters == 6 and model.get_layer("boxes_conv").filters == 4


def test_the_score_of_a_fake_quantised_detector_is_asked_by_name(made):
    model, place = made(STEPS[-1])
    assert 0 <= scoring.score(model, place.task, "val") <= 1


def test_a_quantised_file_says_what_the_fake_quantised_detector_says(made, tmp_path):
    model, place = made(STEPS[-1])
    artifact = LiteRTInt8()(model, tmp_path, place)
    raw, _ = place.task.examples("val").read(np.arange(16))
    found, wanted = artifact.predict(raw), said(model, place.task)[0]
    steps = {end.name: float(end.scale[0]) for end in tflite_file.read(artifact.path).outputs}
    assert set(steps) == {"scores", "boxes"} and steps["scores"] != steps["boxes"], "each output has its own scale"
    for name, values in wanted.items():
        apart = np.abs(found[name] - values)
        assert np.median(apart) <= steps[name] and apart.max() <= 8 * steps[name], name


def test_up_sampling_keeps_the_range_of_what_it_reads(detector, tmp_path):
    """As the integer operator must: a range of its own would be one that the file cannot follow."""
    place = detector()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64, 96, 3))
    half = keras.layers.Conv2D(4, 3, 4, padding="same", name="half")(inputs)
    nearest = keras.layers.UpSampling2D(2, name="nearest")(half)
    again = keras.layers.Conv2D(3, 1, name="again")(nearest)
    model = keras.Model(inputs, keras.layers.UpSampling2D(2, interpolation="bilinear", name="mask")(again))
    quantised = QuantizeAware(calibration_images=16, epochs=0)(model, place)
    ranges = [w.name for w in quantised.weights if w.name.split(":")[0].endswith(("_min", "_max"))]
    assert ranges and not [name for name in ranges if "nearest" in name or "mask" in name]

    artifact = LiteRTInt8()(quantised, tmp_path, place)
    resized = [one for one in tflite_file.read(artifact.path).operators if one.name.startswith("RESIZE")]
    assert [one.name for one in resized] == ["RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"]
    for operator in resized:
        before, after = operator.inputs[0], operator.outputs[0]
        assert before.scale == after.scale and before.zero_point == after.zero_point
    raw, _ = place.task.examples("val").read(np.arange(8))
    wanted = quantised(place.task.preprocessing(raw), training=False).numpy()
    step = float(tflite_file.read(artifact.path).outputs[0].scale[0])
    assert np.abs(artifact.predict(raw) - wanted).max() <= 2.01 * step
    assert tf.reduce_max(tf.abs(wanted)) > 20 * step, "the comparison says something"
