"""Given segmenters and detectors: what their maps mean, alone and among several tasks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

layers = keras.layers


@pytest.fixture(scope="module")
def segmentation(streets):
    return Segmentation(channels=8, **streets)


@pytest.fixture(scope="module")
def several(streets):
    return MultiTask(parts=(Segmentation(channels=8), Detection(channels=8), LaneKeeping()), **streets)


def own(task, ends=None) -> keras.Model:
    """The task's own network, alive, with `ends` (name to a function of its output) behind some of its outputs."""
    keras.utils.set_random_seed(0)
    model = task.build()
    for layer in model.layers[-6:]:  # untrained answers are so large that a softmax of them rounds to 0 and 1
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            layer.set_weights([one / 20 for one in layer.get_weights()])
    outputs = dict(zip(model.output_names, model.outputs, strict=True))
    for name, end in (ends or {}).items():
        model.get_layer(name)._name = f"{name}_before"
        outputs[name] = end(outputs[name])
    made = list(outputs.values())
    return keras.Model(model.inputs, made if len(made) > 1 else made[0])


def given(task, model, folder, **settings):
    model.save(folder / "mine.h5", include_optimizer=False)
    return dataclasses.replace(task, baseline=str(folder / "mine.h5"), preprocessing_name="caffe", **settings)


@pytest.mark.parametrize("end", [layers.Softmax(name="mask"), layers.Activation("softmax", name="mask"), tf.nn.softmax])
def test_a_segmenters_own_softmax_is_taken_for_probabilities(end, segmentation, tmp_path):
    model = own(segmentation, {"mask": end})
    task = given(segmentation, model, tmp_path)
    baseline = task.build()
    assert task.metadata(baseline)["decode"]["kind"] == "segmentation probabilities"
    raw, masks = task.examples("train").read(np.arange(2))
    pixels = task.preprocessing(raw)
    before = keras.Model(model.inputs, model.get_layer("mask_before").output)(pixels)
    expected = segmentation.loss(segmentation.build())(tf.constant(masks), before)
    said = baseline(pixels)
    assert float(task.loss(baseline)(tf.constant(masks), said)) == pytest.approx(float(expected), rel=1e-4)
    apart = task.logits(baseline)(said) - before
    np.testing.assert_allclose(apart - tf.reduce_mean(apart, -1, keepdims=True), 0, atol=1e-3)


def test_a_binary_segmenters_one_sigmoid_is_two_classes_and_pixels_in_a_row_are_told_how(streets, tmp_path):
    keras.utils.set_random_seed(0)
    lanes = Segmentation(channels=8, shown="lanes", **streets)
    assert len(lanes.class_names) == 2
    image = keras.Input((*lanes.size, 3))
    x = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(layers.Rescaling(1 / 128)(image))
    task = given(lanes, keras.Model(image, x), tmp_path)
    baseline = task.build()
    raw, masks = task.examples("test").read(np.arange(2))
    sure, said = keras.Model(image, x)(task.preprocessing(raw)).numpy(), baseline(task.preprocessing(raw))
    np.testing.assert_allclose(said, np.concatenate([1 - sure, sure], -1), atol=1e-5)
    row = layers.Reshape((-1, 2))(layers.Conv2D(2, 3, padding="same", activation="softmax")(image))
    with pytest.raises(BadInput, match=r"Save it with their shape: .*Reshape\(\(64, 96, 2\)\)\(model.output\)"):
        given(lanes, keras.Model(image, row), tmp_path).build()
    again = given(lanes, keras.Model(image, layers.Reshape((64, 96, 2))(row)), tmp_path)
    assert again.metadata(again.build())["decode"]["kind"] == "segmentation probabilities"


def test_what_no_graph_tells_of_a_mask_is_asked(segmentation, tmp_path):
    model = own(segmentation, {"mask": lambda x: tf.exp(x) / tf.reduce_sum(tf.exp(x), -1, keepdims=True)})
    with pytest.raises(BadInput, match="Say it: --set=task.outputs=probabilities, or"):
        given(segmentation, model, tmp_path).build()
    task = given(segmentation, model, tmp_path, outputs="probabilities")
    assert task.metadata(task.build())["decode"]["kind"] == "segmentation probabilities"


SIGMOIDS = {
    "a layer": layers.Activation("sigmoid", name="scores"),
    "an operator without a name": tf.sigmoid,
    "of every half": lambda x: tf.concat([tf.sigmoid(one) for one in tf.split(x, 2, axis=-3)], axis=-3),
    "inside a convolution": lambda x: layers.Conv2D(x.shape[-1], 1, activation="sigmoid", name="scores")(x),
}


@pytest.mark.parametrize("name", SIGMOIDS)
def test_a_detectors_own_sigmoids_are_taken_away_and_its_boxes_stay(name, streets, tmp_path):
    detection = Detection(channels=8, **streets)
    model = own(detection, {"scores": SIGMOIDS[name]})
    task = given(detection, model, tmp_path)
    made = task.build()
    inputs = task.preprocessing(task.examples("train").read(np.arange(2))[0])
    said, found = model(inputs), made(inputs)
    assert made.output_names == ["scores", "boxes"]
    np.testing.assert_allclose(tf.sigmoid(found[0]), said[0], atol=1e-5)
    np.testing.assert_allclose(found[1], said[1], atol=1e-5)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (layers.Softmax(name="scores"), "its scores are a softmax, by which one class excludes all others"),
        (lambda x: tf.nn.avg_pool2d(tf.sigmoid(x), 3, 1, "SAME"), "its scores are sigmoids, and logits are expected"),
    ],
)
def test_other_scores_than_logits_are_refused(end, words, streets, tmp_path):
    detection = Detection(channels=8, **streets)
    with pytest.raises(BadInput, match=words):
        given(detection, own(detection, {"scores": end}), tmp_path).build()


def test_boxes_that_are_no_exponents_are_refused(streets, tmp_path):
    detection = Detection(channels=8, **streets)
    model = own(detection, {"boxes": layers.Rescaling(0.0, offset=40.0, name="boxes")})
    with pytest.raises(BadInput, match="its boxes on val are 40 to 40 .*at most 4.6 for an image of 96"):
        given(detection, model, tmp_path).build()


def test_parts_of_several_tasks_are_asked_one_by_one(several, tmp_path):
    several = dataclasses.replace(several, parts=tuple(dataclasses.replace(one) for one in several.parts))
    task = given(several, own(several, {"mask": layers.Softmax(name="mask")}), tmp_path)
    facts = task.metadata(task.build())["parts"]
    assert facts["segmentation"]["decode"]["kind"] == "segmentation probabilities"
    model = own(several, {"mask": lambda x: layers.ReLU(name="mask")(x)})
    with pytest.raises(BadInput, match="--set=task.parts.0.outputs=logits"):
        given(several, model, tmp_path).build()
    model = own(several, {"steering": layers.Rescaling(0.0, offset=40.0, name="steering")})
    with pytest.raises(BadInput, match="answers 40 to 40 on val, .* Check task.parts.2.full_lock"):
        given(several, model, tmp_path).build()
