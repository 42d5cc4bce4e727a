"""Steering: mirrored with its image, curves shown more often, jitter only where frames follow one another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data import batches
from tfmo_drive.data.augmentation import Augmentation, randoms
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.lane_keeping.steering_balance import balanced_order

FLIP = Augmentation(flip=True, shift=0, zoom=0, shear_degrees=0, brightness=0, contrast=0)


@pytest.fixture(scope="module")
def task(streets):
    return LaneKeeping(**streets)


def augmented(task, numbers):
    raw, targets = task.examples("train").read(np.arange(len(numbers)))
    found = task.augment(tf.cast(raw, tf.float32), targets, tf.constant(numbers))
    return raw, targets["steering"], found[0].numpy(), found[1]["steering"].numpy()


def test_a_mirrored_image_has_mirrored_steering(task):
    raw, steering, images, moved = augmented(dataclasses.replace(task, augmentation=FLIP), randoms(0, 0, 12))
    mirrored = np.abs(images - raw[:, :, ::-1]).max(axis=(1, 2, 3)) < 0.01
    assert 0 < mirrored.sum() < 12 and moved.dtype == np.float32
    np.testing.assert_allclose(moved, np.where(mirrored[:, None], -steering, steering))
    np.testing.assert_allclose(images[~mirrored], raw[~mirrored])


def test_without_flip_no_steering_changes(task):
    _, steering, _, moved = augmented(dataclasses.replace(task, augmentation=dataclasses.replace(FLIP, flip=False)),
                                      randoms(0, 0, 12))  # fmt: skip
    np.testing.assert_array_equal(moved, steering)


@pytest.mark.parametrize("changes", [{"shift": 0.1}, {"shear_degrees": 1.0}, {"rotation_degrees": 1.0}])
def test_what_would_need_other_steering_is_refused(task, changes):
    with pytest.raises(BadInput, match="^LaneKeeping.augmentation must not shift, shear or turn images.*Use flip"):
        dataclasses.replace(task, augmentation=dataclasses.replace(FLIP, **changes))


def test_the_best_epoch_is_not_one_that_steers_nowhere(task):
    truth = np.repeat([0.0, 0.2, -0.6], [80, 15, 5])[:, None]
    targets = {"steering": truth, "group": np.zeros(100, int), "frame": np.arange(100)}
    straight, steers = np.zeros_like(truth), truth * 0.6 + 0.03
    assert task.score(straight, targets) > task.score(steers, targets)
    assert task.selection_score(straight, targets) < task.selection_score(steers, targets)
    drive = dataclasses.replace(task, balance=False)
    assert drive.selection_score(straight, targets) == drive.score(straight, targets)


def test_training_shows_the_balanced_order(task, tmp_path):
    truth = task.examples("train").read(np.arange(32))[1]["steering"]
    shown = batches.shown(task, 3, 1)
    assert np.array_equal(shown, balanced_order(truth, 3, 1)) and len(shown) == 32
    still = dataclasses.replace(task, augmentation=dataclasses.replace(FLIP, flip=False))
    served = [targets for _, targets in batches.TrainingBatches(Context(still, None, (), tmp_path, 3), 8).epoch(1)]
    np.testing.assert_array_equal(np.concatenate([one["steering"] for one in served]), truth[shown])
    np.testing.assert_array_equal(np.concatenate([one["frame"] for one in served]), shown)


def test_without_balance_every_frame_is_shown_once(task):
    plain = dataclasses.replace(task, balance=False)
    assert plain.order(0, 0) is None
    shown = batches.shown(plain, 0, 0)
    assert sorted(shown.tolist()) == list(range(32)) and np.array_equal(shown, batches.order(32, 0, 0))
    assert plain.identity() != task.identity()


def targets(steering, groups, frames=None):
    frames = np.arange(len(steering)) if frames is None else np.array(frames)
    return {"steering": np.float32(steering)[:, None], "group": np.array(groups), "frame": frames}


def test_jitter_is_only_between_frames_that_follow_one_another(task):
    """At 25 degrees: the errors 0, 0.2, 0, 0.4 change by 5, 5 and 10 degrees; that in the middle is between groups."""
    answers = np.float32([0, 0.2, 0, 0.4])[:, None]
    judged = task.evaluate(answers, targets([0, 0, 0, 0], [0, 0, 1, 1]))
    assert judged.more["jitter_degrees"] == pytest.approx((5 + 10) / 2)
    assert judged.more["jitter_truth_degrees"] == 0
    together = task.evaluate(answers, targets([0, 0, 0, 0], [7, 7, 7, 7]))
    assert together.more["jitter_degrees"] == pytest.approx((5 + 5 + 10) / 3)
    alone = task.evaluate(answers, targets([0, 0, 0, 0], [0, 1, 2, 3]))
    assert "jitter_degrees" not in alone.more


def test_frames_left_out_of_a_subset_leave_no_jitter(task):
    answers = np.float32([0, 0.2, 0, 0.4])[:, None]
    judged = task.evaluate(answers, targets([0, 0, 0, 0], [7, 7, 7, 7], frames=[3, 4, 9, 20]))
    assert judged.more["jitter_degrees"] == pytest.approx(5)


def test_errors_are_in_degrees_and_curves_beside_them(task):
    judged = task.evaluate(np.float32([[0.1], [0.5]]), targets([0.0, 0.4], [0, 1]))
    assert judged.more["error_degrees"] == pytest.approx(25 * 0.1)
    assert judged.more["error_curves_degrees"] == pytest.approx(25 * 0.1)
    wide = dataclasses.replace(task, degrees=50.0, curve_degrees=30.0)
    judged = wide.evaluate(np.float32([[0.1], [0.5]]), targets([0.0, 0.4], [0, 1]))
    assert judged.more["error_degrees"] == pytest.approx(50 * 0.1) and "error_curves_degrees" not in judged.more


def test_the_loss_is_hubers_in_root_mean_squares_of_the_training_truth(task):
    """Half the square of small errors, and linear beyond one root mean square."""
    truth = task.examples("train").read(np.arange(32))[1]["steering"].astype(float)
    spread = np.sqrt((truth**2).mean())
    loss = task.loss(None)
    for error, expected in ((0.5, 0.125), (3.0, 2.5)):
        found = loss({"steering": tf.constant([[0.1]])}, tf.constant([[0.1 + error * spread]], tf.float32))
        assert float(found) == pytest.approx(expected, rel=1e-4)
    soft = float(task.distillation_loss(tf.constant([[spread]], tf.float32), tf.constant([[0.0]]), 4.0))
    assert soft == pytest.approx(0.5, rel=1e-4)


@pytest.mark.real
def test_the_simulators_log(shared):
    task = LaneKeeping(data=str(shared / "data/lane_udacity_sim"), image_size=(40, 80))
    assert [len(task.examples(split)) for split in ("train", "val", "test")] == [604, 106, 101]
    pixels, truth = task.examples("test").read(np.arange(101))
    assert pixels.shape == (101, 40, 80, 3) and np.abs(truth["steering"]).max() <= 1
    train = task.examples("train").read(np.arange(604))[1]["steering"]
    assert 0.7 < (train == 0).mean() < 0.73
    assert (train[batches.shown(task, 0, 0)] == 0).mean() < 0.5
    straight = task.evaluate(np.zeros((101, 1)), truth)
    assert straight.score == pytest.approx(0.79, abs=0.01)
    assert straight.more["score_curves"] == pytest.approx(0.26, abs=0.01)
    assert straight.more["jitter_answer_degrees"] == 0 < straight.more["jitter_truth_degrees"]
    subset = task.evaluate(np.zeros((21, 1)), task.examples("test").read(np.arange(0, 101, 5))[1])
    assert "jitter_truth_degrees" not in subset.more


def test_side_cameras_are_trained_on_and_scored_as_if_there_were_none(tmp_path):
    """Errors are told in what was driven: the corrected steering of the sides must not make them look smaller."""
    (tmp_path / "IMG").mkdir()
    rows = ["center,left,right,steering,split"]
    for number in range(80):  # train 60, val 10, test 10
        moment = [f"IMG/{camera}_{number:03}.png" for camera in ("center", "left", "right")]
        for shade, file in enumerate(moment):
            Image.new("RGB", (32, 16), (number, 80 * shade, 0)).save(tmp_path / file)
        rows.append(",".join([*moment, f"{(number % 7 - 3) / 10}", ("train", "val", "test")[max(0, number // 10 - 5)]]))
    (tmp_path / "driving_log.csv").write_text("\n".join(rows))
    plain = LaneKeeping(data=str(tmp_path), image_size=(16, 32))
    sides = dataclasses.replace(plain, side_correction=0.2)
    raw, targets = sides.examples("train").read(np.arange(len(sides.examples("train"))))
    count = len(plain.examples("train"))
    assert len(raw) == 3 * count and len(sides.examples("test")) == len(plain.examples("test"))
    assert np.allclose(targets["steering"][count : 2 * count], targets["steering"][:count] + 0.2)
    assert set(raw[2 * count :, ..., 1].ravel().tolist()) == {160}
    answers, truth = np.zeros((4, 1), np.float32), plain.examples("test").read(np.arange(4))[1]
    assert sides.evaluate(answers, truth).score == plain.evaluate(answers, truth).score
    with pytest.raises(BadInput, match="needs a log of three cameras"):
        LaneKeeping(side_correction=0.2)
    with pytest.raises(BadInput, match="side_correction must be at least 0 and below limit"):
        dataclasses.replace(plain, side_correction=1.0)
