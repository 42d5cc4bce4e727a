"""The naive export of a detector: the same detections in float, and nothing to be seen in int8."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data.detections import decoded, sigmoid
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.spoilers.decode_inside import DecodeInside
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection


@pytest.fixture(scope="module")
def place(cache, tmp_path_factory):
    """A tiny detector as the baseline: untrained, but with scores of all sizes and boxes of tens of pixels."""
    task = Detection(
        image_size=(64, 96), channels=8, network=ResNet(blocks=(1, 1), width=0.125),
        scenes=Frames(train=16, val=16, test=16),
    )  # fmt: skip
    keras.utils.set_random_seed(0)
    model = task.build()
    scores = model.get_layer("scores")
    scores.set_weights([40 * scores.get_weights()[0], np.full_like(scores.get_weights()[1], -1.0)])
    return Context(task, model, (), tmp_path_factory.mktemp("decode"), 0)


def answers(target, model, place):
    """(boxes in pixels, scores in [0, 1]) of eight images, from either kind of file."""
    folder = place.workdir / f"{target.name}_{len(model.outputs)}"
    folder.mkdir(exist_ok=True)
    found = target(model, folder, place).predict(place.task.examples("test").read(np.arange(8))[0])
    if len(model.outputs) == 1:
        return found[..., :4], found[..., 4:]
    boxes, scores = decoded(found["boxes"]), sigmoid(found["scores"])
    return boxes.reshape(8, -1, 4), scores.reshape(8, -1, scores.shape[-1])


def test_in_float_both_say_the_same(place):
    for one, other in zip(
        answers(LiteRTFloat32(), place.baseline, place),
        answers(LiteRTFloat32(), DecodeInside()(place.baseline, place), place),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_in_int8_one_scale_for_both_leaves_scores_of_nothing_and_all(place):
    target = LiteRTInt8(calibration_images=8)
    _, apart = answers(target, place.baseline, place)
    _, joined = answers(target, DecodeInside()(place.baseline, place), place)
    assert len(np.unique(apart)) > 20, "outputs of their own keep the scores apart"
    assert len(np.unique(joined)) <= 4, "a step of boxes in pixels is as wide as most of the scores' range"


def test_other_outputs_are_refused(place):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, [keras.layers.Flatten(name="a")(inputs), keras.layers.Flatten(name="b")(inputs)])
    with pytest.raises(BadInput, match="needs a detector's outputs, scores and boxes, got a, b"):
        DecodeInside()(model, dataclasses.replace(place, baseline=model))
