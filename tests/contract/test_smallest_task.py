"""A new task says five things and no more; what it does not do is refused by name before anything is trained."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Evaluation, Examples, Measure, Preprocessing, Task
from tfmo_drive.experiment import Experiment
from tfmo_drive.flow.flow import Run
from tfmo_drive.protocols import Distillable, LocatesObjects, OverTime, Rendered
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32
from tfmo_drive.training.distillation import Features, SoftLabels


class Greys(Examples):
    """Dark and light pictures."""

    def __init__(self, seed: int):
        generator = np.random.default_rng(seed)
        self.kinds, self.groups = generator.integers(0, 2, 40), np.arange(40)
        self.images = (generator.integers(0, 90, (40, 8, 8, 3)) + 150 * self.kinds[:, None, None, None]).astype(
            np.uint8
        )

    def __len__(self):
        return 40

    def read(self, indices):
        return self.images[indices], self.kinds[indices]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Daylight(Task):
    seed: int = 0

    name = "daylight"
    preprocessing = Preprocessing("unit", scale=(1 / 255,) * 3)

    def examples(self, split):
        return Greys(self.seed + ("train", "val", "test").index(split))

    def build(self, network=None):
        layers = keras.layers
        return keras.Sequential(
            [layers.Input((8, 8, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2, name="logits")]
        )

    def loss(self, model):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def evaluate(self, outputs, targets):
        says = outputs.argmax(1)
        return Evaluation((says == targets).astype(np.float64), says, {})

    def metadata(self, model):
        return {"task": self.name, "labels": ["dark", "light"], "input": {"height": 8, "width": 8}}


@dataclasses.dataclass(frozen=True)
class OwnAccuracy(Measure):
    """Somebody's own measure in the place of ours, which says what of it compares with a control."""

    paired = ("score_delta",)

    def __call__(self, artifact, reference, context):
        inputs, targets = context.task.examples("test").read(np.arange(40))
        ours, theirs = (context.task.score(one.predict(inputs), targets) for one in (artifact, reference))
        return {"score": ours, "score_delta": ours - theirs, "examples": 40}


def test_the_smallest_task_is_trained_pruned_and_reported_with_its_controls(tmp_path):
    control = {"longer_training": (Train(epochs=1, batch_size=8),)}
    experiment = Experiment(
        task=Daylight(), training=Train(epochs=6, learning_rate=0.5, batch_size=8), controls=control,
        recipe=(Prune(sparsity=0.5, epochs=1, batch_size=8),), targets=(LiteRTFloat32(),), measures=(OwnAccuracy(),),
    )  # fmt: skip
    report = Run(name="own", experiment=experiment, workdir=tmp_path / "run").report()
    assert report["rows"][0]["score"] > 0.9
    (paired,) = report["paired"]
    assert (paired["row"], paired["against"]) == ("own/litert_float32", "longer_training/litert_float32")
    assert paired["score_delta"] == report["rows"][1]["score"] - report["rows"][2]["score"]


def test_it_offers_nothing_and_a_recipe_that_needs_more_is_refused_in_one_line():
    task = Daylight()
    assert not any(task.offers(one) for one in (Distillable, LocatesObjects, OverTime, Rendered))
    with pytest.raises(BadInput, match="^Train.distill: Daylight has no distillation_loss.* Leave it out.$"):
        Experiment(task=task, recipe=(Train(distill=SoftLabels()),))
    with pytest.raises(BadInput, match="^Prune.distill: Daylight has no distillation_loss"):
        Experiment(task=task, controls={"taught": (Prune(distill=SoftLabels(features=Features())),)})


def test_data_and_settings_are_told_apart_by_default():
    same, other = Daylight().fingerprint(), Daylight(seed=7).fingerprint()
    assert same == Daylight().fingerprint() != other and int(same, 16)
    assert Daylight().identity() == {"seed": "0"} != Daylight(seed=7).identity()
    assert Greys(0).labels.tolist() == Greys(0).kinds.tolist()
