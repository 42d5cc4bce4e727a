"""What every task promises, whatever it perceives: its model, its batches, its file. All of conftest.py's cases."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tfmo_drive.base import outputs
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context, Task
from tfmo_drive.data import batches
from tfmo_drive.networks.networks import DenseLayers
from tfmo_drive.protocols import Distillable, LocatesObjects, OverTime, Rendered
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.image_task import ImageTask
from tfmo_drive.tasks.number_task import NumberTask
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows
from tfmo_drive.training.learner import Learner
from tfmo_drive.training.trained_step import copy

SAID_OTHERWISE = {"parts", "augmentation", "image_size", "degrees", "curve_degrees"}
"""Settings whose value an error says in other words, or as another class's setting."""


def known(task: Task, count: int = 16) -> tuple:
    return task.examples("test").read(np.arange(count))


def place(task: Task, model: keras.Model, folder, seed: int = 0) -> Context:
    return Context(task, model, (), folder, seed)


def test_every_task_is_a_frozen_dataclass_with_a_case(task):
    assert task.__dataclass_params__.frozen
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.anything = 1


def test_a_model_takes_what_examples_give_and_its_outputs_are_called_as_said(case, task, model):
    raw, targets = task.examples("train").read(np.arange(2))
    assert outputs.names(model) == case.output_names
    if isinstance(task, ImageTask):
        assert task.output_names == case.output_names
    assert raw.dtype == np.dtype(task.preprocessing.dtype)
    found = outputs.named(model, model(task.preprocessing(raw), training=False))
    assert all(len(one) == 2 and np.isfinite(one).all() for one in outputs.flat(found))
    assert all(len(one) == 2 for one in outputs.flat(targets))


def test_a_network_of_ones_choice_starts_untrained_with_the_same_outputs(case, task, model):
    rows = task.preprocessing.input == "row"
    smaller = task.build(DenseLayers(units=(3,)) if rows else dataclasses.replace(task.network, width=0.125))
    assert outputs.names(smaller) == case.output_names and smaller.count_params() < model.count_params()
    assert [one.shape for one in smaller.outputs] == [one.shape for one in model.outputs]


def test_the_loss_of_one_batch_falls(task, model, tmp_path):
    inputs, targets = next(iter(batches.TrainingBatches(place(task, model, tmp_path), 8).epoch(0)))
    learner, optimizer = Learner(copy(model), task), keras.optimizers.legacy.SGD(0.01)
    losses = []
    for _ in range(4):
        with tf.GradientTape() as tape:
            loss = learner.loss_of(inputs, targets)
        optimizer.minimize(loss, learner.learnt, tape=tape)
        losses.append(float(loss))
        assert loss.shape == () and math.isfinite(losses[-1])
    assert losses[-1] < losses[0]


def test_what_a_task_offers_is_asked_for_by_name(task):
    for protocol in (Distillable, LocatesObjects, OverTime, Rendered):
        parts = [part.offers(protocol) for part in getattr(task, "parts", ())]
        wanted = (all if protocol is Distillable else any)(parts) if parts else isinstance(task, protocol)
        assert task.offers(protocol) == wanted


def test_a_student_that_says_what_its_teacher_says_has_nothing_to_lower(task, model):
    said = outputs.named(model, model(task.preprocessing(known(task, 4)[0]), training=False))
    teacher = outputs.each(lambda tensor: tf.constant(tensor.numpy()), said)
    least = task.distillation_loss(said, teacher, 2.0)
    assert least.shape == () and math.isfinite(float(least))
    generator = np.random.default_rng(0)
    for _ in range(3):
        other = outputs.each(lambda one: one + generator.normal(0, 0.1, one.shape).astype(np.float32), said)
        assert float(task.distillation_loss(other, teacher, 2.0)) > float(least)


def test_same_seed_same_batches(task, tmp_path):
    def epoch(seed, number):
        found = batches.TrainingBatches(place(task, None, tmp_path, seed), 8).epoch(number)
        return [np.asarray(one) for one in tf.nest.flatten(list(found.take(2)))]

    first, again = epoch(0, 1), epoch(0, 1)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(not np.array_equal(one, other) for one, other in zip(first, epoch(1, 1), strict=True))


def test_the_fingerprint_is_of_the_data_alone(case, task):
    again = dataclasses.replace(task, **({"baseline": "elsewhere/model.h5"} if case.in_files else {"trained": True}))
    assert task.fingerprint() == again.fingerprint() != case.others(task).fingerprint()
    int(task.fingerprint(), 16)


def test_a_model_of_another_tasks_shape_is_refused_as_baseline(task_of_files, other_model, tmp_path):
    task = task_of_files
    declared = {"standardise": "none"} if isinstance(task, SensorRows) else {"preprocessing_name": "caffe"}
    declared |= {"outputs": "raw"} if isinstance(task, NumberTask) else {}
    path = tmp_path / "model.h5"
    other_model.save(path, include_optimizer=False)
    with pytest.raises(BadInput, match="^task.baseline: .*model.h5 ") as refused:
        dataclasses.replace(task, baseline=str(path), **declared).build()
    assert "\n" not in str(refused.value)


def test_an_int8_file_has_the_models_outputs_under_their_names(case, task, model, tmp_path):
    artifact = LiteRTInt8(calibration_images=8)(model, tmp_path, place(task, model, tmp_path))
    raw, targets = known(task)
    said = artifact.outputs(raw)
    assert tuple(said) == case.output_names
    wanted = tf.nest.flatten(model(task.preprocessing(raw), training=False))
    for one, other in zip(said.values(), wanted, strict=True):
        assert one.shape == other.shape and one.dtype == np.float32
    judged = task.evaluate(artifact.predict(raw), targets)
    assert 0 <= judged.score <= 1


def test_data_without_a_name_is_not_the_folder_one_is_in(task_of_files):
    with pytest.raises(BadInput, match=r"\.data must not be empty"):
        dataclasses.replace(task_of_files, data="")


def test_a_setting_out_of_range_is_refused_by_name(case, task):
    for field, value in case.bad:
        with pytest.raises(BadInput) as refused:
            dataclasses.replace(task, **{field: value})
        text = str(refused.value)
        assert "\n" not in text, text
        if field not in SAID_OTHERWISE and field != "preprocessing_name":
            setting = field if type(task).__name__ == "ArrayTask" else f"{type(task).__name__}.{field}"  # td.compress's
            assert setting in text and str(value) in text, (field, value, text)
