"""NaN and infinities are refused where they come in, and never decide anything."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tfmo_drive
from tfmo_drive.base import finite, outputs
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Artifact, BadInput, Context
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.data.detections import Decoding
from tfmo_drive.data.mask_files import IGNORE
from tfmo_drive.measures.accuracy import Accuracy
from tfmo_drive.scores.evaluation import of_classes, of_numbers
from tfmo_drive.tasks.segmentation import segmentation_score
from tfmo_drive.training import scoring
from tfmo_drive.training.trained_step import copy

NAN = np.nan
PACKAGE = Path(tfmo_drive.__file__).parent
OTHERS = {
    "conversion/calibration.py": "counts of a histogram", "surgery/factors.py": "entries of a factor",
    "data/overview.py": "sizes of images, and how often a number occurs",
    "scores/flicker.py": "overlaps of boxes, which Decoding leaves finite",
    "commands/lint/int8_forecast.py": "spans of weights",
    "scores/evaluation.py": "how often a class occurs", "scores/pictures.py": "distances of colours",
    "tasks/segmentation/segmentation.py": "how many pixels a class has",
    "pack/verify.py": "golden outputs, finite where they were written", "base/finite.py": "the one that leaves NaN out",
    "pack/example.py": "answers, finite where they are read",
    "commands/predicted_picture.py": "answers, finite where they are read",
    "tasks/arrays/given_arrays.py": "one-hot labels", "networks/detectors/ssd.py": "overlaps of true boxes",
    "commands/predict.py": "answers, finite where they are read",
}  # fmt: skip
"""Files with an arg max, and of what."""


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.float32, (3, 4), elements=st.floats(-9, 9, width=32) | st.just(NAN)))
def test_the_largest_is_a_number_wherever_there_is_one(scores):
    for row, place in zip(scores, finite.largest(scores), strict=True):
        if np.isnan(row).all():
            assert place == -1
        else:
            assert row[place] == np.nanmax(row) and place == np.flatnonzero(row == np.nanmax(row))[0]


def test_an_example_that_is_wrong_in_several_outputs_is_one_example():
    answers = {"boxes": np.array([[NAN, 0], [1, 2]]), "scores": np.array([NAN, np.inf])}
    assert finite.not_finite(answers).tolist() == [0, 1]


def test_every_arg_max_of_answers_leaves_nan_out():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("argmax", "nanargmax"):
                found.setdefault(str(path.relative_to(PACKAGE)), []).append(node.lineno)
    assert set(found) <= set(OTHERS), {name: lines for name, lines in found.items() if name not in OTHERS}


def test_nan_is_no_class_no_number_no_pixel_and_no_box():
    judged = of_classes(np.array([[NAN, 1, 0], [NAN, NAN, NAN], [0, NAN, 2]]), np.array([0, 0, 2]), ("a", "b", "c"))
    assert judged.decisions.tolist() == [1, -1, 2] and judged.values.tolist() == [0, 0, 1]
    assert judged.captions["says"] == ["b", "nothing", "c"]
    assert of_numbers(np.array([NAN, 1.0]), np.array([1.0, 1.0]), 1.0).values.tolist() == [0, 1]
    logits = np.zeros((1, 2, 2, 3), np.float32)
    logits[0, 0, 0] = [NAN, 1, 2]
    logits[0, 0, 1] = [1, NAN, 0]
    logits[0, 1, 0] = NAN
    assert segmentation_score.decided(logits, (2, 2))[0].tolist() == [[2, 0], [IGNORE, 0]]
    assert segmentation_score.overlaps(logits, np.zeros((1, 2, 2), np.uint8), 3).right.tolist() == [[2, 0, 0]]
    scores, boxes = np.full((1, 4, 4, 1), -9, np.float32), np.zeros((1, 4, 4, 4), np.float32)
    scores[0, 0, 0], scores[0, 0, 1], scores[0, 3, 3] = NAN, 3, 3
    boxes[0, 3, 3, 0] = NAN
    (found,) = Decoding()({"scores": scores, "boxes": boxes}, (16, 16))
    assert len(found) == 1 and found.boxes[0].tolist() == [5, 1, 7, 3], "the neighbour of what is no number stays"


def spoilt(model, layer: str, value: float = NAN, weight: int = 0):
    made = copy(model)
    weights = made.get_layer(layer).get_weights()
    weights[weight].flat[0] = value
    made.get_layer(layer).set_weights(weights)
    return made


@pytest.mark.parametrize("value", [NAN, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["weights", "model", "stage"])
def test_a_given_baseline_with_weights_that_are_no_numbers_is_refused_by_layer(
    form, value, tiny_task, tiny_baseline, tmp_path
):
    """Its NaN would always say the class of its place, float and int8 alike, and "no class got worse"."""
    model = spoilt(tiny_baseline, "conv1_conv", value)
    path = tmp_path / "model.h5"
    model.save_weights(str(path)) if form == "weights" else model.save(path, include_optimizer=False)
    task = dataclasses.replace(tiny_task, baseline=str(path), preprocessing_name="caffe")
    if form == "stage":
        (tmp_path / "stage.json").write_text('{"preprocessing": "caffe"}')
    with pytest.raises(BadInput, match=r"^task.baseline: .*model.h5 has 1 weights .*the first in conv1_conv/kernel"):
        task.build()


def test_first_weights_of_a_backbone_and_models_that_are_converted_are_asked_too(tiny_task, tiny_baseline, tmp_path):
    model = spoilt(tiny_task.network.backbone(tiny_task.size), "conv1_conv")
    model.save_weights(str(tmp_path / "notop.h5"))
    with pytest.raises(BadInput, match="^task.weights: .*notop.h5 has 1 weights that are not finite"):
        dataclasses.replace(tiny_task, weights=str(tmp_path / "notop.h5")).build()
    with pytest.raises(BadInput, match="has 1 weights that are not finite, the first in logits/bias"):
        freeze(spoilt(tiny_baseline, "logits", weight=1), tiny_task.preprocessing)


def test_answers_that_are_not_finite_name_the_first_layer_that_gives_them(tiny_task, tiny_baseline):
    """Every weight is finite, their sums are not."""
    model = copy(tiny_baseline)
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([np.full_like(kernel, 3e38), bias])
    with pytest.raises(BadInput, match="of val: answers to 64 examples .* that does so is logits: lower"):
        scoring.Scorer(model, tiny_task).selection_score("val")


class Overflowing(Artifact):
    name, runtime, threads, path = "litert_float16", "none", 1, Path("artifacts/baseline/litert_float16/model.tflite")

    def predict(self, batch):
        found = np.zeros((len(batch), 9), np.float32)
        found[-1, 3] = np.inf
        return found

    def runner(self, example, threads=None):
        return None

    def weights(self):
        return {}

    def macs(self):
        return 0


def test_a_file_whose_answers_overflow_is_refused_by_its_row(tiny_task, tiny_baseline, tmp_path):
    artifact, context = Overflowing(), Context(tiny_task, tiny_baseline, (), tmp_path, 0)
    with pytest.raises(BadInput, match="baseline/litert_float16/model.tflite: answers to 1 examples.*number 63"):
        Accuracy()(artifact, artifact, context)
    with pytest.raises(BadInput, match="are not finite"):
        outputs.answered(artifact, np.zeros((2, 1), np.uint8))


def test_a_variance_below_zero_is_refused_by_its_layer():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.BatchNormalization(name="norm")(inputs))
    model.layers[1].moving_variance.assign([1.0, -1e-5, 2.0])
    finite.refuse_weights(model, "a.h5")  # rounded, and below epsilon
    model.layers[1].moving_variance.assign([1.0, -2.0, 2.0])
    with pytest.raises(BadInput, match="a.h5 has a variance of -2 in norm, .*Give another"):
        finite.refuse_weights(model, "a.h5")
