"""A map that is always 0 has no range, and TensorFlow Lite aborts the process over a sum without one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.runtimes import tflite_file
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A network whose last sum is far below 0 on every image, so that the ReLU behind it says 0."""
    frames = Frames(train=32, val=16, test=16)
    task = LaneKeeping(image_size=(32, 64), network=ResNet(blocks=(1, 1), width=0.125), scenes=frames)
    keras.utils.set_random_seed(0)
    model = task.build()
    for name, place, value in (
        ("conv2_block1_3_bn", 0, 1.0),
        ("conv3_block1_3_bn", 0, 1.0),
        ("conv3_block1_0_bn", 1, -500.0),
    ):
        weights = model.get_layer(name).get_weights()
        weights[place][:] = value
        model.get_layer(name).set_weights(weights)
    return Context(task, model, (), tmp_path_factory.mktemp("dead"), seed=0)


def test_trained_under_fake_quantisation_it_is_given_a_range_and_the_file_runs(context):
    quantized = QuantizeAware(epochs=0, warmup_epochs=0.0)(context.baseline, context)
    artifact = LiteRTInt8()(quantized, context.workdir, context)
    assert not tflite_file.vanishing(artifact.path)
    said = artifact.predict(context.task.examples("test").read(np.arange(4))[0])
    assert np.ptp(said) == 0


def test_converted_without_training_it_is_refused(context):
    with pytest.raises(BadInput, match=r": conv3_block1_out is always 0, whatever the input"):
        LiteRTInt8(calibration_images=16)(context.baseline, context.workdir, context)
    alive = dataclasses.replace(context, baseline=context.task.build())
    assert not tflite_file.vanishing(LiteRTInt8(calibration_images=16)(alive.baseline, alive.workdir, alive).path)


def test_a_layer_that_says_nothing_is_refused_by_its_name_where_no_file_of_it_could_be_loaded(
    tiny_task, small_cnn, tmp_path
):
    model = keras.models.clone_model(small_cnn)
    model.get_layer("conv2_bn").set_weights([np.float32(value) * np.ones(8) for value in (1, -500, 0, 1)])
    with pytest.raises(BadInput, match="conv2 is always 0, .*train longer"):
        LiteRTInt8(calibration_images=16)(model, tmp_path, Context(tiny_task, model, (), tmp_path, seed=0))
