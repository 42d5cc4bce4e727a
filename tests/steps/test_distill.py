"""Distillation: the loss by hand, the control without a teacher, and cached logits of the copies that are served."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import batches
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.networks.networks import Head
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.train import Train
from tfmo_drive.training import teacher
from tfmo_drive.training.distillation import Distiller, SoftLabels, distillation_loss

STUDENT = SmallCNN(filters=(4, 8), head=Head(units=8))
LOGITS = np.float32([[1, 2, 0], [0, -1, 3]])
TEACHERS = np.float32([[0, 3, 0], [1, 1, 2]])


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values)
    return raised / raised.sum(-1, keepdims=True)


def soft_by_hand(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    crossed = -(softmax(teacher / temperature) * np.log(softmax(student / temperature))).sum(-1)
    return temperature**2 * crossed.mean()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_distillation_loss_by_hand(temperature):
    found = float(distillation_loss(tf.constant(LOGITS), tf.constant(TEACHERS), temperature))
    assert found == pytest.approx(soft_by_hand(LOGITS, TEACHERS, temperature), rel=1e-5)


def test_the_gradient_of_the_distillation_loss_keeps_its_scale_as_the_temperature_grows():
    """T^2 cancels the 1/T^2 of softened gradients: Hinton et al. 2015, section 2.1 (the limit is centred logits)."""
    student, teacher = tf.constant(LOGITS), tf.constant(TEACHERS)
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = distillation_loss(student, teacher, 1000.0)
    difference = LOGITS - TEACHERS
    limit = (difference - difference.mean(-1, keepdims=True)) / 3 / len(LOGITS)
    np.testing.assert_allclose(tape.gradient(loss, student), limit, atol=2e-3)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_one_step_reports_the_mixed_loss_by_hand(alpha, tiny_task):
    inputs = keras.Input((3,))
    student = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    distiller = Distiller(student, dataclasses.replace(tiny_task, outputs="logits"), SoftLabels(alpha=alpha))
    distiller.compile(keras.optimizers.legacy.SGD(0.1))
    hard = np.array([1, 2])
    loss = distiller.train_on_batch(LOGITS, {"hard": hard, "soft": TEACHERS})
    crossed = -np.log(softmax(LOGITS)[np.arange(2), hard]).mean()
    assert loss == pytest.approx((1 - alpha) * crossed + alpha * soft_by_hand(LOGITS, TEACHERS, 4.0), rel=1e-5)


def test_without_a_teacher_it_is_plain_training_of_the_same_student(tiny_baseline, context, finished):
    settings = {"epochs": 2, "batch_size": 64, "learning_rate": 0.02}
    distill = Distill(student=STUDENT, distill=SoftLabels(alpha=0.0), **settings)
    taught = finished(distill)
    start = distill.structure(tiny_baseline, context())
    assert any(np.any(a != b) for a, b in zip(start.get_weights(), taught.get_weights(), strict=True))
    plain = Train(warmup_epochs=distill.warmup_epochs, **settings)(start, context())
    for ours, expected in zip(taught.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def cached(context, tiny_baseline):
    place = context()
    return place, teacher.cached_logits(tiny_baseline, 2, place)


def test_logits_changed_in_the_cache_are_computed_again(context, tiny_baseline, cache):
    def logits():
        return teacher.cached_logits(tiny_baseline, 1, context(seed=11)).read(0, np.arange(256))

    before = set((cache / "teacher").glob("[!.]*"))
    good = logits()
    (entry,) = set((cache / "teacher").glob("[!.]*")) - before
    for damage in (lambda data: data[:-4], lambda data: data[:100] + b"\0\0\x80\x7f" + data[104:]):
        path = entry / "logits.rows"
        path.write_bytes(damage(path.read_bytes()))
        np.testing.assert_array_equal(logits(), good)
    assert sorted(path.name for path in entry.iterdir()) == ["logits.rows", "sealed.json"]


@pytest.mark.parametrize(
    "bad", [{"temperature": 0}, {"temperature": math.inf}, {"alpha": 1.1}, {"alpha": -0.1}, {"augmented_copies": 0}]
)
def test_soft_labels_out_of_range_are_refused(bad):
    with pytest.raises(BadInput, match=f"SoftLabels.{next(iter(bad))} must be"):
        SoftLabels(**bad)


def test_a_teacher_of_ones_own_is_a_file(small_cnn, context, tmp_path):
    path = tmp_path / "teacher.h5"
    small_cnn.save(path, include_optimizer=False)
    labels, place = SoftLabels(augmented_copies=1, teacher=str(path)), context()
    with pytest.raises(BadInput, match="distill.teacher: .* say how its input was made, with --set=task.preprocessing"):
        teacher.attached(labels, place)
    place = dataclasses.replace(place, task=dataclasses.replace(place.task, preprocessing_name="caffe"))
    indices = np.array([5, 0])
    pixels = np.concatenate(list(batches.augmented_batches(place, 0)))[indices]
    found = teacher.attached(labels, place).read(0, indices)
    np.testing.assert_allclose(found, small_cnn(pixels, training=False), rtol=1e-3, atol=1e-3)
    assert Train(distill=labels).files == (path,) and Train(distill=SoftLabels()).files == ()


def test_a_teacher_that_cannot_teach_is_refused(small_cnn, context, tmp_path):
    weights = tmp_path / "weights.h5"
    small_cnn.save_weights(weights)
    other = tmp_path / "other.h5"
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs))).save(other, include_optimizer=False)
    for path, words in ((weights, "weights alone"), (other, "9 classes"), (tmp_path / "none.h5", "there is no")):
        with pytest.raises(BadInput, match=f"distill.teacher: .*{words}"):
            teacher.attached(SoftLabels(teacher=str(path)), context())


def test_a_pruned_model_stays_closer_to_the_teacher_that_it_hears(tiny_task, tiny_baseline, finished):
    pixels = tiny_task.preprocessing(tiny_task.examples("test").read(np.arange(64))[0])
    settings = {"sparsity": 0.7, "epochs": 2, "batch_size": 64}  # as elsewhere, so that each is run once
    taught, alone = Prune(distill=SoftLabels(augmented_copies=2), **settings), Prune(**settings)
    apart = [np.abs(finished(step)(pixels) - tiny_baseline(pixels)).mean() for step in (taught, alone)]
    assert apart[0] < apart[1]


def test_the_control_has_the_augmented_copies_and_no_teacher(context):
    attached = teacher.attached(SoftLabels(alpha=0.0, augmented_copies=5), context())
    assert attached.augmented_copies == 5 and attached.read(0, np.arange(2)).shape == (2, 0)


@pytest.mark.parametrize("epoch", [0, 1, 2, 5])
def test_cached_logits_are_the_teachers_on_the_very_copies_that_are_served(epoch, cached, tiny_baseline):
    place, attached = cached
    for inputs, targets in batches.TrainingBatches(place, 32, attached).epoch(epoch).take(3):
        expected = tiny_baseline(inputs, training=False)
        np.testing.assert_allclose(targets["soft"], expected, rtol=1e-3, atol=1e-3)


def test_augmented_copies_cycle_and_differ(cached):
    place, attached = cached

    def image(epoch: int, index: int) -> np.ndarray:
        """Example `index` as the epoch serves it: its place is where the epoch's order has it."""
        position = int(np.flatnonzero(batches.order(256, 0, epoch) == index)[0])
        for batch, (inputs, _) in enumerate(batches.TrainingBatches(place, 32, attached).epoch(epoch)):
            if batch == position // 32:
                return inputs[position % 32].numpy()
        raise AssertionError("not served")

    first = image(0, 7)
    np.testing.assert_array_equal(first, image(2, 7))
    assert np.abs(first - image(1, 7)).max() > 1
    assert np.abs(attached.read(0, np.array([7])) - attached.read(1, np.array([7]))).max() > 1e-3


def test_the_teacher_is_asked_once_for_each_augmented_copy(cached, tiny_baseline, monkeypatch):
    place, attached = cached
    monkeypatch.setattr(type(tiny_baseline), "__call__", lambda *_, **__: pytest.fail("the cache was not used"))
    again = teacher.cached_logits(tiny_baseline, 2, place)
    indices = np.array([3, 250, 3])
    np.testing.assert_array_equal(again.read(1, indices), attached.read(1, indices))
    assert again.read(1, indices).shape == (3, 9)


def test_declared_probabilities_of_a_teacher_become_logits(tiny_task, context, tmp_path):
    """A softmax that is not the last layer's: only the user can say so."""
    task = dataclasses.replace(tiny_task, outputs="probabilities")
    inputs = keras.Input((32, 32, 3))
    features = keras.layers.Dense(9)(keras.layers.GlobalAveragePooling2D()(inputs))
    own = keras.Model(inputs, keras.layers.Reshape((9,), name="odds")(keras.layers.Softmax()(features)))
    place = dataclasses.replace(context(), task=task, baseline=own)
    logits = teacher.attached(SoftLabels(augmented_copies=1), place).read(0, np.arange(4))
    pixels = next(batches.augmented_batches(place, 0))[:4]
    np.testing.assert_allclose(softmax(logits), own(pixels), rtol=1e-4, atol=1e-6)


def test_a_cache_that_cannot_be_written_says_where(context, tiny_baseline, tmp_path, monkeypatch):
    (tmp_path / "teacher").write_text("not a folder")
    monkeypatch.setenv("TFMO_DRIVE_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match="TFMO_DRIVE_CACHE"):
        teacher.cached_logits(tiny_baseline, 1, context())
