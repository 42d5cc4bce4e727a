"""What every step promises, whatever it does: walks all Step classes of tfmo_drive.steps."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import pkgutil

import numpy as np
import pytest

from tfmo_drive import steps
from tfmo_drive.base.recipe import refuse_model
from tfmo_drive.commands import catalogue
from tfmo_drive.contracts import BadInput, BrokenPromise, Step
from tfmo_drive.networks import fake_quant, layers
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.networks.networks import Head
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.correct_bias import CorrectBias
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.equalize import Equalize
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.regularize import Regularize
from tfmo_drive.steps.spoilers.decode_inside import DecodeInside
from tfmo_drive.steps.spoilers.spread import Spread
from tfmo_drive.steps.train import Train
from tfmo_drive.training.distillation import SoftLabels
from tfmo_drive.training.trained_step import TrainedStep

SHORT = {"epochs": 2, "batch_size": 64}
"""As in tests/training/test_trained_step.py, so that each example is run once for both."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What this test must know of a step class: add one for every new step."""

    example: Step
    nothing: Step | None
    """Settings of zero strength, which leave the kernels as they were. None: the step has no zero."""
    bad: tuple[tuple[str, object], ...] = ()
    """(setting, a value out of its range)."""


CASES = {
    Train: Case(Train(**SHORT), nothing=Train(epochs=0), bad=()),
    Prune: Case(
        Prune(sparsity=0.7, **SHORT),
        nothing=Prune(sparsity=0, epochs=0),
        bad=(
            ("sparsity", 1.0), ("sparsity", -0.1), ("sparsity", math.nan), ("initial_sparsity", 0.9),
            ("schedule", "linear"), ("begin_epoch", -1), ("end_epoch", 99), ("end_epoch", 0), ("frequency", 0),
            ("pattern", "3:4"), ("pattern", "0x1"), ("allocation", "random"), ("threshold", -1.0),
        ),
    ),
    Regularize: Case(
        Regularize(**SHORT), nothing=Regularize(epochs=0), bad=(("penalty", "l3"), ("weight", -1), ("weight", math.nan))
    ),
    QuantizeAware: Case(
        QuantizeAware(**SHORT),
        nothing=QuantizeAware(epochs=0),
        bad=(("preserve", "channels"), ("freeze_bn_after", 1.5), ("calibration_images", 0)),
    ),
    ChannelPruning: Case(
        ChannelPruning(pruning_ratio=0.5, multiple=4, **SHORT),
        nothing=ChannelPruning(pruning_ratio=0.0, multiple=1, epochs=0),
        bad=(
            ("pruning_ratio", 1.0), ("pruning_ratio", math.nan), ("macs", 0.0), ("parameters", 2.0), ("latency", -1),
            ("allocation", "lamp"), ("multiple", 0), ("calibration_images", 0), ("rounds", 0), ("epochs_between", -1),
        ),
    ),
    Cluster: Case(
        Cluster(clusters=8, **SHORT),
        nothing=None,  # fewer values are another kernel, at any count below its weights
        bad=(
            ("clusters", 1), ("clusters", 256), ("clusters", 7.5), ("scope", "kernel"), ("start", "random"),
            ("preserve", "clusters"),
        ),
    ),
    LowRank: Case(
        LowRank(macs=0.4, multiple=4, **SHORT),
        nothing=LowRank(energy=1.0, error="kernel", epochs=0),
        bad=(
            ("energy", 0.0), ("energy", 1.5), ("energy", math.nan), ("macs", 0.0), ("method", "cp"),
            ("error", "inputs"), ("allocation", "global"), ("multiple", 0), ("calibration_images", 0),
        ),
    ),
    FoldBatchNorm: Case(FoldBatchNorm(), nothing=None, bad=()),
    DecodeInside: Case(DecodeInside(), nothing=DecodeInside(), bad=()),  # of detectors: test_decode_inside.py
    Equalize: Case(Equalize(calibration_images=20), nothing=None, bad=(("calibration_images", 0),)),
    CorrectBias: Case(CorrectBias(calibration_images=20), nothing=None, bad=(("calibration_images", 0),)),
    Spread: Case(Spread(), nothing=Spread(decades=0), bad=(("decades", -1), ("decades", 7), ("decades", math.nan))),
    Distill: Case(
        Distill(student=SmallCNN(filters=(4, 8), head=Head(units=8)), distill=SoftLabels(augmented_copies=2), **SHORT),
        nothing=None,  # SoftLabels(alpha=0) is a student without a teacher: tests/steps/test_distill.py
    ),
}  # fmt: skip
BAD_TRAINING = (
    ("epochs", -1), ("epochs", 1.5), ("batch_size", 0), ("learning_rate", 0), ("learning_rate", math.nan),
    ("warmup_epochs", -1), ("warmup_epochs", 99), ("momentum", 1), ("final_learning_rate", 2),
    ("optimizer", "adamw"), ("averaged_epochs", 99), ("averaged_epochs", -1), ("averaged_epochs", 0.5),
)  # fmt: skip


def all_steps() -> list[type[Step]]:
    """The Step classes that the files of tfmo_drive/steps define, by name."""
    names = [found.name for found in pkgutil.walk_packages(steps.__path__, f"{steps.__name__}.")]
    classes = [value for name in names for value in vars(importlib.import_module(name)).values()
               if isinstance(value, type) and issubclass(value, Step) and value.__module__ == name]  # fmt: skip
    return sorted(classes, key=lambda kind: kind.__name__)


STEPS = all_steps()
every_step = pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)


def test_the_list_of_steps_is_all_of_them():
    assert sorted(name for name, _ in catalogue.LISTS["steps"]()) == [kind.__name__ for kind in STEPS]


def case(kind: type[Step]) -> Case:
    if kind not in CASES:
        pytest.fail(f"{kind.__name__} has no Case: add one to CASES in {__file__}, so that its contract is tested.")
    return CASES[kind]


def pixels(task) -> np.ndarray:
    return task.preprocessing(task.examples("val").read(np.arange(32))[0])


def assert_equal_weights(model, expected):
    for variable, value, wanted in zip(model.weights, model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(value, wanted, err_msg=variable.name)


@every_step
def test_every_step_is_a_frozen_dataclass_with_a_case(kind):
    assert case(kind).example.__dataclass_params__.frozen
    with pytest.raises(dataclasses.FrozenInstanceError):
        case(kind).example.anything = 1


@pytest.fixture(scope="module")
def again(tiny_baseline, context):
    """again(example) -> its result in a second run, with the baseline's layout and weights from before that run."""

    def run(example):
        layout, before = tiny_baseline.to_json(), tiny_baseline.get_weights()
        return example(tiny_baseline, context()), layout, before

    return functools.cache(run)


@every_step
def test_the_model_given_and_its_weights_stay_as_they_were(kind, tiny_baseline, again):
    result, layout, before = again(case(kind).example)
    assert_equal_weights(tiny_baseline, before)
    assert tiny_baseline.to_json() == layout
    assert all(layer.trainable for layer in tiny_baseline.layers)
    assert not {id(v) for v in result.weights} & {id(v) for v in tiny_baseline.weights}


@every_step
def test_same_seed_gives_the_same_weights(kind, finished, again):
    example = case(kind).example
    assert_equal_weights(again(example)[0], finished(example).get_weights())


@every_step
def test_a_saved_stage_is_read_back_with_equal_weights_and_outputs(kind, tiny_task, tiny_baseline, context, finished,
                                                                   tmp_path):  # fmt: skip
    example, result = case(kind).example, finished(case(kind).example)
    result.save(tmp_path / "model.h5", include_optimizer=False)
    again = example.reload(tiny_baseline, tmp_path / "model.h5", context())
    assert_equal_weights(again, result.get_weights())
    batch = pixels(tiny_task)
    np.testing.assert_array_equal(again(batch, training=False), result(batch, training=False))
    example.check(again)


@every_step
def test_the_promise_holds_for_the_result_and_not_for_the_baseline(kind, tiny_baseline, finished):
    example = case(kind).example
    example.check(finished(example))
    if example.promise is None:
        example.check(tiny_baseline)
    else:
        with pytest.raises(BrokenPromise, match=kind.__name__):
            example.check(tiny_baseline)


@every_step
def test_zero_strength_changes_nothing(kind, tiny_task, tiny_baseline, finished):
    step = case(kind).nothing
    if step is None:
        return
    result = finished(step)
    for before, after in zip(layers.kernels(tiny_baseline), layers.kernels(result), strict=True):
        np.testing.assert_array_equal(before.variable, after.variable, err_msg=before.name)
    if not fake_quant.is_quantize_aware(result):  # rounding to 8 bits is what that step is for, at any strength
        batch = pixels(tiny_task)
        np.testing.assert_array_equal(result(batch, training=False), tiny_baseline(batch, training=False))


SKIPPING = [kind for kind in STEPS if "skip" in {field.name for field in dataclasses.fields(kind)}]


@pytest.mark.parametrize("kind", SKIPPING, ids=lambda kind: kind.__name__)
def test_a_misspelt_layer_to_skip_is_refused_before_an_earlier_step_trains(kind, tiny_baseline):
    step = dataclasses.replace(case(kind).example, skip=("conv1_cnov",))
    said = f"""^{kind.__name__}.skip: no layer 'conv1_cnov'. Did you mean "conv1_conv"\\?"""
    with pytest.raises(BadInput, match=said):
        refuse_model((Train(), step), tiny_baseline, None)


@pytest.mark.parametrize("kind", SKIPPING, ids=lambda kind: kind.__name__)
def test_a_layer_that_an_earlier_low_rank_may_add_is_refused_once_it_is_not_there(kind, tiny_baseline, context):
    step = dataclasses.replace(case(kind).example, skip=("conv1_conv_1",))
    refuse_model((LowRank(), step), tiny_baseline, None)
    with pytest.raises(BadInput, match=f"^{kind.__name__}.skip: no layer 'conv1_conv_1'"):
        step(tiny_baseline, context())


@every_step
def test_a_setting_out_of_range_is_refused_by_name(kind):
    bad = case(kind).bad + (BAD_TRAINING if issubclass(kind, TrainedStep) else ())
    for field, value in bad:
        with pytest.raises(BadInput) as refused:
            dataclasses.replace(case(kind).example, **{field: value})
        text = str(refused.value)
        assert kind.__name__ in text and field in text and "\n" not in text, (field, value, text)
        assert str(value) in text, f"{text} does not say what was given for {field}"


@every_step
def test_the_name_is_lower_case_with_underscores(kind):
    assert case(kind).example.name == "".join(f"_{c}" if c.isupper() else c for c in kind.__name__).lower().strip("_")
