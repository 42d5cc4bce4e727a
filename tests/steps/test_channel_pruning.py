"""Channel removal as a step: importance and widths by hand, BatchNorm estimated again, and what it composes with."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tfmo_drive.base import run_folder
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.overrides import override
from tfmo_drive.contracts import BadInput, Target
from tfmo_drive.experiment import Experiment
from tfmo_drive.runtimes import timed_turns
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.surgery import batch_norm, importance
from tfmo_drive.surgery.channel_graph import ChannelGraph, ChannelGroup
from tfmo_drive.targets.litert import LiteRTFloat32
from tfmo_drive.training import scoring, trained_step

layers = keras.layers


@pytest.fixture(scope="module")
def chain():
    """Dense 2 -> 4 -> 1 whose four filters are (3, 4), (0, 1), (0, -1), (6, 8)."""
    inputs = keras.Input((2,))
    x = layers.Dense(4, name="a")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="b")(layers.BatchNormalization(name="norm")(x)))
    model.get_layer("a").set_weights([np.float32([[3, 0, 0, 6], [4, 1, -1, 8]]), np.zeros(4, np.float32)])
    model.get_layer("norm").gamma.assign([1, -2, 3, 2])
    return ChannelGraph(model)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (importance.L1(), [7, 1, 1, 14]),
        (importance.L2(), [5, 1, 1, 10]),
        (importance.GeometricMedian(), [4.2426 + 5.831 + 5, 4.2426 + 2 + 9.2195, 5.831 + 2 + 10.8167, 25.0362]),
        (importance.BatchNormScale(), [1, 2, 3, 2]),
    ],
    ids=repr,
)
def test_importance_by_hand(kind, expected, chain):
    (group,) = chain.groups
    assert kind(chain, group) == pytest.approx(np.array(expected) / np.mean(expected), rel=1e-4)


def test_taylor_is_the_squared_sum_of_gradient_times_weight(tiny_task, context):
    """By hand: the gradient of softmax cross-entropy through one dense layer."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    hidden = layers.Dense(5, use_bias=False, name="a")(layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, layers.Dense(9, use_bias=False, name="logits")(hidden))
    place = context()
    scores = importance.Taylor(images=32).fitted(model, place).layer_scores(model.get_layer("a"))
    indices = np.sort(np.random.default_rng([0, 0x7A7]).permutation(256)[:32])
    pixels, targets = tiny_task.examples("train").read(indices)
    features = tiny_task.preprocessing(pixels).mean((1, 2)).astype(np.float64)
    first, second = (model.get_layer(name).kernel.numpy().astype(np.float64) for name in ("a", "logits"))
    logits = features @ first @ second
    odds = np.exp(logits - logits.max(1, keepdims=True))
    error = (odds / odds.sum(1, keepdims=True) - np.eye(9)[targets]) / 32
    expected = ((features.T @ error @ second.T) * first).sum(0) ** 2
    np.testing.assert_allclose(scores, expected, rtol=1e-3)


def test_every_importance_can_be_asked_of_a_resnet(tiny_baseline, context):
    place = context()
    kinds = (importance.L1(), importance.L2(), importance.GeometricMedian(), importance.BatchNormScale(),
             importance.Taylor(images=64), importance.Random())  # fmt: skip
    chosen = [ChannelPruning(importance=kind, multiple=4, epochs=0).structure(tiny_baseline, place) for kind in kinds]
    assert {model.count_params() for model in chosen} == {chosen[0].count_params()}
    kernels = [model.get_layer("conv1_conv").kernel.numpy().tobytes() for model in chosen]
    assert len(set(kernels)) > 3


def test_importance_is_named_on_the_command_line():
    changed = override(ChannelPruning(), ["importance=Taylor", "importance.images=64", "macs=0.25"])
    assert (changed.importance, changed.macs) == (importance.Taylor(images=64), 0.25)


def test_random_importance_is_seeded(chain):
    (group,) = chain.groups
    one, same, other = (importance.Random(seed)(chain, group) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_importance_that_says_nothing_of_a_group_is_told():
    inputs = keras.Input((2,))
    plain = ChannelGraph(keras.Model(inputs, layers.Dense(1)(layers.Dense(4, name="a")(inputs))))
    with pytest.raises(BadInput, match="BatchNormScale says nothing of 4 channels of a"):
        importance.BatchNormScale()(plain, plain.groups[0])


@pytest.mark.parametrize(
    ("count", "each", "share", "multiple", "left"),
    [(64, 1, 0.5, 8, 32), (64, 1, 0.3, 8, 48), (64, 1, 0.99, 8, 8), (6, 1, 0.5, 8, 6), (10, 1, 0.0, 8, 8),
     (10, 1, 0.4, 1, 6), (10, 8, 0.3, 8, 7), (10, 6, 0.3, 8, 8)],
)  # fmt: skip
def test_widths_are_multiples(count, each, share, multiple, left):
    group = ChannelGroup(("a",), np.arange(count), each)
    assert ChannelPruning(multiple=multiple)._left(group, share) == left
    assert left == count or left * each % multiple == 0


def test_channels_that_can_only_go_all_at_once_are_named():
    inputs = keras.Input((4, 6, 3))
    turned = layers.Permute((1, 3, 2))(layers.Conv2D(6, 1, name="first")(inputs))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(turned))
    assert set(ChannelPruning().skipped_layers(model)) == {"first"}


def test_the_least_important_go_and_the_rest_are_the_same_numbers(chain, context):
    step = ChannelPruning(pruning_ratio=0.5, multiple=1, epochs=0)
    (group,) = chain.groups
    removed = step._least([group], [step.importance(chain, group)], 0.5)
    smaller = chain.without(removed)
    np.testing.assert_array_equal(smaller.get_layer("a").kernel, [[3, 6], [4, 8]])
    np.testing.assert_array_equal(smaller.get_layer("norm").gamma, [1, 2])


def test_global_allocation_takes_more_where_scores_are_low(tiny_baseline):
    channels = ChannelGraph(tiny_baseline)
    groups = list(channels.groups)
    step = ChannelPruning(pruning_ratio=0.5, multiple=1, allocation="global")
    total = sum(len(group.channels) for group in groups)
    removed = step._least(groups, [step.importance(channels, group) for group in groups], 0.5)
    assert len(removed) == pytest.approx(total / 2, abs=len(groups))
    shares = [np.isin(group.channels, removed).mean() for group in groups]
    assert max(shares) > 0.5 > min(shares)


@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_a_budget_of_multiply_accumulates_is_met_and_used(allocation, tiny_baseline, context):
    narrow = ChannelPruning(macs=0.4, multiple=1, allocation=allocation, epochs=0)(tiny_baseline, context())
    assert 0.33 < ChannelGraph(narrow).macs() / ChannelGraph(tiny_baseline).macs() <= 0.4


def test_a_budget_that_cannot_be_met_says_the_smallest_that_can(tiny_baseline, context):
    with pytest.raises(BadInput, match=r"macs=0.001 cannot be met .* 0\.\d+ is the smallest") as refused:
        ChannelPruning(macs=0.001, multiple=4, epochs=0)(tiny_baseline, context())
    smallest = float(str(refused.value).split(": ")[1].split()[0])
    ChannelPruning(macs=smallest, multiple=4, epochs=0)(tiny_baseline, context())


def test_a_budget_of_parameters_is_met_and_counted_as_keras_does(tiny_baseline, context):
    narrow = ChannelPruning(parameters=0.3, multiple=1, epochs=0)(tiny_baseline, context())
    assert 0.2 < narrow.count_params() / tiny_baseline.count_params() <= 0.3
    channels = ChannelGraph(tiny_baseline)
    assert channels.parameters() == tiny_baseline.count_params()
    removed = np.concatenate([group.channels[::2] for group in channels.groups])
    assert channels.parameters(removed) == channels.without(removed).count_params()


class Sleepy(Target):
    """A board on which a thousand weights take a millisecond."""

    name = "sleepy"

    def __call__(self, model, folder, context):
        seconds = model.count_params() * 1e-6
        return SimpleNamespace(runner=lambda example: lambda: time.sleep(seconds))


def test_a_budget_of_latency_is_met_on_the_last_target_and_remembered(tiny_baseline, context, monkeypatch):
    turns = timed_turns.in_turns
    monkeypatch.setattr(timed_turns, "in_turns", lambda runs, seconds, repeats: turns(runs, 0.2, repeats))
    place = dataclasses.replace(context(), targets=(LiteRTFloat32(), Sleepy()))
    step = ChannelPruning(latency=0.5, multiple=1, epochs=0)
    narrow = step(tiny_baseline, place)
    assert 0.3 < narrow.count_params() / tiny_baseline.count_params() < 0.6
    again = step(tiny_baseline, dataclasses.replace(place, targets=()))
    np.testing.assert_array_equal(again.get_weights()[0], narrow.get_weights()[0])
    for damaged in ("[", "7.5", '{"ratio": 0.5}', "NaN"):
        (place.workdir / "pruning_ratio.json").write_text(damaged)
        with pytest.raises(BadInput, match=r"pruning_ratio\.json (is not|must hold)"):
            step(tiny_baseline, place)


def test_two_budgets_are_one_too_many():
    with pytest.raises(BadInput, match="one budget, got macs and latency"):
        ChannelPruning(macs=0.5, latency=0.5)


@pytest.mark.parametrize("aim", [{"pruning_ratio": 0.75}, {"macs": 0.2}, {"parameters": 0.2}], ids=str)
def test_rounds_end_where_one_shot_does(aim, tiny_baseline, context):
    once, thrice = (
        ChannelPruning(**aim, multiple=1, rounds=rounds, epochs=0, epochs_between=0)(tiny_baseline, context())
        for rounds in (1, 3)
    )
    assert ChannelGraph(thrice).macs() == pytest.approx(ChannelGraph(once).macs(), rel=0.15)
    for name, bound in aim.items():
        if name != "pruning_ratio":
            found = thrice.count_params() / tiny_baseline.count_params()
            found = found if name == "parameters" else ChannelGraph(thrice).macs() / ChannelGraph(tiny_baseline).macs()
            assert found <= bound


def test_finished_rounds_are_not_trained_again(tiny_baseline, context, monkeypatch):
    place = context()
    step = ChannelPruning(pruning_ratio=0.5, multiple=4, rounds=2, epochs_between=1, epochs=1)
    first = step(tiny_baseline, place)
    (place.workdir / "stage.json").write_text('{"key": "as it was made"}')
    curves = run_folder.StageFolder(place.workdir, "as it was made").curves()
    assert curves["epoch"] == [1, 2] and len(curves["loss"]) == len(curves["val_score"]) == 2
    trained = []
    monkeypatch.setattr(trained_step._Loop, "run", lambda loop, epoch: trained.append(epoch))
    again = step(tiny_baseline, place)
    assert not trained
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_multiply_accumulates_are_those_that_the_file_counts(tiny_task, tiny_baseline, context, tmp_path):
    place = context()
    narrow = ChannelPruning(pruning_ratio=0.5, multiple=4, epochs=0)(tiny_baseline, place)
    for model in (tiny_baseline, narrow):
        artifact = LiteRTFloat32()(model, tmp_path, place)
        folded = tiny_task.image_size**2 * 9  # the channel order and mean, as a 1x1 convolution
        assert artifact.macs() - ChannelGraph(model).macs() in (0, folded)


def test_skipped_layers_keep_their_channels(tiny_baseline, context):
    step = ChannelPruning(pruning_ratio=0.5, multiple=4, skip=("conv1_conv",), epochs=0)
    with pytest.raises(BadInput, match='ChannelPruning.skip: no layer .* Did you mean "conv1_conv"'):
        dataclasses.replace(step, skip=("conv1_cnov",))(tiny_baseline, context())
    smaller = step(tiny_baseline, context())
    assert smaller.get_layer("conv1_conv").filters == tiny_baseline.get_layer("conv1_conv").filters
    assert (
        smaller.get_layer("conv2_block1_1_conv").filters == tiny_baseline.get_layer("conv2_block1_1_conv").filters / 2
    )


def test_batch_norm_is_estimated_on_the_narrow_network():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, layers.BatchNormalization(momentum=0.9)(inputs))
    values = np.random.default_rng(0).normal(3, 2, (256, 4, 4, 3)).astype(np.float32)
    batch_norm.reestimate(model, values)
    norm = model.layers[-1]
    np.testing.assert_allclose(norm.moving_mean, values.mean((0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(norm.moving_variance, values.var((0, 1, 2)), rtol=2e-2)
    assert norm.momentum == 0.9


def test_training_brings_the_score_back_and_the_result_can_be_quantised(tiny_task, tiny_baseline, finished, context):
    step = ChannelPruning(pruning_ratio=0.5, multiple=4, epochs=2, batch_size=64)
    narrow = finished(step)
    assert narrow.count_params() < 0.4 * tiny_baseline.count_params()
    at_once = dataclasses.replace(step, epochs=0)(tiny_baseline, context())
    assert scoring.score(narrow, tiny_task, "train") > scoring.score(at_once, tiny_task, "train")
    quantized = QuantizeAware(epochs=0, calibration_images=64)(narrow, context())
    assert scoring.score(quantized, tiny_task, "train") > 0.8 * scoring.score(narrow, tiny_task, "train")


def test_zeros_come_after_removal(tiny_task):
    with pytest.raises(BadInput, match="Put ChannelPruning first"):
        Experiment(task=tiny_task, recipe=(Prune(), ChannelPruning()))
    Experiment(task=tiny_task, recipe=(ChannelPruning(), Prune()))
