import contextlib
import dataclasses
import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfmo_drive.data.boxes import Detections, Truth
from tfmo_drive.data.layouts.boxes.box_listing import list_boxes
from tfmo_drive.tasks.detection.average_precision import average_precision
from tfmo_drive.tasks.detection.coco_matching import evaluated, matches
from tfmo_drive.tasks.detection.coco_score import CocoScore

NAMES = ("car", "pedestrian", "bicyclist")


def truth(boxes, classes=None, crowd=None, sizes=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    sizes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) if sizes is None else np.array(sizes, np.float32)
    classes = np.zeros(len(boxes), np.int64) if classes is None else np.array(classes, np.int64)
    return Truth(boxes, classes, np.zeros(len(boxes), bool) if crowd is None else np.array(crowd, bool), sizes)


def said(boxes, scores, classes=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    classes = np.zeros(len(boxes), np.int64) if classes is None else np.array(classes, np.int64)
    return Detections(boxes, np.array(scores, np.float64), classes)


def noisy(truths, seed, extra=6, levels=0):
    """Detections near four fifths of the objects, and as many wrong ones; `levels`: how many scores there are."""
    generator = np.random.default_rng(seed)
    found = []
    for one in truths:
        kept = generator.random(len(one)) < 0.8
        near = one.boxes[kept] + generator.normal(0, 2.5, (kept.sum(), 4))
        corner = generator.random((extra, 2)) * 200
        wrong = np.concatenate([corner, corner + 5 + generator.random((extra, 2)) * 60], axis=1)
        scores = np.concatenate([generator.random(kept.sum()) ** 0.5, generator.random(extra) ** 1.5])
        scores = np.round(scores * levels) / levels if levels else scores
        classes = np.concatenate([one.classes[kept], generator.integers(0, 3, extra)])
        shuffled = generator.permutation(len(scores))
        found.append(said(np.concatenate([near, wrong])[shuffled], scores[shuffled], classes[shuffled]))
    return found


def scenes(count, seed, crowds=0.15, most=5):
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        objects = int(generator.integers(0, most))
        corner = generator.random((objects, 2)) * 200
        boxes = np.concatenate([corner, corner + 8 + generator.random((objects, 2)) * 90], axis=1)
        found.append(truth(boxes, generator.integers(0, 3, objects), generator.random(objects) < crowds))
    return found


def pycocotools_says(detections, truths, classes=3, side=640.0):
    """The first six numbers of its own `summarize`, through its own reader of results: written out once more."""
    images = [{"id": i} for i in range(len(truths))]
    gts, dts = [], []
    for image, (one, other) in enumerate(zip(truths, detections, strict=True)):
        for kind, out, boxes, labels in (("gt", gts, one.boxes, one.classes), ("dt", dts, other.boxes, other.classes)):
            for row, ((x0, y0, x1, y1), label) in enumerate(zip(boxes.astype(float), labels.tolist(), strict=True)):
                entry = {"image_id": image, "category_id": label, "bbox": [x0, y0, x1 - x0, y1 - y0]}
                if kind == "gt":
                    entry |= {"id": len(gts) + 1, "area": float(one.areas[row]), "iscrowd": int(one.crowd[row])}
                out.append(entry | ({"score": float(other.scores[row])} if kind == "dt" else {}))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": images, "annotations": gts, "categories": [{"id": i} for i in range(classes)]}
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(dts), "bbox")
        scale = (side / 640) ** 2
        judge.params.areaRng = [[low * (scale if low else 1), high * (scale if high < 1e9 else 1)]
                                for low, high in judge.params.areaRng]  # fmt: skip
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[:6]


def test_average_precision_by_hand():
    """Two objects: hit, miss, hit. Precision 1 up to recall 1/2 (51 of 101 points), then 2/3; at every IoU alike."""
    objects = truth([[0, 0, 10, 10], [50, 50, 60, 60]])
    found = said([[0, 0, 10, 10], [80, 0, 90, 10], [50, 50, 60, 60]], [0.9, 0.8, 0.7])
    score = CocoScore([found], [objects], ("car",))
    by_hand = (51 * 1 + 50 * 2 / 3) / 101
    assert np.isclose(score.numbers()["score"], by_hand, atol=1e-12)
    assert np.isclose(score.scores(np.ones((1, 1)))[0], by_hand, atol=1e-12)
    assert score.per_class() == {
        "car": {"score": pytest.approx(by_hand), "ap50": pytest.approx(by_hand), "examples": 2}
    }


def test_a_loose_box_counts_at_the_lower_thresholds_only():
    found = said([[0, 0, 10, 7.2]], [0.9])  # IoU 0.72: reaches 0.50, 0.55, ..., 0.70
    numbers = CocoScore([found], [truth([[0, 0, 10, 10]])], ("car",)).numbers()
    assert np.isclose(numbers["score"], 0.5) and np.isclose(numbers["ap50"], 1)


def test_sizes_scale_with_the_image():
    objects = [truth([[0, 0, 20, 20], [50, 50, 100, 100]])]
    found = [said(objects[0].boxes, [0.9, 0.8])]
    assert set(CocoScore(found, objects, ("car",)).numbers()) == {"score", "ap50", "ap_small", "ap_medium"}
    assert set(CocoScore(found, objects, ("car",), 320).numbers()) == {"score", "ap50", "ap_medium", "ap_large"}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 999), st.sampled_from([0, 8, 255]), st.sampled_from([640.0, 200.0]))
def test_all_numbers_are_those_of_pycocotools(seed, levels, side):
    truths = scenes(8, seed, most=7)
    found = noisy(truths, seed, levels=levels)
    numbers = CocoScore(found, truths, NAMES, side).numbers()
    expected = pycocotools_says(found, truths, side=side)
    names = {"score": 0, "ap50": 1, "ap_small": 3, "ap_medium": 4, "ap_large": 5}
    for name, place in names.items():
        assert np.isclose(numbers.get(name, -1), expected[place], atol=1e-9), name


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9999), st.sampled_from([0, 4, 12, 255]), st.data())
def test_weighted_scores_are_those_of_pycocotools_on_repeated_and_selected_images(seed, levels, data):
    truths = scenes(6, seed)
    found = noisy(truths, seed, extra=5, levels=levels)
    counts = st.lists(st.integers(0, 4), min_size=6, max_size=6)
    rows = [[1] * 6, data.draw(counts), data.draw(st.lists(st.integers(0, 1), min_size=6, max_size=6))]
    scores = CocoScore(found, truths, NAMES).scores(np.array(rows, float))
    assert scores.dtype == np.float64
    for weights, score in zip(rows, scores, strict=True):
        members = np.repeat(np.arange(6), weights)
        if any((~truths[i].crowd).any() for i in members):
            expected = pycocotools_says([found[i] for i in members], [truths[i] for i in members])[0]
            assert abs(score - expected) < 1e-9
        else:
            assert np.isnan(score)


def test_equal_scores_of_a_repeated_image_alternate():
    """Wrong before right, twice: the precisions at the hits are 1/2 and 2/4, not 1/3 and 2/4."""
    objects, found = truth([[0, 0, 10, 10]]), said([[50, 50, 60, 60], [0, 0, 10, 10]], [0.5, 0.5])
    assert np.allclose(CocoScore([found], [objects], ("car",)).scores(np.array([[1.0], [2], [3]])), 0.5)
    swapped = said(found.boxes[::-1], [0.5, 0.5])  # right, wrong, right, wrong: 1 up to recall 1/2, then 2/3
    expected = [1, (51 + 50 * 2 / 3) / 101]
    assert np.allclose(CocoScore([swapped], [objects], ("car",)).scores(np.array([[1.0], [2]])), expected)


def test_a_class_counts_only_where_it_is_drawn():
    truths = [truth([[0, 0, 10, 10]], [0]), truth([[0, 0, 10, 10]], [1]), truth([])]
    found = [said([[0, 0, 10, 10]], [0.9], [0]), said([], []), said([], [])]
    score = CocoScore(found, truths, ("car", "bus", "tram"))
    weights = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]], float)
    assert np.allclose(score.scores(weights), [0.5, 1, 0, np.nan, np.nan], equal_nan=True)
    assert list(score.per_class()) == ["car", "bus"]


def test_what_lies_on_a_crowd_is_neither_right_nor_wrong():
    truths = [truth([[0, 0, 100, 100], [200, 200, 220, 220]], crowd=[True, False])]
    found = [said([[10, 10, 30, 30], [40, 40, 60, 60], [200, 200, 220, 220]], [0.9, 0.8, 0.7])]
    score = CocoScore(found, truths, ("car",))
    assert np.isclose(score.numbers()["score"], 1) and np.isclose(score.scores(np.ones((1, 1)))[0], 1)
    assert score.image_values(0.5).tolist() == [1]


def test_nothing_found_scores_zero_and_no_image_is_refused():
    score = CocoScore([said([], [])], [truth([[0, 0, 9, 9]])], ("car",))
    assert score.numbers()["score"] == 0 and score.scores(np.ones((2, 1))).tolist() == [0, 0]
    assert CocoScore([said([], [])], [truth([])], ("car",)).numbers() == {}
    with pytest.raises(ValueError, match="As many detections as truths"):
        CocoScore([], [], ("car",))
    with pytest.raises(ValueError, match="finite numbers, those of image 0"):
        CocoScore([said([[0, 0, 9, 9]], [np.nan])], [truth([])], ("car",))


def test_pycocotools_prints_nothing(capfd):
    CocoScore([said([], [])], [truth([[0, 0, 9, 9]])], ("car",))
    assert capfd.readouterr() == ("", "")


def test_values_of_images_by_hand():
    objects = truth([[0, 0, 10, 10], [50, 50, 60, 60], [0, 50, 10, 60]], [0, 0, 1])
    found = said(
        [[0, 0, 10, 10], [0, 50, 10, 60], [80, 0, 90, 10], [50, 50, 60, 60]], [0.9, 0.8, 0.6, 0.3], [0, 0, 1, 0]
    )
    empty = said([], [])
    score = CocoScore([found, empty, empty, found], [objects, truth([]), objects, truth([])], ("car", "bus"))
    # From 0.5 up: one hit, one car where a bus is, one bus on nothing; a car and the bus are not found.
    assert np.allclose(score.image_values(0.5), [2 / (2 + 2 + 2), 1, 0, 0])
    assert np.allclose(score.image_values(0.3), [4 / (4 + 2 + 1), 1, 0, 0])
    assert score.image_counts(0.5).tolist() == [[2, 1], [0, 0], [0, 0], [2, 1]]
    assert score.image_counts(0.6).dtype == np.int64 and score.image_counts(0.95).sum() == 0


def test_half_an_image_is_half_a_detection():
    truths = [truth([[0, 0, 10, 10]]), truth([])]
    found = [said([[0, 0, 10, 10]], [0.5]), said([[0, 0, 10, 10]], [0.9])]
    one = matches(evaluated(found, truths, 1, [(0, 1e10)], 100), 0)
    assert np.allclose(average_precision(one, np.array([[1, 1], [1, 0.5], [2, 1]], float)), [1 / 2, 2 / 3, 2 / 3])


def test_thousands_of_resamples_take_seconds():
    truths = scenes(100, 0, most=12)
    found = noisy(truths, 0, extra=30, levels=255)
    score = CocoScore(found, truths, NAMES)
    weights = np.random.default_rng(0).multinomial(100, [0.01] * 100, 2000).astype(float)
    start = time.process_time()
    scores = score.scores(weights)
    assert time.process_time() - start < 10  # 1 s on an idle core
    assert np.std(scores) > 0 and np.quantile(scores, 0.01) < score.numbers()["score"] < np.quantile(scores, 0.99)


@pytest.mark.real
def test_camvid_is_scored_as_pycocotools_scores_it(shared):
    split = list_boxes(shared / "data" / "camvid")["test"]
    found = noisy(split.truths, 1, levels=255)
    score = CocoScore(found, split.truths, NAMES, 480)
    numbers, expected = score.numbers(), pycocotools_says(found, split.truths, side=480)
    assert np.allclose([numbers[name] for name in ("score", "ap50", "ap_small", "ap_medium", "ap_large")],
                       expected[[0, 1, 3, 4, 5]], atol=1e-9)  # fmt: skip
    weights = np.random.default_rng(0).integers(0, 3, (1, 101)).astype(float)
    members = np.repeat(np.arange(101), weights[0].astype(int))
    again = pycocotools_says([found[i] for i in members], [split.truths[i] for i in members])
    assert abs(score.scores(weights)[0] - again[0]) < 1e-9
    whole = [dataclasses.replace(said(t.boxes, np.ones(len(t))), classes=t.classes) for t in split.truths]
    assert np.isclose(CocoScore(whole, split.truths, NAMES).numbers()["score"], 1)
