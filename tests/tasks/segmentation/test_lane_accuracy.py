"""Lanes are scored as TuSimple's benchmark does, with lanes read off masks."""

import dataclasses
import json

import numpy as np
import pytest

from tfmo_drive.data.images import Resize
from tfmo_drive.data.lanes import drawn
from tfmo_drive.data.layouts.masks import tusimple
from tfmo_drive.data.mask_files import IGNORE, MaskIds, read_mask
from tfmo_drive.tasks.segmentation.lane_accuracy import NONE, ROWS, bench, lane_numbers, lanes_in
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

SIZE = (720, 1280)


def straight(start, slope=0.0, rows=ROWS):
    """A lane: x = start in row 160, and `slope` columns a row."""
    return np.where(np.isin(ROWS, rows), start + slope * (ROWS - 160), NONE)


def test_rows_within_20_pixels_are_right_and_more_across_a_slanted_lane():
    truth = np.array([straight(300.0)])
    assert bench(truth + 19.9, truth) == (1, 0, 0) and bench(truth + 20, truth) == (0, 1, 1)
    slanted = np.array([straight(300.0, 1.0)])  # 45 degrees: 20 * sqrt(2) = 28.3
    assert bench(slanted + 28.2, slanted) == (1, 0, 0) and bench(slanted + 28.3, slanted)[0] == 0


def test_rows_where_neither_has_a_lane_are_right():
    """As in the benchmark: both are at -100 there."""
    truth = np.array([straight(300.0, rows=ROWS[:28])])
    assert bench(np.array([straight(300.0, rows=ROWS[:14])]), truth)[0] == 42 / 56
    assert bench(np.zeros((0, 56)), truth) == (0, 0, 1)


def test_the_worst_of_five_lanes_is_spared_and_two_lanes_too_many_are_the_most():
    five = np.array([straight(200.0 * place) for place in range(1, 6)])
    assert bench(five[:4], five) == (1, 0, 0) and bench(five[:3], five) == (0.75, 0, 0.25)
    assert bench(five[:3], five[:1]) == (1, 2 / 3, 0) and bench(five[:4], five[:1]) == (0, 0, 1)


def test_lanes_are_read_off_masks_also_across_gaps_and_beside_one_another():
    lines = [np.array([(600 - 0.8 * d, 300 + d) for d in range(0, 400, 10)], np.float32),
             np.array([(640 + 1.5 * d, 300 + d) for d in range(0, 400, 10)], np.float32)]  # fmt: skip
    mask = drawn(lines, SIZE) == 1
    mask[500:540] = False
    left, right = sorted(lanes_in(mask, 6), key=lambda lane: lane.max())
    rows = (ROWS >= 310) & (ROWS < 690) & ~((ROWS >= 500) & (ROWS < 540))
    assert np.abs(left - (600 - 0.8 * (ROWS - 300)))[rows].max() < 2
    assert np.abs(right - (640 + 1.5 * (ROWS - 300)))[rows].max() < 2
    assert (left[ROWS < 290] == NONE).all() and (left[(ROWS >= 500) & (ROWS < 540)] == NONE).all()


def test_specks_of_an_answer_are_no_lanes_and_short_true_lanes_are():
    specks, short = (np.zeros((90, 160), np.uint8) for _ in range(2))
    specks[40:42, 120:122] = 1
    short[40:46, 120:122] = 1  # 48 of 720 rows: five of those that count
    assert lanes_in(short == 1, 6).shape == (0, 56) and lanes_in(short == 1, 3).shape == (1, 56)
    assert lane_numbers(short[None], specks[None]) == {}, "an image without a true lane is passed over"
    lane = drawn([np.array([(20, 30), (60, 89)], np.float32)], (90, 160))
    for speck in (specks, short):
        littered = np.maximum(lane, speck)[None]
        assert lane_numbers(littered, lane[None]) == {"lane_accuracy": 1, "lane_false": 0, "lane_missed": 0}
    assert lane_numbers(lane[None], np.maximum(lane, short)[None])["lane_missed"] == 0.5


def test_what_lies_outside_the_picture_does_not_count():
    lane = drawn([np.array([(20, 30), (60, 89)], np.float32)], (90, 160))
    padded = np.pad(lane, ((35, 35), (0, 0)), constant_values=IGNORE)
    answers = np.where(padded == IGNORE, 1, padded).astype(np.uint8)
    assert lane_numbers(answers[None], padded[None])["lane_accuracy"] == 1


def test_the_task_says_it_of_lanes_alone(streets):
    task = Segmentation(channels=8, **streets)
    lanes = dataclasses.replace(task, shown="lanes")
    masks = drawn([np.array([(5, 20), (9, 40)], np.float32)], lanes.size)[None]
    found = lanes.evaluate(np.eye(2, dtype=np.float32)[masks], masks)
    assert found.more["lane_accuracy"] == 1
    classes = np.eye(len(task.class_names), dtype=np.float32)[masks]
    assert "lane_accuracy" not in task.evaluate(classes, masks).more


@pytest.mark.real
@pytest.mark.parametrize(("size", "least"), [((720, 1280), 1.0), ((180, 320), 0.99), ((96, 160), 0.99)])
def test_lanes_read_off_real_masks_are_those_that_were_annotated(shared, size, least):
    root = shared / "data/format_samples/tusimple"
    found, scores = tusimple.pairs(root), []
    records = [json.loads(line) for line in (root / "label_data_0601.json").read_text().splitlines()]
    for image, source, record in zip(found.images, found.masks, records, strict=True):
        assert record["h_samples"] == ROWS.tolist()
        truth = np.array([[x if x >= 0 else NONE for x in lane] for lane in record["lanes"]], float)
        mask = read_mask(source, image, MaskIds(2), size, Resize())
        scores.append(bench(lanes_in(mask == 1, 6), truth))
    accuracy, false, missed = np.mean(scores, axis=0)
    assert accuracy >= least and false == missed == 0
