"""A detector learns from another: scores and boxes by hand, hints where the objects are, two outputs cached."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data import batches
from tfmo_drive.networks.detectors import centres
from tfmo_drive.networks.detectors.centres import distillation_loss
from tfmo_drive.steps.train import Train
from tfmo_drive.training import teacher
from tfmo_drive.training.distillation import Features, SoftLabels, hint_loss


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, float)))


def cells(*rows):
    """Logits [1, 1, n, classes], a row for each cell."""
    return tf.constant(np.float32(rows)[None, None])


def says(*scores):
    """A detector's two outputs [1, 1, n, ...]: logits, a row for each cell, and boxes 8 pixels to each side."""
    scores = cells(*scores)
    return {"scores": scores, "boxes": tf.fill([*scores.shape[:-1], 4], np.float32(np.log(8)))}


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_soft_scores_by_hand(temperature):
    """Of a cell, T^2 x the sum over classes of the divergence of softened scores; cells weigh as the teacher's best,
    and count by the objects that it sees: of these four in a row, the first and the last."""
    ours = np.array([[0.0, -1.0], [1.0, -3.0], [0.0, 0.0], [1.0, 1.0]])
    theirs = np.array([[2.0, -1.0], [-4.0, 1.0], [-4.0, -3.0], [-1.0, 3.0]])
    p, q = sigmoid(theirs / temperature), sigmoid(ours / temperature)
    apart = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(axis=1)
    weights = sigmoid([2.0, 1.0, -3.0, 3.0])
    expected = temperature**2 * (weights * apart).sum() / (weights[0] + weights[3])
    assert float(distillation_loss(says(*ours), says(*theirs), temperature)) == pytest.approx(expected, rel=1e-4)


def test_soft_boxes_by_hand():
    """Half as far to each side is a quarter of the area, all of it inside: IoU 1/4, and so GIoU. Where the teacher sees
    nothing, boxes say nothing."""
    theirs = says([0.0], [-20.0])
    ours = theirs | {"boxes": tf.math.log(cells([4.0] * 4, [1.0] * 4))}
    assert float(distillation_loss(ours, theirs, 1.0)) == pytest.approx(5 * (1 - 1 / 4), rel=1e-4)
    assert float(distillation_loss(ours, theirs, 2.0)) == pytest.approx(5 * (1 - 1 / 4), rel=1e-4)  # no logits


def test_who_says_the_same_has_nothing_to_learn():
    one = says([3, -2], [-8, -9])
    with tf.GradientTape() as tape:
        tape.watch(one["scores"])
        loss = distillation_loss(one, says([3, -2], [-8, -9]), 2.0)
    assert float(loss) == pytest.approx(0, abs=1e-5)
    assert np.abs(tape.gradient(loss, one["scores"])).max() < 1e-6


def test_background_hardly_counts_and_empty_images_are_finite():
    there, nowhere = says([2.0]), says([-9.0])
    wrong = [float(distillation_loss(says(*one["scores"][0, 0] + 1), one, 1.0)) for one in (there, nowhere)]
    assert 0 <= wrong[1] < wrong[0] / 1000
    assert np.isfinite(float(distillation_loss(says([0.0]), says([-200.0]), 1.0)))


def test_teacher_and_truth_speak_equally_loud():
    """A student just built hears of one object about as much from a teacher that sees it as from the truth."""
    truth = {"boxes": tf.constant([[[20.0, 20.0, 44.0, 52.0]]]), "classes": tf.constant([[0]], tf.int64),
             "crowd": tf.constant([[False]])}  # fmt: skip
    hard = centres.encode(truth, (16, 16), 1)
    heat = tf.clip_by_value(hard["heat"], 0.01, 0.99)
    y, x = np.mgrid[:16, :16] * 4 + 2.0
    sides = np.stack([x - 20, y - 20, 44 - x, 52 - y], axis=-1)[None]
    seen = {"scores": tf.math.log(heat / (1 - heat)), "boxes": np.log(np.maximum(sides, 1.0)).astype(np.float32)}
    student = {"scores": tf.fill([1, 16, 16, 1], -2.2), "boxes": tf.fill([1, 16, 16, 4], np.float32(np.log(10)))}
    ratio = float(distillation_loss(student, seen, 1.0)) / float(centres.loss(hard, student))
    assert 0.3 < ratio < 3


@pytest.mark.parametrize("function", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_the_graph_says_what_eager_arithmetic_says(function):
    """TensorFlow's arithmetic optimizer once miswired the maximum of sigmoids."""
    generator = np.random.default_rng(0)
    ours, theirs = (
        {"scores": tf.constant(generator.normal(0, 3, (2, 4, 5, 3)).astype(np.float32)),
         "boxes": tf.constant(generator.uniform(0, 6, (2, 4, 5, 4)).astype(np.float32))}
        for _ in range(2)
    )  # fmt: skip
    found = function(lambda a, b: distillation_loss(a, b, 2.0))(ours, theirs)
    expected = distillation_loss(ours, theirs, 2.0)
    assert found.shape == () and float(found) == pytest.approx(float(expected), rel=1e-5)


def test_hints_where_objects_are_ignore_the_rest():
    """Half of the map is an object's; the grid of the places is twice as fine."""
    where = np.zeros((1, 4, 8, 1), np.float32)
    where[:, :, :4] = 1
    theirs = np.ones((1, 2, 4, 3), np.float32)
    ours = theirs.copy()
    ours[:, :, 2:] = 77
    assert float(hint_loss(ours, theirs, where)) == 0
    ours[:, :, 0] = 0  # half of the object is missed
    assert float(hint_loss(ours, theirs, where)) == pytest.approx(0.5)
    assert float(hint_loss(ours, theirs, np.zeros_like(where))) == 0


@pytest.fixture(scope="module")
def cached(detector):
    place = detector()
    return place, teacher.cached_logits(place.baseline, 2, place)


def test_logits_of_two_outputs_are_the_teachers_on_the_copies_that_are_served(cached):
    place, attached = cached
    for inputs, targets in batches.TrainingBatches(place, 8, attached).epoch(1).take(2):
        expected = dict(zip(("scores", "boxes"), place.baseline(inputs, training=False), strict=True))
        assert list(targets["soft"]) == ["scores", "boxes"]
        for name, logits in expected.items():
            found = targets["soft"][name]
            assert found.dtype == tf.float32 and found.shape == logits.shape
            np.testing.assert_allclose(found, logits, rtol=2e-3, atol=2e-3, err_msg=name)  # kept as float16


def test_rows_come_in_the_order_asked_for(cached):
    _, attached = cached
    several, single = attached.read(0, np.array([5, 0, 5])), attached.read(0, np.array([5]))
    for name in ("scores", "boxes"):
        np.testing.assert_array_equal(several[name][[0, 2]], single[name][[0, 0]])
        assert np.abs(several[name][0] - several[name][1]).max() > 0


def test_a_detector_learns_from_scores_and_hints_at_once(detector):
    place = detector()
    hints = Features(places="objects", pairs=(("detection_relu4", "detection_relu4"),))
    fit = Train(epochs=1, batch_size=16, distill=SoftLabels(augmented_copies=1, features=hints))
    trained = fit(place.baseline, place)
    assert trained.output_names == place.baseline.output_names
    moved = [np.abs(a - b).max() for a, b in zip(trained.get_weights(), place.baseline.get_weights(), strict=True)]
    assert max(moved) > 0 and np.isfinite(moved).all()


def test_a_task_without_objects_says_so_in_one_line(tiny_task, small_cnn, tmp_path):
    fit = Train(distill=SoftLabels(augmented_copies=1, features=Features(places="objects")))
    with pytest.raises(BadInput, match="^Features.places: Classification knows no objects.* Use everywhere.$"):
        fit(small_cnn, Context(tiny_task, small_cnn, (), tmp_path, 0))


@pytest.mark.parametrize("bad", [{"places": "boxes"}, {"places": "objects", "kind": "attention"}])
def test_places_that_do_not_exist_are_refused(bad):
    with pytest.raises(BadInput, match="^Features.places must be everywhere or, of hints, objects, got '"):
        Features(**bad)


def test_a_model_of_another_output_is_no_teacher(detector, tmp_path):
    place = detector()
    heat = keras.layers.Activation("linear", name="heat")(place.baseline.outputs[0])
    keras.Model(place.baseline.inputs, heat).save(tmp_path / "one.h5", include_optimizer=False)
    with pytest.raises(BadInput, match='distill.teacher: .*1 outputs.* 2 outputs: "scores", "boxes"'):
        teacher.attached(SoftLabels(teacher=str(tmp_path / "one.h5")), place)
