"""What comes and goes between frames is counted by hand: one object, one crowd, four frames of two clips."""

import numpy as np
import pytest

from tfmo_drive.data.boxes import Detections, Truth
from tfmo_drive.scores import flicker

CAR, CROWD = 7, 8
"""Identities of what stands in the frames."""


def frame(car: float, found: float | None, crowd_found: bool, kind: int = 0) -> tuple[Detections, Truth]:
    """A car of 10 x 10 px whose left edge is `car`, detected at `found` as a `kind`, before a crowd that stays."""
    seen = [(found, kind)] * (found is not None) + [(100.0, 0)] * crowd_found
    boxes = np.float32([[left, 0, left + 10, 10] for left, _ in seen]).reshape(-1, 4)
    said = Detections(boxes, np.ones(len(seen)), np.array([kind for _, kind in seen], np.int64))
    truth = np.float32([[car, 0, car + 10, 10], [100, 0, 110, 10]])
    return said, Truth(truth, np.zeros(2, np.int64), np.array([False, True]), np.full(2, 100.0))


def test_boxes_that_come_and_go_and_jump_are_counted_within_a_clip():
    frames = [frame(0, 0, True), frame(20, 22, False), frame(40, None, True), frame(0, 0, False)]
    found, truths = zip(*frames, strict=True)
    told = flicker.of_boxes(found, truths, [(CAR, CROWD)] * 4, np.array([0, 0, 0, 1]))
    assert told == {"flicker": 1 / 2, "box_jitter": pytest.approx(0.2)}  # 2 px of 10, in the one pair that finds both


def test_a_box_of_another_class_or_beside_the_object_is_not_the_object():
    for other in (frame(0, 0, False, kind=1), frame(0, 6, False)):
        found, truths = zip(frame(0, 0, False), other, strict=True)
        assert flicker.of_boxes(found, truths, [(CAR, CROWD)] * 2, np.zeros(2)) == {"flicker": 1}
    assert flicker.of_boxes(found, truths, [(CAR, CROWD)] * 2, np.arange(2)) == {}


def test_pixels_flip_where_their_truth_stays():
    masks = np.uint8([[[0, 0, 1, 1]], [[0, 0, 0, 1]], [[1, 1, 1, 0]]])
    decided = np.uint8([[[0, 1, 1, 1]], [[0, 0, 0, 1]], [[5, 5, 5, 5]]])
    assert flicker.of_pixels(decided, masks, np.array([0, 0, 1])) == {"changed_pixels": 1 / 3}
    assert flicker.of_pixels(decided, masks, np.arange(3)) == {}
