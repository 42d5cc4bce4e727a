"""The micro interpreter: the same integers as LiteRT's reference kernels, and the RAM it really takes."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes import artifact_metadata, tflite_file
from tfmo_drive.runtimes.interpreters import LiteRTArtifact
from tfmo_drive.runtimes.micro import MicroArtifact
from tfmo_drive.targets.litert import LiteRTFloat32
from tfmo_drive.targets.tflite_micro import TFLiteMicro


@pytest.fixture
def artifact(model, context):
    return TFLiteMicro(calibration_images=20)(model, context.workdir, context)


def test_it_says_bit_for_bit_what_the_reference_kernels_say(artifact, images):
    reference = LiteRTArtifact(artifact.path, kernels="reference")
    assert np.array_equal(artifact.predict(images), reference.predict(images))
    held = artifact.held(images)["logits"]
    assert held.dtype == np.int8 and len(np.unique(held)) > 10


def test_a_quantize_aware_model_to_one_step(aware, context, images):
    """Its last layer, and no other, is rounded otherwise now and then."""
    artifact = TFLiteMicro()(aware, context.workdir, context)
    apart = np.abs(artifact.predict(images) - LiteRTArtifact(artifact.path, kernels="reference").predict(images))
    step = float(tflite_file.read(artifact.path).outputs[0].scale[0])
    assert apart.max() <= 1.001 * step and (apart > 0).mean() < 0.1


def test_the_row_says_arena_and_operators(artifact):
    graph = tflite_file.read(artifact.path)
    widest = max(
        sum(tensor.scale.size and int(np.prod(tensor.shape)) for tensor in (*operator.outputs, operator.inputs[0]))
        for operator in graph.operators
    )
    assert artifact.arena["head"] + artifact.arena["tail"] == artifact.arena["total"] == artifact.notes["arena_bytes"]
    assert widest <= artifact.arena["head"] < 4 * widest
    assert artifact.notes["operators"] == tflite_file.operators(artifact.path)
    described = artifact_metadata.read(artifact.path)
    assert described["target"] == "tflite_micro" and artifact.runtime == "tflite micro" and artifact.threads == 1


def test_one_inference_can_be_timed(artifact, images):
    run = artifact.runner(images[3])
    run()
    assert np.array_equal(artifact._interpreter.get_output(0)[0], artifact.held(images[3:4])["logits"][0])


def test_weights_and_cost_are_the_files(artifact):
    assert artifact.macs() == tflite_file.macs(artifact.path) > 0
    assert artifact.weights().keys() == tflite_file.weights(artifact.path).keys()


def test_float_files_run_too_and_say_float32(model, context, images, expected):
    path = LiteRTFloat32()(model, context.workdir, context).path
    assert np.abs(MicroArtifact(path).predict(images) - expected(model, images)).max() < 1e-3


def test_no_image_is_no_answer(artifact, images):
    assert artifact.predict(images[:0]).shape == (0, 5)
    with pytest.raises(BadInput, match="takes uint8 images of 32 x 32 x 3 pixels"):
        artifact.predict(images[:, :16])


def test_settings_are_refused_in_its_own_name():
    with pytest.raises(BadInput, match="TFLiteMicro.calibration_images must be at least 1, got 0"):
        TFLiteMicro(calibration_images=0)


def test_an_operator_that_micro_lacks_is_named(context, capfd):
    from tfmo_drive.base.keras2 import keras, tf

    image = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, 4)(image))
    model = keras.Model(image, keras.layers.Lambda(lambda x: tf.math.top_k(x, 2)[0], name="best")(x))
    path = LiteRTFloat32()(model, context.workdir, context).path
    with pytest.raises(BadInput, match="does not run on TensorFlow Lite Micro: .*TOPK_V2"):
        assert MicroArtifact(path).arena
    assert "TOPK" not in capfd.readouterr().err
