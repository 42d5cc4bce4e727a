"""The training loop: seeded batches, the schedule, best weights, non-finite losses, resuming after an interruption."""

from __future__ import annotations

import dataclasses
import functools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import batches
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.networks.networks import Head, build
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.training import callbacks, trained_step
from tfmo_drive.training.distillation import SoftLabels
from tfmo_drive.training.optimizers import optimizer

SHORT = {"epochs": 2, "batch_size": 64}
AVERAGED = {"averaged_epochs": 2, **SHORT}
INTERRUPTED = (
    Train(**SHORT),
    Train(optimizer="adam", learning_rate=0.001, **AVERAGED),
    Prune(sparsity=0.7, **SHORT),
    Prune(sparsity=0.7, distill=SoftLabels(augmented_copies=2), **SHORT),
    QuantizeAware(**SHORT),  # its BatchNorm is frozen in the second epoch, so only after the interruption
    ChannelPruning(pruning_ratio=0.5, multiple=4, **SHORT),
    LowRank(macs=0.5, multiple=4, **SHORT),
    Cluster(clusters=8, **SHORT),
    Distill(student=SmallCNN(filters=(4, 8), head=Head(units=8)), distill=SoftLabels(augmented_copies=2), **SHORT),
)


class PowerCutError(Exception):
    """The process is gone."""


def killed_in(monkeypatch, epoch: int, batch: int):
    """The next training dies at the end of this batch of this epoch (from 0)."""
    watch = callbacks.StopOnNonFinite.on_train_batch_end

    def die(self, number, logs=None):
        if (self.epoch, number) == (epoch, batch):
            raise PowerCutError
        watch(self, number, logs)

    monkeypatch.setattr(callbacks.StopOnNonFinite, "on_train_batch_end", die)


@pytest.fixture(scope="module")
def narrow(tiny_task):
    """Two convolutions with BatchNorm and two dense layers, wide enough that every step finds something to do."""
    keras.utils.set_random_seed(0)
    network = SmallCNN(filters=(8, 16), head=Head(units=16))
    return build(network, tiny_task.image_size, len(tiny_task.class_names))


@pytest.fixture(scope="module")
def whole(narrow, context):
    """whole(step) -> what the step makes of it uninterrupted; run once, so nobody may change it."""
    return functools.cache(lambda step: step(narrow, context(baseline=narrow)))


@pytest.mark.parametrize(
    "step", INTERRUPTED, ids=lambda step: f"{step.name}_{step.optimizer}" + "_taught" * bool(step.distill)
)
def test_interrupted_in_mid_epoch_it_ends_in_the_same_weights(step, whole, narrow, context, monkeypatch):
    place = context(baseline=narrow)
    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        killed_in(patch, epoch=1, batch=2)
        step(narrow, place)
    done = json.loads((place.workdir / "curves.json").read_text())["epoch"]
    assert done == [1]
    resumed = step(narrow, place)
    assert json.loads((place.workdir / "curves.json").read_text())["epoch"] == [1, 2]
    expected = whole(step)
    for variable, ours, wanted in zip(resumed.weights, resumed.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, wanted, err_msg=variable.name)


@pytest.mark.parametrize("seed", [None, 1])
def test_dropout_too_goes_on_as_if_uninterrupted(seed, context, monkeypatch):
    inputs = keras.Input((32, 32, 3))
    turned = keras.layers.RandomFlip(seed=seed)(inputs)
    hidden = keras.layers.Dropout(0.5, seed=seed)(keras.layers.Conv2D(4, 3, strides=8, name="conv")(turned))
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    model = keras.Model(inputs, keras.layers.Dense(9, name="logits")(hidden))
    step, place = Train(learning_rate=0.001, **SHORT), context()
    expected = step(model, context()).get_weights()
    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        killed_in(patch, epoch=1, batch=2)
        step(model, place)
    keras.utils.set_random_seed(99)  # another process, which has sampled other numbers
    for ours, wanted in zip(step(model, place).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_killed_before_the_first_epoch_ends_it_starts_anew(whole, narrow, context, monkeypatch):
    place = context(baseline=narrow)
    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        killed_in(patch, epoch=0, batch=1)
        INTERRUPTED[0](narrow, place)
    assert not (place.workdir / "progress.npz").exists()
    resumed = INTERRUPTED[0](narrow, place).get_weights()
    for ours, wanted in zip(resumed, whole(INTERRUPTED[0]).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_progress_that_a_power_cut_left_in_part_is_not_gone_on_from(kept, context, monkeypatch):
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(9, name="logits")(keras.layers.GlobalAveragePooling2D()(inputs)))
    step, place = Train(learning_rate=0.001, **SHORT), context()
    expected = step(model, context()).get_weights()
    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        killed_in(patch, epoch=1, batch=1)
        step(model, place)
    progress = place.workdir / "progress.npz"
    content = progress.read_bytes()
    progress.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    for ours, wanted in zip(step(model, place).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, wanted)


OTHERS = {
    Prune(sparsity=0.5, **SHORT): (Prune(sparsity=0.9, **SHORT), Train(**SHORT), ChannelPruning(multiple=4, **SHORT)),
    ChannelPruning(pruning_ratio=0.3, multiple=4, rounds=2, **SHORT): (
        ChannelPruning(pruning_ratio=0.6, multiple=4, rounds=2, **SHORT),
    ),
    Cluster(clusters=8, **SHORT): (Cluster(clusters=4, **SHORT),),
}


@pytest.mark.parametrize("step", OTHERS, ids=lambda step: step.name)
def test_another_steps_progress_is_refused_by_name_and_the_same_steps_is_its_result(step, small_cnn, context):
    place = context(seed=3)
    first = step(small_cnn, place).get_weights()
    before = {path: path.stat().st_mtime_ns for path in place.workdir.rglob("*.npz")}
    assert before
    for other in OTHERS[step]:
        with pytest.raises(BadInput, match=rf"holds the progress of {type(step).__name__}\(.*, not of ") as refused:
            other(small_cnn, place)
        assert str(refused.value).isprintable() and "Choose another workdir" in str(refused.value)
    for found, wanted in zip(step(small_cnn, place).get_weights(), first, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert {path: path.stat().st_mtime_ns for path in place.workdir.rglob("*.npz")} == before, "nothing was trained"


def test_the_progress_of_other_weights_data_or_seed_is_refused(small_cnn, tiny_task, context, tmp_path):
    step, place = Train(epochs=1, batch_size=64), context()
    step(small_cnn, place)
    moved = trained_step.copy(small_cnn)
    moved.set_weights([weight + 0.01 for weight in moved.get_weights()])
    mirrored = dataclasses.replace(tiny_task, augmentation=dataclasses.replace(tiny_task.augmentation, shift=0.11))
    fewer = dataclasses.replace(tiny_task, scenes=dataclasses.replace(tiny_task.scenes, train=128))
    changes = {
        "first weights": (moved, place),
        "seed": (small_cnn, dataclasses.replace(place, seed=7)),
        "data": (small_cnn, dataclasses.replace(place, task=fewer)),
        "data,": (small_cnn, dataclasses.replace(place, task=mirrored)),
    }
    for words, (model, other) in changes.items():
        with pytest.raises(BadInput, match=f"begun with other {words.rstrip(',')},"):
            step(model, other)
    (place.workdir / "begun.json").unlink()
    with pytest.raises(BadInput, match=r"progress\.npz is progress, and no begun\.json says of what"):
        step(small_cnn, place)
    (place.workdir / "begun.json").write_text("[1")
    with pytest.raises(BadInput, match=r"begun\.json is not what a run writes"):
        step(small_cnn, place)


def test_a_changed_teacher_is_another_beginning(small_cnn, context, tmp_path):
    step, place = Train(epochs=1, batch_size=64, distill=SoftLabels(augmented_copies=1)), context()
    step(small_cnn, place)
    other = dataclasses.replace(place, baseline=small_cnn)
    with pytest.raises(BadInput, match="begun with other baseline"):
        step(small_cnn, other)


def _saved_again(path, change):
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


WRONG_PROGRESS = (
    lambda path: _saved_again(path, lambda arrays: arrays.pop("weight_00000")),
    lambda path: _saved_again(path, lambda arrays: arrays.update(weight_00000=np.zeros(3))),
    lambda path: _saved_again(path, lambda arrays: arrays.update(slot_00000=np.zeros(3))),
    lambda path: _saved_again(path, lambda arrays: arrays.update(best_00099=np.zeros(3, np.float32))),
    lambda path: _saved_again(path, lambda arrays: arrays.update(curves=np.array("[1, 2]"))),
    lambda path: _saved_again(path, lambda arrays: arrays.update(curves=np.array('{"epoch": [1]}'))),
    lambda path: _saved_again(path, lambda arrays: arrays.update(score=np.array("high"))),
    lambda path: _saved_again(path, lambda arrays: arrays.pop("curves")),
    lambda path: path.write_bytes(b"PK" + path.read_bytes()[2:-9]),
)


@pytest.mark.parametrize("damage", WRONG_PROGRESS)
def test_progress_that_this_step_cannot_have_written_is_begun_again(damage, linear, context, monkeypatch):
    step, place = Train(epochs=1, batch_size=128, learning_rate=0.001), context()
    expected = step(linear, place).get_weights()
    damage(place.workdir / "progress.npz")
    for ours, wanted in zip(step(linear, place).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, wanted)


@pytest.fixture(scope="module")
def linear(tiny_task):
    """Quick to trace, and without the ReLU that would turn a NaN into a zero."""
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, keras.layers.Dense(9, name="logits")(keras.layers.Flatten()(inputs)))


def test_the_best_weights_by_selection_score_on_val_are_left_the_later_of_equals(linear, context, monkeypatch):
    after_epoch, said = [], iter([0.2, 0.9, 0.9, 0.5])

    def scorer(model, task):
        def selection_score(split):
            assert split == "val"
            after_epoch.append(model.get_weights())
            return next(said)

        return SimpleNamespace(selection_score=selection_score)

    monkeypatch.setattr(trained_step, "Scorer", scorer)
    left = Train(epochs=4, batch_size=256)(linear, context()).get_weights()
    same = [all(np.array_equal(a, b) for a, b in zip(left, weights, strict=True)) for weights in after_epoch]
    assert same == [False, False, True, False]


def test_epochs_before_the_ramp_has_ended_cannot_be_the_best(linear, context, monkeypatch):
    said = iter([0.9, 0.1, 0.05])
    monkeypatch.setattr(trained_step, "Scorer", lambda *_: SimpleNamespace(selection_score=lambda split: next(said)))
    step = Prune(sparsity=0.8, epochs=3, batch_size=64)
    step.check(step(linear, context()))


@pytest.mark.parametrize(("said", "kept"), [([0.9, 0.2, 0.8], 0), ([0.5, 0.6, 0.4], 1), ([0.5, 0.1, 0.5], 2)])
def test_the_start_stays_where_it_counts_and_no_epoch_is_as_good(said, kept, linear, context, monkeypatch):
    model, after = trained_step.copy(linear), []

    def scorer(*_):
        return SimpleNamespace(selection_score=lambda split: after.append(model.get_weights()) or said[len(after) - 1])

    monkeypatch.setattr(trained_step, "Scorer", scorer)
    trained_step.train(model, Train(epochs=2), context(), trained_step.Hooks(start_counts=True))
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), after[kept], strict=True))
    assert not any(np.array_equal(*pair) for pair in zip(after[0], after[1], strict=True))


@pytest.fixture
def poisoned(monkeypatch):
    """The third batch of the second epoch is NaN."""
    served = batches.TrainingBatches.epoch

    def serve(self, epoch):
        dataset = served(self, epoch)
        if epoch != 1:
            return dataset
        return dataset.enumerate().map(lambda i, pair: (tf.where(i == 2, np.nan, pair[0]), pair[1]))

    monkeypatch.setattr(batches.TrainingBatches, "epoch", serve)


def test_a_loss_that_is_not_finite_names_epoch_and_batch_and_examples(poisoned, linear, context):
    with pytest.raises(BadInput, match=r"loss became nan in epoch 2, batch 3 .*Lower learning_rate") as refused:
        Train(epochs=2, batch_size=64)(linear, context())
    third = batches.order(256, 0, 1)[128:136]
    assert ", ".join(map(str, third)) in str(refused.value)


def test_weights_that_are_not_finite_are_refused_where_a_relu_hides_them_from_the_loss(poisoned, small_cnn, context):
    place = context()
    # Whether it hides them is up to the kernel that TensorFlow picks: once in many runs the loss shows them.
    with pytest.raises(BadInput, match=r"weights \(first .*\) are not finite after epoch 2|loss became nan in epoch 2"):
        Train(epochs=2, batch_size=64)(small_cnn, place)
    assert json.loads((place.workdir / "curves.json").read_text())["epoch"] == [1], "the bad epoch is not kept"


def test_the_learning_rate_warms_up_and_ends_as_asked():
    fit = Train(epochs=10, learning_rate=0.4, warmup_epochs=2, final_learning_rate=0.05)
    rate = optimizer(fit, steps_per_epoch=50).learning_rate
    rates = np.array([float(rate(step)) for step in (0, 50, 100, 300, 500)])
    half = 0.4 * (0.05 + 0.95 / 2)  # the cosine's middle
    np.testing.assert_allclose(rates, [0.04, 0.22, 0.4, half, 0.02], rtol=1e-5)


def test_without_warm_up_it_starts_at_the_full_rate():
    rate = optimizer(Train(epochs=2, learning_rate=0.3, warmup_epochs=0), 10).learning_rate
    assert float(rate(0)) == pytest.approx(0.3) and float(rate(20)) == pytest.approx(0.003)


def test_averaged_epochs_end_in_the_mean_of_their_weights(linear, context, monkeypatch):
    after_epoch = []

    def scorer(model, task):
        return SimpleNamespace(selection_score=lambda split: after_epoch.append(model.get_weights()) or 0.5)

    monkeypatch.setattr(trained_step, "Scorer", scorer)
    left = Train(epochs=4, batch_size=256, averaged_epochs=3)(linear, context()).get_weights()
    for found, *epochs in zip(left, *after_epoch[1:], strict=True):
        np.testing.assert_allclose(found, np.mean(epochs, axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "step", [
        Prune(sparsity=0.7, **AVERAGED),
        QuantizeAware(**AVERAGED),  # counts its steps in a variable, of which there is no mean
        ChannelPruning(pruning_ratio=0.5, multiple=4, rounds=2, **AVERAGED),  # of the last round
    ],
    ids=lambda step: step.name,
)  # fmt: skip
def test_a_mean_of_epochs_keeps_what_the_step_promises(step, whole):
    step.check(whole(step))


@pytest.mark.parametrize("kind, settings", [(Cluster, {"clusters": 8}), (QuantizeAware, {"preserve": "clusters"})])
def test_shared_weights_have_no_mean(kind, settings):
    with pytest.raises(BadInput, match="averaged_epochs: a mean of epochs shares no weights"):
        kind(**settings, **AVERAGED)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_adam_steps_as_its_paper_says(momentum):
    gradients = [np.array([1000.0, 0.1]), np.array([-300.0, 0.2])]
    step = Train(optimizer="adam", learning_rate=0.01, warmup_epochs=0, final_learning_rate=1, momentum=momentum)
    adam, found = optimizer(step, 10), tf.Variable([0.0, 0.0])
    wanted, first, second = np.zeros(2), np.zeros(2), np.zeros(2)
    for count, gradient in enumerate(gradients, 1):
        adam.apply_gradients([(tf.constant(gradient, tf.float32), found)])
        first = momentum * first + (1 - momentum) * gradient
        second = 0.999 * second + 0.001 * gradient**2
        wanted -= 0.01 * first / (1 - momentum**count) / np.sqrt(second / (1 - 0.999**count))
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-3)


@given(st.integers(1, 500), st.integers(0, 9), st.integers(0, 9))
@settings(deadline=None)
def test_the_order_is_a_permutation_of_its_own_for_every_epoch(count, seed, epoch):
    order = batches.order(count, seed, epoch)
    assert sorted(order) == list(range(count))
    assert np.array_equal(order, batches.order(count, seed, epoch))
    if count > 20:
        assert not np.array_equal(order, batches.order(count, seed, epoch + 1))
        assert not np.array_equal(order, batches.order(count, seed + 1, epoch))


def served(place, epoch) -> tuple[np.ndarray, np.ndarray]:
    pairs = list(batches.TrainingBatches(place, 100).epoch(epoch))
    assert len(pairs) == 2, "256 examples are two whole batches of 100"
    return np.concatenate([inputs for inputs, _ in pairs]), np.concatenate([targets for _, targets in pairs])


def test_batches_are_equal_for_equal_seed_and_epoch_and_differ_otherwise(context):
    inputs, targets = served(context(), 3)
    again, labels = served(context(), 3)
    np.testing.assert_array_equal(inputs, again)
    np.testing.assert_array_equal(targets, labels)
    for other, _ in (served(context(), 4), served(context(seed=1), 3)):
        assert not np.array_equal(inputs, other)


def test_the_targets_belong_to_their_images(context, tiny_task):
    _, targets = served(context(), 0)
    wanted = tiny_task.examples("train").labels[batches.order(256, 0, 0)[:200]]
    np.testing.assert_array_equal(targets, wanted)


def test_graph_and_numpy_preprocess_alike(tiny_task):
    pixels = tiny_task.examples("val").read(np.arange(4))[0]
    ours = batches.preprocess(tiny_task, tf.cast(pixels, tf.float32))
    np.testing.assert_allclose(ours, tiny_task.preprocessing(pixels), rtol=1e-6, atol=1e-4)


def test_scoring_batches_are_the_whole_split_in_order_and_raw(tiny_task):
    pairs = list(batches.scoring_batches(tiny_task, "test", size=48))
    pixels, labels = tiny_task.examples("test").read(np.arange(64))
    np.testing.assert_array_equal(np.concatenate([inputs for inputs, _ in pairs]), pixels)
    np.testing.assert_array_equal(np.concatenate([targets for _, targets in pairs]), labels)


def test_steps_that_keep_nothing_share_a_workdir(small_cnn, context):
    place = context()
    for step in (
        Train(epochs=0),
        Prune(sparsity=0.5, epochs=0),
        ChannelPruning(multiple=4, epochs=0),
        Cluster(epochs=0),
    ):
        step(small_cnn, place)
