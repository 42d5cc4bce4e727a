"""From a detector's maps to boxes, in numpy; and how an int8 detector dies, and does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import Truth
from tfmo_drive.data.detections import BOXES, SCORES, Decoding, decoded, padded, sigmoid, truths
from tfmo_drive.networks.detectors.centres import LARGEST, encode
from tfmo_drive.runtimes.interpreters import real, stored
from tfmo_drive.tasks.detection.coco_score import CocoScore

SIZE = (24, 32)
GRID = (6, 8)
LOW = -8.0
"""The logit of what nobody sees: a score of 0.0003, below any least_score here."""


def maps(*peaks, exponents=None, classes=2, grid=GRID):
    """Outputs of one image: logits LOW but for peaks (row, column, class, logit), boxes 8 x 8 px unless given."""
    scores = np.full((1, *grid, classes), LOW, np.float32)
    for row, column, kind, logit in peaks:
        scores[0, row, column, kind] = logit
    boxes = np.full((1, *grid, 4), np.log(4), np.float32)
    for (row, column), sides in (exponents or {}).items():
        boxes[0, row, column] = np.log(sides)
    return {SCORES: scores, BOXES: boxes}


def found(outputs, **changes):
    (one,) = Decoding(**changes)(outputs, SIZE)
    return one


def test_a_peak_is_one_box_about_its_cell():
    one = found(maps((2, 3, 1, 0.0), exponents={(2, 3): (1, 2, 3, 4)}))  # the centre of cell (2, 3) is (14, 10)
    np.testing.assert_allclose(one.boxes, [[13, 8, 17, 14]], rtol=1e-6)
    assert one.scores.tolist() == [0.5] and one.classes.tolist() == [1]


def test_only_the_highest_of_neighbours_is_found_and_classes_do_not_hide_one_another():
    one = found(maps((2, 2, 0, 2.0), (3, 3, 0, 1.0), (2, 5, 0, 0.5), (3, 3, 1, 0.1)))
    assert one.classes.tolist() == [0, 0, 1]
    np.testing.assert_allclose(one.scores, sigmoid(np.float32([2.0, 0.5, 0.1])), rtol=1e-6)


def test_what_scores_less_than_the_least_is_nothing():
    outputs = maps((1, 1, 0, 0.0), (4, 6, 0, -1.0))
    assert found(outputs, least_score=0.5).scores.tolist() == [0.5]  # at least, not above
    assert len(found(outputs, least_score=0.2)) == 2 and len(found(outputs, least_score=0.51)) == 0
    assert found(maps(), least_score=0.02).boxes.shape == (0, 4)


def test_nothing_is_found_where_no_score_is_asked_for():
    """With least_score 0 a board asks for everything, but cells that score exactly 0 are still nothing."""
    outputs = maps((1, 1, 0, 0.0))
    outputs[SCORES][outputs[SCORES] == LOW] = -np.inf
    assert found(outputs, least_score=0.0).scores.tolist() == [0.5]


def test_overlaps_are_suppressed_class_by_class():
    wide = {(2, 2): (8, 8, 8, 8), (2, 4): (16, 8, 8, 8)}  # 2..18 and 2..26 px across: 16 of 24 in common
    outputs = maps((2, 2, 0, 1.0), (2, 4, 0, 2.0), exponents=wide)
    assert found(outputs, iou=0.6).scores.tolist() == pytest.approx([sigmoid(2.0)])
    assert len(found(outputs, iou=0.7)) == 2
    assert len(found(maps((2, 2, 0, 1.0), (2, 4, 1, 2.0), exponents=wide), iou=0.6)) == 2


def test_the_best_candidates_and_the_limit():
    peaks = [(row, column, 0, row + column / 10) for row in (0, 3) for column in (0, 3, 6)]
    best = sigmoid(np.float32([3.6, 3.3, 3.0, 0.6, 0.3, 0.0]))
    for count in (1, 2, 5, 6, 7):
        np.testing.assert_allclose(found(maps(*peaks), candidates=count).scores, best[:count], rtol=1e-6)
        np.testing.assert_allclose(found(maps(*peaks), limit=count).scores, best[:count], rtol=1e-6)


def test_candidates_are_chosen_before_suppression():
    wide = {(2, 2): (8, 8, 8, 8), (2, 4): (16, 8, 8, 8)}
    outputs = maps((2, 2, 0, 1.5), (2, 4, 0, 2.0), (5, 7, 0, 1.0), exponents=wide)
    assert len(found(outputs, candidates=2)) == 1 and len(found(outputs, candidates=3)) == 2


def test_boxes_are_clipped_to_the_image():
    one = found(maps((0, 0, 0, 1.0), (5, 7, 0, 2.0), exponents={(5, 7): (100, 100, 100, 100)}))
    np.testing.assert_allclose(one.boxes, [[0, 0, 32, 24], [0, 0, 6, 6]])


def test_equal_neighbours_of_an_int8_file_are_one_object_or_two():
    """256 steps make ties. All that are highest count; of boxes that overlap the first in reading order is left."""
    together = {(2, 2): (4, 4, 4, 4), (2, 3): (8, 4, 0.1, 4)}
    one = found(maps((2, 2, 0, 1.0), (2, 3, 0, 1.0), exponents=together))
    np.testing.assert_allclose(one.boxes, [[6, 6, 14, 14]], rtol=1e-6)
    apart = {(2, 2): (8, 4, 1, 4), (2, 3): (1, 4, 8, 4)}
    assert len(found(maps((2, 2, 0, 1.0), (2, 3, 0, 1.0), exponents=apart))) == 2


def test_images_do_not_see_one_another():
    outputs = [maps((2, 3, 0, 1.0)), maps((2, 3, 0, 2.0)), maps()]
    batch = {name: np.concatenate([one[name] for one in outputs]) for name in outputs[0]}
    assert [len(one) for one in Decoding()(batch, SIZE)] == [1, 1, 0]
    assert Decoding()({name: one[:0] for name, one in batch.items()}, SIZE) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("least_score", -0.1), ("least_score", 1), ("iou", 1.0), ("iou", np.nan), ("candidates", 0), ("limit", -1)],
)
def test_a_setting_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(BadInput, match=rf"^Decoding\.{field} must be .* got {value}\.$"):
        Decoding(**{field: value})


def test_no_logit_overflows():
    found = sigmoid(np.float32([-1000, -1, 0, 1, 1000]))
    assert found == pytest.approx([0, 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1])


def truth(boxes, classes, crowd=None, areas=None):
    boxes = np.float32(boxes).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    return Truth(
        boxes,
        np.array(classes, np.int64),
        np.array(crowd if crowd is not None else np.zeros(len(boxes)), bool),
        np.float32(sides.prod(axis=1) if areas is None else areas),
    )


def random_truth(generator, most=6):
    count = int(generator.integers(0, most))
    corners = generator.uniform(0, 20, (count, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(1, 12, (count, 2))], axis=1)
    return truth(boxes, generator.integers(0, 3, count), generator.random(count) < 0.3, generator.uniform(1, 99, count))


def assert_equal(one, other):
    for name in ("boxes", "classes", "crowd", "areas"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(0, 5), st.integers(0, 3))
def test_truth_survives_being_brought_to_one_shape(seed, images, more):
    generator = np.random.default_rng(seed)
    before = [random_truth(generator) for _ in range(images)]
    most = max((len(one) for one in before), default=0) + more if more else 0
    rows = padded(before, most)
    after = truths({name: rows[name] for name in rows.dtype.names})
    assert len(rows) == len(after) == images
    assert rows["boxes"].shape[1] == (most or max([1, *map(len, before)]))
    for one, other in zip(before, after, strict=True):
        assert_equal(one, other)
        assert one.boxes.dtype == other.boxes.dtype and one.classes.dtype == other.classes.dtype


def test_the_largest_objects_stay_in_their_order():
    one = truth([[0, 0, 1, 1], [0, 0, 9, 9], [0, 0, 2, 2], [0, 0, 3, 3]], [0, 1, 2, 0])
    rows = padded([one], 2)
    assert rows["classes"].tolist() == [[1, 0]] and rows["areas"].tolist() == [[81, 9]]


def perfect(known, size, classes):
    """What a network that has learnt everything says: logits high at centres alone, exponents the logarithms of the
    distances to the sides of whatever box each cell should say."""
    rows = padded(known)
    grid = (size[0] // 4, size[1] // 4)
    goal = encode({name: tf.constant(rows[name]) for name in ("boxes", "classes", "crowd")}, grid, classes)
    heat, boxes = goal["heat"].numpy(), goal["boxes"].numpy()
    y, x = np.meshgrid(np.arange(grid[0]) * 4 + 2, np.arange(grid[1]) * 4 + 2, indexing="ij")
    centres = np.stack([x, y, x, y], axis=-1)
    distances = np.maximum((boxes - centres) * [-1, -1, 1, 1], 1)
    said = np.where(goal["weights"].numpy()[..., None] > 0, np.clip(np.log(distances), 0, LARGEST), np.log(10))
    return {SCORES: np.where(heat > 0.999, 8.0, LOW).astype(np.float32), BOXES: said.astype(np.float32)}


def street(seed, size, objects=6, classes=3):
    """Objects of 12 to 60 px in cells of their own, so that none hides another's centre."""
    generator = np.random.default_rng(seed)
    places = generator.permutation((size[0] // 64) * (size[1] // 64))[:objects]
    middles = np.stack([places % (size[1] // 64), places // (size[1] // 64)], axis=1) * 64 + 32
    half = generator.uniform(6, 30, (objects, 2))
    shifts = generator.uniform(-2, 2, (objects, 2))
    corners = [middles + shifts - half, middles + shifts + half]
    return truth(np.concatenate(corners, axis=1), np.arange(objects) % classes)


def score(outputs, known, size, classes=3):
    return CocoScore(Decoding()(outputs, size), known, [str(i) for i in range(classes)], max(size)).numbers()["score"]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 9999))
def test_what_a_detector_should_say_is_read_back_as_the_truth(seed):
    size = (128, 256)
    known = [street(seed + i, size, objects=i + 1) for i in range(4)]
    outputs = perfect(known, size, 3)
    for one, wanted in zip(Decoding()(outputs, size), known, strict=True):
        assert len(one) == len(wanted)
        places = [np.lexsort((boxes[:, 0], boxes[:, 1])) for boxes in (one.boxes, wanted.boxes)]
        np.testing.assert_allclose(one.boxes[places[0]], wanted.boxes[places[1]], atol=0.01)
        assert (one.classes[places[0]] == wanted.classes[places[1]]).all()
    assert score(outputs, known, size) == pytest.approx(1)


def int8(values):
    """As an int8 tensor holds them: 255 steps from its lowest to its highest number, 0 among them."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scale = (high - low) / 255
    zero_point = round(-128 - low / scale)
    return real(stored(values, scale, zero_point, np.int8), scale, zero_point)


def test_a_shared_scale_of_boxes_and_scores_is_the_end_of_an_int8_detector():
    """The best-known way an int8 detector dies: exporters join boxes in pixels (0..384 here) and scores (0..1) in one
    output, which has one scale. A step is then 1.5, so that any score rounds to 0 or to 1.5."""
    size, generator = (256, 384), np.random.default_rng(0)
    known = [street(seed, size) for seed in range(20)]
    outputs = perfect(known, size, 3)
    # What a trained network says: objects at 0.27 to 0.73, and false alarms of the same class beside them below that.
    logits = outputs[SCORES]
    seen = logits > 0
    alarms = generator.random(logits.shape) < 0.003
    logits[alarms] = generator.uniform(-3, -1.5, alarms.sum())
    logits[seen] = generator.uniform(-1, 1, seen.sum())
    before = score(outputs, known, size)
    assert before > 0.95

    apart = {name: int8(values) for name, values in outputs.items()}
    assert score(apart, known, size) > before - 0.05

    cells = size[0] // 4 * size[1] // 4
    parts = [decoded(outputs[BOXES]).reshape(20, cells, 4), sigmoid(logits).reshape(20, cells, 3)]
    joined = np.concatenate(parts, axis=-1)
    assert score(joined, known, size) == pytest.approx(before), "in float it is the same detector"
    rounded = int8(joined)
    assert not rounded[..., 4:].any(), "every score is 0; one above 0.77 would be 1.5"
    assert score(rounded, known, size) == 0
