"""What every task promises of judging, drawing and describing. All of conftest.py's cases."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
import pytest

from tfmo_drive.base import outputs
from tfmo_drive.contracts import Task
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.protocols import Rendered
from tfmo_drive.scores import pictures
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows


def known(task: Task, count: int = 16) -> tuple:
    return task.examples("test").read(np.arange(count))


def mixed(answers):
    """Some right answers, and some that belong to another example: neither all wrong nor all right."""
    count = len(outputs.flat(answers)[0])
    order = np.arange(count)
    order[::3] = np.roll(order[::3], 1)
    return outputs.at(answers, order)


def test_the_truth_scores_one_and_garbage_less(case, task):
    targets = known(task)[1]
    right = task.evaluate(case.perfect(task, targets), targets)
    assert right.score == pytest.approx(1) and right.values == pytest.approx(np.ones(16))
    assert all(entry["score"] == pytest.approx(1) for entry in right.per_class.values())
    wrong = task.evaluate(mixed(case.perfect(task, targets)), targets)
    assert 0 <= wrong.score < 0.99 and wrong.values.min() < 1


def test_a_judgement_has_one_entry_for_every_example(case, task):
    targets = known(task)[1]
    judged = task.evaluate(mixed(case.perfect(task, targets)), targets)
    assert judged.values.shape == (16,) and judged.values.dtype == np.float64
    assert judged.values.min() >= 0 and judged.values.max() <= 1
    assert all(len(one) == 16 for one in outputs.flat(judged.decisions))
    assert {name: len(said) for name, said in judged.captions.items()} == {"truth": 16, "says": 16}
    assert all(isinstance(text, str) for said in judged.captions.values() for text in said)
    json.dumps({**judged.more, **judged.per_class}, allow_nan=False)
    assert all({"score", "examples"} <= entry.keys() for entry in judged.per_class.values())
    assert outputs.agreement(judged.decisions, judged.decisions) == 1


def test_scores_of_a_choice_are_those_of_judging_it_alone(case, task):
    targets = known(task)[1]
    answers = mixed(case.perfect(task, targets))
    judged = task.evaluate(answers, targets)
    assert judged.scores(np.ones((1, 16)))[0] == pytest.approx(judged.score)
    chosen = [np.arange(8), np.arange(16)[::3], np.array([0, 0, 5])]
    weights = np.stack([np.bincount(indices, minlength=16) for indices in chosen]).astype(np.float64)
    alone = [task.evaluate(outputs.at(answers, indices), outputs.at(targets, indices)).score for indices in chosen]
    assert judged.scores(weights) == pytest.approx(np.array(alone))


def test_outputs_and_truth_can_be_drawn_over_an_image(task, model):
    raw, targets = known(task, 2)
    if not task.offers(Rendered):
        return
    said = outputs.named(model, model(task.preprocessing(raw), training=False))
    said = outputs.each(lambda tensor: tensor.numpy(), said)
    for index, image in enumerate(pictures.shown(raw, None)):
        before = image.copy()
        drawn = (
            task.rendered_truth(image, outputs.at(targets, index)),
            task.rendered(image, outputs.at(said, index)),
        )
        for picture in drawn:
            assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert np.array_equal(image, before), "the image itself is left alone"


def keys(facts) -> set:
    if isinstance(facts, Mapping):
        return set(facts) | {key for one in facts.values() for key in keys(one)}
    return {key for one in facts for key in keys(one)} if isinstance(facts, list) else set()


def test_metadata_and_identity_are_json_and_identity_has_no_path(case, task, model):
    described, identity = task.metadata(model), task.identity()
    assert json.loads(json.dumps(described, allow_nan=False)) == described and described["task"] == task.name
    assert json.loads(json.dumps(identity, allow_nan=False)) == identity
    assert not {"data", "baseline", "skip_bad", "split_seed"} & keys(identity)
    given = {"baseline": "elsewhere/model.h5"} if case.in_files else {"trained": True}
    assert identity == dataclasses.replace(task, **given).identity()
    if "channels" in (names := {field.name for field in dataclasses.fields(task)}):
        assert dataclasses.replace(task, channels=9).identity() != identity
    if "augmentation" in names:
        flat = dataclasses.replace(task.augmentation or Augmentation(), brightness=1.0)
        assert task.randoms == 0 or dataclasses.replace(task, augmentation=flat).identity() != identity


def test_the_trivial_answer_is_one_for_all_examples_and_far_from_the_truth(case, task):
    targets, trivial = known(task)[1], task.trivial(16)
    assert trivial.says and all(len(one) == 16 for one in outputs.flat(trivial.outputs))
    for one in outputs.flat(trivial.outputs):
        assert (np.asarray(one) == np.asarray(one)[:1]).all()
    least = task.evaluate(trivial.outputs, targets)
    parts = least.parts or {"": least}
    for name, judged in parts.items():
        assert judged.score < task.evaluate(case.perfect(task, targets), targets).score
        assert (judged.decisions == judged.decisions[:1]).all(), name
    if "score_straight" in least.more:
        assert least.score == least.more["score_straight"]


def test_the_trivial_class_is_the_most_frequent_of_train(task):
    if not isinstance(task, Classification | SensorRows):
        return
    labels = np.concatenate([task.examples("train").read(np.arange(len(task.examples("train"))))[1]])
    often = task.class_names[np.bincount(labels).argmax()]
    assert (
        task.trivial(3).says == f'always "{often}"'
        and task.trivial(3).outputs.argmax(-1).tolist() == [task.class_names.index(often)] * 3
    )
