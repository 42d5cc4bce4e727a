import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from tfmo_drive.data.boxes import Detections, Truth, iou, nms, resized, restored
from tfmo_drive.data.images import FITS, RULES, Resize

SIDES = st.integers(24, 120)


def random_boxes(count, seed=0, span=300.0):
    generator = np.random.default_rng(seed)
    corner = generator.random((count, 2)) * span
    return np.concatenate([corner, corner + 5 + generator.random((count, 2)) * 60], axis=1)


def test_overlap_by_hand():
    a = np.array([[0, 0, 10, 10], [0, 0, 0, 5]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 7], [0, 0, 0, 5]])
    expected = [[1, 50 / 150, 0, 10 / 100, 0], [0, 0, 0, 0, 0]]
    assert np.allclose(iou(a, b), expected)
    assert iou(np.zeros((0, 4)), b).shape == (0, 5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99))
def test_overlap_is_that_of_pycocotools(seed):
    from pycocotools import mask

    a, b = random_boxes(7, seed, 60), random_boxes(5, seed + 1, 60)
    sides = [np.concatenate([x[:, :2], x[:, 2:] - x[:, :2]], axis=1) for x in (a, b)]
    assert np.allclose(iou(a, b), mask.iou(*sides, [0] * 5), atol=1e-12)


def test_suppression_by_hand():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [30, 0, 40, 10], [2, 0, 12, 10]], float)
    scores, classes = np.array([0.8, 0.9, 0.7, 0.1, 0.6]), np.array([0, 0, 1, 0, 0])
    # 1 is best; 0 (IoU 9/11) and 4 (9/11) go; 2 is of another class; 3 is far away.
    assert nms(boxes, scores, classes, 0.5, 10).tolist() == [1, 2, 3]
    assert nms(boxes, scores, classes, 0.5, 2).tolist() == [1, 2]
    assert nms(boxes, scores, classes, 9 / 11, 10).tolist() == [1, 0, 2, 4, 3]  # at the threshold is not above it
    assert nms(boxes[:0], scores[:0], classes[:0], 0.5, 10).dtype == np.int64


def test_of_equal_scores_the_earlier_detection_is_kept():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10]], float)
    assert nms(boxes, np.ones(3), np.zeros(3, int), 0.5, 10).tolist() == [0, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.sampled_from([0.3, 0.5, 0.7]), st.integers(1, 3))
def test_what_is_kept_is_apart_and_what_is_not_has_a_better_rival(seed, threshold, kinds):
    boxes, generator = random_boxes(60, seed, 150), np.random.default_rng(seed)
    scores, classes = generator.integers(0, 20, 60) / 20, generator.integers(0, kinds, 60)
    kept = nms(boxes, scores, classes, threshold, 60)
    assert (np.diff(scores[kept]) <= 0).all()
    rivals = (iou(boxes, boxes) > threshold) & (classes[:, None] == classes)
    assert not (rivals[np.ix_(kept, kept)] & ~np.eye(len(kept), dtype=bool)).any()
    for lost in set(range(60)) - set(kept.tolist()):
        assert (rivals[lost, kept] & (scores[kept] >= scores[lost])).any()


def test_a_thousand_candidates_take_milliseconds():
    boxes, generator = random_boxes(1000).astype(np.float32), np.random.default_rng(0)
    scores, classes = generator.random(1000), generator.integers(0, 3, 1000)
    times = []
    for _ in range(5):
        start = time.process_time()
        nms(boxes, scores, classes, 0.5, 100)
        times.append(time.process_time() - start)
    assert min(times) < 0.05  # 5 ms on an idle core


@pytest.mark.parametrize(
    ("fit", "size", "expected"),
    [
        ("stretch", (50, 50), [5, 10, 20, 30]),
        ("center_crop", (100, 100), [0, 20, 30, 60]),  # 50 px left and right are cut away
        ("letterbox", (100, 100), [10, 35, 40, 55]),  # 100 x 50, below a border of 25
    ],
)
def test_boxes_follow_the_image_by_hand(fit, size, expected):
    box = np.array([[20.0, 20, 80, 60]])
    moved = resized(box, (100, 200), size, Resize(fit=fit))
    assert moved.tolist() == [expected]
    back = restored(moved, (100, 200), size, Resize(fit=fit))
    assert back.tolist() == [[50 if fit == "center_crop" else 20, 20, 80, 60]]


@settings(max_examples=150, deadline=None)
@given(st.data(), SIDES, SIDES, SIDES, SIDES, st.sampled_from(FITS), st.sampled_from(RULES))
def test_a_drawn_rectangle_lands_where_its_box_says(data, rows, columns, height, width, fit, rule):
    x0, y0 = data.draw(st.integers(0, columns - 10)), data.draw(st.integers(0, rows - 10))
    x1, y1 = data.draw(st.integers(x0 + 10, columns)), data.draw(st.integers(y0 + 10, rows))
    resize = Resize(rule, fit, pad=0)
    source = Image.new("RGB", (columns, rows))
    source.paste((255, 255, 255), (x0, y0, x1, y1))
    bright = np.asarray(resize(source, (height, width)))[..., 0] > 127
    box = resized(np.array([[x0, y0, x1, y1]], float), (rows, columns), (height, width), resize)[0]
    assume(min(box[2] - box[0], box[3] - box[1]) >= 2)  # as thin as a pixel, or cropped away: perhaps nothing is bright
    across, down = np.flatnonzero(bright.any(axis=0)), np.flatnonzero(bright.any(axis=1))
    found = np.array([across[0], down[0], across[-1] + 1, down[-1] + 1])
    assert np.abs(found - box).max() <= 1


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(FITS), st.integers(0, 99))
def test_restored_boxes_are_the_source_boxes_as_far_as_they_are_seen(rows, columns, height, width, fit, seed):
    resize = Resize(fit=fit)
    boxes = np.clip(random_boxes(5, seed, 120), 0, [columns, rows, columns, rows])
    moved = resized(boxes, (rows, columns), (height, width), resize)
    assert (moved >= 0).all() and (moved <= [width, height, width, height]).all()
    back = restored(moved, (rows, columns), (height, width), resize)
    left, top, right, bottom = resize.placement((rows, columns), (height, width))[0]
    assert np.allclose(back, np.clip(boxes, (left, top) * 2, (right, bottom) * 2), atol=1e-9)


def test_truth_follows_the_image_and_loses_what_is_cut_away():
    boxes = np.array([[0, 0, 40, 10], [60, 20, 100, 60], [40, 0, 60, 20]], np.float32)
    truth = Truth(boxes, np.array([3, 4, 5]), np.array([False, True, False]), np.array([300, 800, 400], np.float32))
    moved = truth.resized((100, 200), (50, 50), Resize(fit="center_crop"))
    assert len(moved) == 2 and moved.boxes.tolist() == [[5, 10, 25, 30], [0, 0, 5, 10]]
    assert moved.classes.tolist() == [4, 5] and moved.crowd.tolist() == [True, False]
    assert moved.areas.tolist() == [200, 50]  # half the scale in x and y, and half of the second is cut away
    assert moved.boxes.dtype == moved.areas.dtype == np.float32


def test_of_which_a_crop_leaves_a_sliver_is_a_crowd():
    """Columns 50 to 150 of 200 are left: of objects 20 px wide 5 px, 6 px (0.3) and all."""
    boxes = np.array([[35, 0, 55, 20], [36, 0, 56, 20], [60, 0, 80, 20]], np.float32)
    truth = Truth(boxes, np.array([0, 0, 0]), np.array([False] * 3), np.full(3, 400, np.float32))
    moved = truth.resized((100, 200), (40, 40), Resize(fit="center_crop"))
    assert moved.crowd.tolist() == [True, False, False] and moved.areas.tolist() == pytest.approx([16, 19.2, 64])
    assert not truth.crowd.any()
    for fit in ("stretch", "letterbox"):
        assert not truth.resized((100, 200), (33, 21), Resize(fit=fit)).crowd.any()


def test_detections_are_picked_by_index_or_mask():
    found = Detections(random_boxes(3), np.array([0.1, 0.9, 0.5]), np.array([0, 1, 2]))
    assert found.at(np.array([2, 0])).scores.tolist() == [0.5, 0.1]
    assert len(found.at(found.scores > 0.4)) == 2
