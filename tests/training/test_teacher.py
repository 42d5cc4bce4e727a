"""Teachers of several outputs: single-task networks teach the network of several tasks, each what it knows."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from tfmo_drive.base import outputs
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data import batches
from tfmo_drive.steps.train import Train
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training import teacher
from tfmo_drive.training.distillation import Features, SoftLabels


@pytest.fixture(scope="module")
def place(streets, tmp_path_factory):
    """A Context of detection and segmentation, its baseline untrained."""
    task = MultiTask(parts=(Segmentation(channels=8), Detection(channels=8)), **streets)
    keras.utils.set_random_seed(0)
    return Context(task, task.build(), (), tmp_path_factory.mktemp("several"), 0)


@pytest.fixture(scope="module")
def singles(place, tmp_path_factory):
    """Each part's own network, as the stage of an earlier run: paths by name of the part."""
    paths = {}
    for part in place.task.parts:
        path = tmp_path_factory.mktemp(part.name) / "model.h5"
        model = part.build()
        model.save(path, include_optimizer=False)
        facts = {"preprocessing": part.preprocessing.name, "labels": part.metadata(model)["labels"]}
        (path.parent / "stage.json").write_text(json.dumps(facts))
        paths[part.name] = path
    return paths


def said(model, place):
    """What a model says of augmented copy 0 of the first four train examples, by output."""
    pixels = next(batches.augmented_batches(place, 0))[:4]
    named = outputs.named(model, model(pixels, training=False))
    return outputs.each(np.asarray, named if isinstance(named, dict) else {outputs.names(model)[0]: named})


def taught(labels, place):
    return teacher.attached(labels, place).read(0, np.arange(4))


def test_a_single_task_network_teaches_what_it_gives_and_the_baseline_the_rest(place, singles):
    found = taught(SoftLabels(augmented_copies=1, teacher=str(singles["detection"])), place)
    baseline, detector = said(place.baseline, place), said(keras.models.load_model(singles["detection"]), place)
    assert np.abs(baseline["boxes"] - detector["boxes"]).max() > 1e-3, "two networks, or nothing is tested"
    for name, wanted in {"mask": baseline["mask"], "scores": detector["scores"], "boxes": detector["boxes"]}.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-2, atol=1e-2)


def test_several_teachers_stand_for_the_whole_and_train(place, singles, tmp_path):
    labels = SoftLabels(augmented_copies=1, teacher=", ".join(map(str, singles.values())))
    mask = said(keras.models.load_model(singles["segmentation"]), place)["mask"]
    np.testing.assert_allclose(taught(labels, place)["mask"], mask, rtol=1e-2, atol=1e-2)
    fit = Train(epochs=1, batch_size=16, distill=labels)
    assert fit.files == tuple(singles.values())
    trained = fit(place.baseline, dataclasses.replace(place, workdir=tmp_path))
    assert trained.output_names == place.baseline.output_names
    assert np.isfinite(np.concatenate([weight.ravel() for weight in trained.get_weights()])).all()


def test_teachers_that_say_the_same_or_of_whose_maps_are_asked_are_refused(place, singles):
    detector = str(singles["detection"])
    with pytest.raises(BadInput, match="^distill.teacher: two of the teachers give boxes, scores. Leave one out.$"):
        taught(SoftLabels(teacher=f"{detector},{detector}"), place)
    with pytest.raises(BadInput, match="^distill.features: .* one teacher that gives all of the outputs.$"):
        taught(SoftLabels(teacher=detector, features=Features()), place)


def test_a_single_task_stage_of_other_classes_is_refused(place, singles, tmp_path):
    (tmp_path / "model.h5").write_bytes(singles["detection"].read_bytes())
    facts = json.loads((singles["detection"].parent / "stage.json").read_text())
    (tmp_path / "stage.json").write_text(json.dumps(facts | {"labels": facts["labels"][::-1]}))
    with pytest.raises(BadInput, match="^distill.teacher: .* was trained on other classes, or in another order"):
        taught(SoftLabels(teacher=str(tmp_path / "model.h5")), place)


def test_a_single_task_network_of_another_size_says_so(place, streets, tmp_path):
    small = Detection(channels=8, **streets | {"image_size": (32, 64)}).build()
    small.save(tmp_path / "small.h5", include_optimizer=False)
    with pytest.raises(BadInput, match="^distill.teacher: .* takes images of 32x64x3, the task gives 64x96x3"):
        taught(SoftLabels(teacher=str(tmp_path / "small.h5")), place)


def test_copies_that_take_long_say_how_far_they_are(context, monkeypatch):
    heard = []
    monkeypatch.setattr(teacher, "_LONG", 0)
    monkeypatch.setattr(teacher.progress, "say", heard.append)
    place = context(seed=11)
    teacher.cached_logits(place.baseline, 3, place)
    assert re.findall(r"teacher, copy (\d) of 3, .+ left", "\n".join(heard)) == ["1", "2"]
