"""Any recipe of two steps either keeps what the first one promised, or is refused with what to type instead."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import pytest

from tests.contract.test_steps import STEPS, case
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.experiment import Experiment
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.train import Train
from tfmo_drive.training.trained_step import TrainedStep

layers = keras.layers


@pytest.fixture(scope="module")
def small():
    """Two convolutions and a dense layer: what every step can work on, quick to trace."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((32, 32, 3))
    for name, filters in (("first", 8), ("second", 16)):
        x = layers.Conv2D(filters, 3, strides=4, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
    return keras.Model(inputs, layers.Dense(9, name="logits")(layers.GlobalAveragePooling2D()(x)))


def example(kind, epochs: int):
    """The step of the contract tests, without a budget that so small a model cannot meet."""
    step = case(kind).example
    step = dataclasses.replace(step, macs=None) if hasattr(step, "macs") else step
    return dataclasses.replace(step, epochs=epochs) if isinstance(step, TrainedStep) else step


@pytest.fixture(scope="module")
def first(small, context):
    """first(kind): the step's example without training, and its result on the small model."""

    @functools.cache
    def made(kind):
        step = example(kind, epochs=0)
        return step, step(small, dataclasses.replace(context(), baseline=small))

    return made


def preserving(step, promised: str):
    """The step told to keep what was promised, where it can be."""
    try:
        return dataclasses.replace(step, preserve=promised)
    except (TypeError, BadInput):
        return step


def epochs_behind(earlier, before, model, small) -> int:
    """0 where there is no promise that training undoes, and it trains what it trains behind Train, which is a case."""
    alike = [one.shape for one in model.weights] == [one.shape for one in small.weights]
    return 0 if earlier is not Train and alike and not before.promise else 1


@pytest.mark.parametrize(
    "kinds", itertools.product(STEPS, STEPS), ids=lambda kinds: "_".join(k.__name__ for k in kinds)
)
def test_two_steps_keep_the_first_promise_or_say_which_order_does(kinds, small, first, context, tiny_task):
    earlier, (before, model) = kinds[0], first(kinds[0])
    after = preserving(example(kinds[1], epochs_behind(earlier, before, model, small)), before.provides)
    place = dataclasses.replace(context(), baseline=small)
    try:
        Experiment(task=tiny_task, recipe=(before, after))
        made = after(model, place)
    except BadInput as refused:
        assert "Use " in str(refused) or "first" in str(refused) or "last" in str(refused), refused
        assert earlier.__name__ in str(refused) and "\n" not in str(refused)
        return
    before.check(made)
    after.check(made)


OTHERS = ({"sparsity": 0.4}, {"skip": ("a",)}, {"allocation": "lamp"}, {"threshold": 0.1}, {"pattern": "1x4"})


@pytest.mark.parametrize(
    ("second", "kept"), [({"sparsity": 0.5}, True), ({}, True), *((other, False) for other in OTHERS)]
)
def test_pruning_again_keeps_the_first_promise_or_is_refused_before_training(second, kept, tiny_task):
    recipe = (Prune(sparsity=0.5), Prune(**{"sparsity": 0.6, **second}))
    if kept:
        Experiment(task=tiny_task, recipe=recipe)
    else:
        with pytest.raises(BadInput, match="Prune after Prune would undo 50% zeros. Prune once, or"):
            Experiment(task=tiny_task, recipe=recipe)
