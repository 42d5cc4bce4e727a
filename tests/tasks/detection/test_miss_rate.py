import numpy as np
import pytest

from tfmo_drive.data.boxes import Detections, Truth
from tfmo_drive.data.layouts.boxes.box_listing import list_boxes
from tfmo_drive.tasks.detection.miss_rate import ALARMS, miss_rate

TALL = [[10 * i, 0, 10 * i + 8, 20] for i in range(10)]
"""Ten people side by side, 8 x 20 px."""
FAR = [[1000 + 10 * i, 500, 1008 + 10 * i, 520] for i in range(10)]


def people(boxes, classes=None, crowd=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    classes = np.ones(len(boxes), np.int64) if classes is None else np.array(classes)
    crowd = np.zeros(len(boxes), bool) if crowd is None else np.array(crowd)
    return Truth(boxes, classes, crowd, np.ones(len(boxes), np.float32))


def said(boxes, scores, classes=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(boxes, np.array(scores, float), np.ones(len(boxes), int) if classes is None else classes)


NOTHING = said([], [])


def test_the_nine_points_are_those_of_the_paper():
    assert np.allclose(ALARMS[[0, 2, 4, 8]], [0.01, 10**-1.5, 0.1, 1]) and len(ALARMS) == 9


def test_miss_rates_by_hand():
    """Ten images, ten people in the first. 4 found, then an alarm (0.1 per image), 3 found, another alarm, 2 found."""
    scores = [0.99, 0.98, 0.97, 0.96, 0.85, 0.84, 0.83, 0.6, 0.59]
    detections = [said(TALL[:9], scores), said(FAR[:1], [0.9]), said(FAR[:1], [0.7]), *[NOTHING] * 7]
    rate = miss_rate(detections, [people(TALL), *[people([])] * 9], 1)
    assert np.isclose(rate.at_tenth, 0.3)  # one alarm in ten images lets 7 of 10 be found
    assert np.isclose(rate.at_one, 0.1)
    # At 0.01, 0.018, 0.032, 0.056: no alarm, 0.6 missed; 0.1, 0.178: 0.3; from 0.316 on: 0.1.
    assert np.isclose(rate.log_average, (0.6**4 * 0.3**2 * 0.1**3) ** (1 / 9))
    assert rate.objects == 10


def test_where_the_first_alarm_is_too_many_all_are_missed():
    detections = [said([FAR[0], *TALL], [0.9] + [0.5] * 10), NOTHING]
    rate = miss_rate(detections, [people(TALL), people([])], 1)  # one alarm in two images: 0.5
    assert (rate.at_tenth, rate.at_one) == (1, 0)
    assert np.isclose(rate.log_average, (1**7 * 1e-10**2) ** (1 / 9))  # 0.562 and 1 are reached, with none missed


def test_equal_scores_pass_a_threshold_together():
    detections = [said([*TALL[:5], FAR[0]], [0.9] * 6), *[NOTHING] * 4]
    rate = miss_rate(detections, [people(TALL), *[people([])] * 4], 1)  # 0.2 alarms per image, or none and no person
    assert (rate.at_tenth, rate.at_one) == (1, 0.5)


def test_nobody_found_is_all_missed_and_all_found_is_none_missed():
    truths = [people(TALL)]
    assert miss_rate([NOTHING], truths, 1).log_average == pytest.approx(1)
    perfect = miss_rate([said(TALL, [0.9] * 10)], truths, 1)
    assert perfect.at_tenth == perfect.at_one == 0 and np.isclose(perfect.log_average, 1e-10)
    without = miss_rate([said(FAR, [0.9] * 10)], [people([])], 1)
    assert np.isnan([without.at_tenth, without.at_one, without.log_average]).all() and without.objects == 0


def test_only_the_class_that_is_asked_for_counts():
    truths = [people([TALL[0], TALL[1]], [1, 0])]
    detections = [said([TALL[0], TALL[1], FAR[0]], [0.9, 0.8, 0.95], np.array([1, 1, 0]))]
    rate = miss_rate(detections, truths, 1)
    assert rate.objects == 1 and rate.at_tenth == 0  # the alarm, a person where class 0 is, comes after the hit
    assert miss_rate(detections, truths, 0).at_one == 1


def test_more_than_a_hundred_detections_of_an_image_count():
    crowd = [[30 * i, 0, 30 * i + 10, 20] for i in range(150)]
    assert miss_rate([said(crowd, np.linspace(1, 0.5, 150))], [people(crowd)], 1).at_tenth == 0


@pytest.mark.real
def test_camvid_pedestrians_that_are_all_found_are_not_missed(shared):
    listing = list_boxes(shared / "data" / "camvid")
    label, truths = listing.class_names.index("pedestrian"), listing["test"].truths
    found = [Detections(truth.boxes, np.full(len(truth), 0.9), truth.classes) for truth in truths]
    half = [one.at(np.arange(0, len(one), 2)) for one in found]
    assert miss_rate(found, truths, label).at_tenth == 0
    seen = sum(int((one.classes == label).sum()) for one in half)
    rate = miss_rate(half, truths, label)
    assert np.isclose(rate.at_tenth, 1 - seen / rate.objects) and rate.objects == 184
