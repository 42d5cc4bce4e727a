"""Criteria of single weights by hand, and masks from them: local, global, layer-adaptive, by threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.overrides import override
from tfmo_drive.contracts import BadInput, BrokenPromise
from tfmo_drive.networks import layers
from tfmo_drive.steps import criteria
from tfmo_drive.steps.prune import Prune
from tfmo_drive.surgery import masks

ALL = (criteria.Magnitude(), criteria.Gradient(images=128), criteria.SNIP(images=128), criteria.Chance())


@pytest.fixture(scope="module")
def linear(tiny_task):
    """Pooled pixels to logits: the gradient is (softmax - one hot) x pixels, which a hand can do."""
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(9, use_bias=False, name="logits")(pooled))


def by_hand(model, task, indices) -> np.ndarray:
    """Gradient x weight [3, 9] of the mean loss over some train examples."""
    inputs, targets = task.examples("train").read(indices)
    pixels = task.preprocessing(inputs).mean((1, 2)).astype(np.float64)
    kernel = model.get_layer("logits").kernel.numpy().astype(np.float64)
    logits = pixels @ kernel
    odds = np.exp(logits - logits.max(1, keepdims=True))
    error = odds / odds.sum(1, keepdims=True) - np.eye(9)[targets]
    return pixels.T @ error / len(indices) * kernel


def test_gradient_squares_each_batch_and_snip_their_sum(linear, tiny_task, context):
    place = context()
    weights = {"logits": linear.get_layer("logits").kernel}
    order = np.random.default_rng([place.seed, 0x7A7]).permutation(256)[:128]
    batches = [by_hand(linear, tiny_task, np.sort(order[start : start + 64])) for start in (0, 64)]
    found = criteria.Gradient(images=128).scores(linear, weights, place)["logits"]
    np.testing.assert_allclose(found, batches[0] ** 2 + batches[1] ** 2, rtol=1e-3, atol=1e-8)
    found = criteria.SNIP(images=128).scores(linear, weights, place)["logits"]
    np.testing.assert_allclose(
        found, np.abs(batches[0] + batches[1]), rtol=1e-3, atol=1e-6 * found.max()
    )  # sums cancel


def test_chance_is_seeded_and_differs_between_kernels(context):
    place = context()
    kernel = tf.Variable(np.zeros((4, 4), np.float32))
    one, same = (criteria.Chance().scores(None, {"a": kernel, "b": kernel}, place) for _ in range(2))
    np.testing.assert_array_equal(one["a"], same["a"])
    assert (one["a"] != one["b"]).any()


@pytest.mark.parametrize("criterion", ALL, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("allocation", ["uniform", "global", "lamp"])
def test_every_criterion_keeps_the_promise_under_every_allocation(criterion, allocation, tiny_baseline, context):
    step = Prune(sparsity=0.6, criterion=criterion, allocation=allocation, epochs=0)
    pruned = step(tiny_baseline, context())
    step.check(pruned)
    shares = list(layers.sparsity(pruned).values())
    assert (max(shares) - min(shares) < 0.01) == (allocation == "uniform")
    for before, after in zip(layers.kernels(tiny_baseline), layers.kernels(pruned), strict=True):
        kept = after.variable.numpy() != 0
        np.testing.assert_array_equal(after.variable.numpy()[kept], before.variable.numpy()[kept])


def test_criteria_choose_different_weights(tiny_baseline, context):
    chosen = [Prune(sparsity=0.5, criterion=one, epochs=0)(tiny_baseline, context()) for one in ALL]
    patterns = {tuple((k.variable.numpy() != 0).tobytes() for k in layers.kernels(model)) for model in chosen}
    assert len(patterns) == len(ALL)


def test_a_ramp_with_a_gradient_criterion_ends_at_its_sparsity(tiny_baseline, context):
    step = Prune(sparsity=0.7, criterion=criteria.Gradient(images=64), epochs=2, learning_rate=0.01)
    pruned = step(tiny_baseline, context())
    assert min(layers.sparsity(pruned).values()) == pytest.approx(0.7, abs=0.01)


def test_a_threshold_zeroes_what_is_smaller(tiny_baseline, context):
    step = Prune(threshold=0.05, epochs=0)
    pruned = step(tiny_baseline, context())
    for before, after in zip(layers.kernels(tiny_baseline), layers.kernels(pruned), strict=True):
        old = before.variable.numpy()
        np.testing.assert_array_equal(after.variable.numpy(), old * (np.abs(old) >= 0.05), err_msg=before.name)
    step.check(pruned)
    with pytest.raises(BrokenPromise, match="zeros below 0.05"):
        step.check(tiny_baseline)


def test_a_threshold_takes_no_allocation():
    with pytest.raises(BadInput, match="Prune.threshold takes no allocation"):
        Prune(threshold=0.1, allocation="global")


def test_global_ranking_by_hand():
    scores = [np.float32([[1, 2, 3]]), np.float32([[4, 5]])]
    assert masks.ranked(scores, 0.4) == [2 / 3, 0]
    assert masks.ranked(scores, 0.6) == [2 / 3, 0], "the best weight of a kernel stays"
    assert masks.above(scores, 2.5) == [pytest.approx(2 / 3), 0]


@given(seed=st.integers(0, 1000), sparsity=st.floats(0, 0.9))
@settings(max_examples=25, deadline=None)
def test_global_ranking_keeps_the_total(seed, sparsity):
    generator = np.random.default_rng(seed)
    scores = [generator.random(size).astype(np.float32) for size in ((8, 16), (3, 3, 8, 32), (4, 4))]
    shares = masks.ranked(scores, sparsity)
    dropped = sum(share * score.size for share, score in zip(shares, scores, strict=True))
    assert dropped == pytest.approx(sparsity * sum(score.size for score in scores), abs=len(scores))


def test_a_criterion_is_named_on_the_command_line():
    changed = override(Prune(), ["criterion=Gradient", "criterion.images=64", "allocation=global"])
    assert (changed.criterion, changed.allocation) == (criteria.Gradient(images=64), "global")


class Of(criteria.Criterion):
    def __init__(self, said):
        self.said = said

    def scores(self, model, weights, context):
        return {name: self.said(weight.numpy()) for name, weight in weights.items() if self.said}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "Of.scores must score every kernel of `weights`; there is none of logits"),
        (lambda kernel: kernel.sum(-1), r"Of.scores must have a kernel's shape: logits is \(3, 9\), got \(3,\)"),
        (lambda kernel: kernel, "Of.scores must be finite and not negative; logits has -"),
        (lambda kernel: kernel * np.nan, "Of.scores must be finite and not negative; logits has nan to nan"),
    ],
)
def test_scores_of_ones_own_that_cannot_rank_are_refused(linear, context, said, message):
    with pytest.raises(BadInput, match=message):
        criteria.scores(Of(said), linear, {"logits": linear.get_layer("logits").kernel}, context)


def test_a_misspelt_criterion_is_answered_with_those_there_are():
    with pytest.raises(BadInput, match='must be a Criterion, got Magnitud. Did you mean "Magnitude".*Chance'):
        override(Prune(sparsity=0.5), ["criterion=Magnitud"])
