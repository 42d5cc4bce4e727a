import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.data.mask_files import IGNORE
from tfmo_drive.tasks.segmentation.segmentation_score import Overlaps, decided, overlaps


def two_images():
    """By hand: image 0 has classes 0 and 1, image 1 only class 0, and an answer of 2 that nowhere is true."""
    truth = np.array([[[0, 0], [1, 1]], [[0, 0], [0, IGNORE]]], np.uint8)
    answers = np.array([[[0, 1], [1, 1]], [[0, 0], [2, 1]]])
    return overlaps(answers, truth, 3)


def test_intersections_and_unions_by_hand():
    found = two_images()
    assert found.right.tolist() == [[1, 2, 0], [2, 0, 0]]
    assert found.truth.tolist() == [[2, 2, 0], [3, 0, 0]]
    assert found.unions.tolist() == [[2, 3, 0], [3, 0, 1]]  # the answer 1 where nothing is known counts nowhere
    assert found.pixel_accuracy == 5 / 7


def test_scores_by_hand():
    found = two_images()
    both, first, second, twice, none = [1, 1], [1, 0], [0, 1], [2, 1], [0, 0]
    scores = found.scores(np.array([both, first, second, twice, none], float))
    expected = [(3 / 5 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2, 2 / 3, (4 / 7 + 4 / 6) / 2]
    assert scores[:4].tolist() == pytest.approx(expected) and np.isnan(scores[4])
    assert found.values.tolist() == pytest.approx(expected[1:3])


def test_a_class_that_is_nowhere_true_is_left_out_however_often_it_is_answered():
    assert list(two_images().per_class(("road", "car", "ghost"))) == ["road", "car"]
    assert two_images().per_class(("road", "car", "ghost"))["car"] == {"score": 2 / 3, "examples": 1}


def test_images_that_are_ignored_whole_do_no_harm():
    masks = np.full((1, 4, 4), IGNORE, np.uint8)
    found = overlaps(np.zeros((1, 4, 4), int), masks, 2)
    assert found.values.tolist() == [1.0] and np.isnan(found.scores(np.ones((1, 1)))[0])
    assert np.isnan(found.pixel_accuracy) and found.per_class(("a", "b")) == {}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 5))
def test_any_weights_score_as_the_images_repeated_so_often(seed, count, classes):
    generator = np.random.default_rng(seed)
    masks = generator.choice([*range(classes), IGNORE], (count, 3, 4)).astype(np.uint8)
    answers = generator.integers(0, classes, (count, 3, 4))
    weights = generator.integers(0, 3, (5, count))
    scores = overlaps(answers, masks, classes).scores(weights.astype(float))
    for row, score in zip(weights, scores, strict=True):
        truth, said = np.repeat(masks, row, axis=0), np.repeat(answers, row, axis=0)
        ious = []
        for label in range(classes):
            mine, theirs = (truth == label), (said == label) & (truth != IGNORE)
            if mine.any():
                ious.append((mine & theirs).sum() / (mine | theirs).sum())
        assert score == pytest.approx(np.mean(ious)) if ious else np.isnan(score)


def test_right_answers_score_one_and_wrong_ones_nothing():
    masks = np.random.default_rng(0).integers(0, 3, (2, 5, 5)).astype(np.uint8)
    logits = np.eye(3, dtype=np.float32)[masks]
    assert overlaps(logits, masks, 3).scores(np.ones((1, 2))).tolist() == [1.0]
    assert overlaps((masks + 1) % 3, masks, 3).scores(np.ones((1, 2))).tolist() == [0.0]


@pytest.mark.parametrize("size", [(12, 20), (7, 9), (6, 5), (3, 4)])
def test_small_logits_are_stretched_with_half_pixel_centres_before_the_arg_max(size):
    logits = np.random.default_rng(1).normal(size=(2, 6, 5, 4)).astype(np.float32)
    rows, columns = ((np.arange(new) + 0.5) * old / new - 0.5 for new, old in zip(size, (6, 5), strict=True))
    places = np.meshgrid(rows, columns, indexing="ij")
    planes = [
        [scipy.ndimage.map_coordinates(plane.astype(float), places, order=1, mode="nearest") for plane in image]
        for image in logits.transpose(0, 3, 1, 2)
    ]
    found = decided(logits, size)
    assert found.dtype == np.uint8 and (found == np.argmax(planes, axis=1)).all()


def test_ties_go_to_the_first_class_as_in_arg_max():
    assert decided(np.zeros((1, 2, 2, 3), np.float32), (4, 4)).tolist() == np.zeros((1, 4, 4)).tolist()


def test_small_ids_take_the_nearest():
    assert decided(np.array([[[0, 1], [2, 3]]]), (4, 4))[0].tolist() == [
        [0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3],
    ]  # fmt: skip


def test_a_straight_edge_stays_straight():
    """A slanted edge at a quarter of the size: blending finds it better than repeating pixels."""
    y, x = np.mgrid[0:64, 0:64]
    masks = (x + 0.4 * y > 44).astype(np.uint8)[None]
    small = (np.stack([44 - x - 0.4 * y, x + 0.4 * y - 44], -1)).reshape(16, 4, 16, 4, 2).mean(axis=(1, 3))
    logits = small[None].astype(np.float32)
    wrong = [(found != masks).mean() for found in (decided(logits, (64, 64)), decided(logits.argmax(-1), (64, 64)))]
    assert wrong[0] < 0.005 < 0.015 < wrong[1]


def test_the_score_of_a_slice_is_that_of_its_images_alone():
    generator = np.random.default_rng(2)
    masks, answers = (generator.integers(0, 3, (6, 4, 4)).astype(np.uint8) for _ in range(2))
    night = np.array([1, 0, 1, 1, 0, 0], bool)
    whole, part = overlaps(answers, masks, 3), overlaps(answers[night], masks[night], 3)
    assert isinstance(whole, Overlaps)
    assert whole.scores(night[None].astype(float))[0] == pytest.approx(part.scores(np.ones((1, 3)))[0])
