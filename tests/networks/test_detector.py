"""What a detector's outputs should be, and what it costs that they are not: by hand, on grids of a few cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.data import detections
from tfmo_drive.networks.detectors import centres
from tfmo_drive.networks.detectors.centres import decoded, encode, focal, generalised_iou

GRID = (6, 8)
"""Of an image of 24 x 32 px."""


def truth(*objects, rows=0):
    """Objects (x0, y0, x1, y1, class, crowd) of one image, and empty rows up to `rows`."""
    found = [*objects, *[(0, 0, 0, 0, -1, False)] * (rows - len(objects))]
    columns = [[one[:4] for one in found], [one[4] for one in found], [one[5] for one in found]]
    kinds = zip(("boxes", "classes", "crowd"), columns, (np.float32, np.int64, bool), strict=True)
    return {name: tf.constant(np.array(values, dtype)[None]) for name, values, dtype in kinds}


def encoded(*objects, rows=0, grid=GRID, classes=2):
    return {name: one.numpy()[0] for name, one in encode(truth(*objects, rows=rows), grid, classes).items()}


def test_heat_is_one_at_the_centres_cell_and_falls_as_a_gaussian():
    """Middle (17, 13) px lies in column 4, row 3. 12 px are 3 cells: the deviation across is 0.54 / 6 x 3 = 0.27."""
    heat = encoded((11, 9, 23, 17, 1, False))["heat"]
    assert heat.shape == (6, 8, 2) and not heat[..., 0].any()
    assert heat[3, 4, 1] == 1 and (heat[..., 1] == 1).sum() == 1
    assert heat[3, 5, 1] == heat[3, 3, 1] == pytest.approx(np.exp(-1 / (2 * 0.27**2)))
    assert heat[2, 4, 1] == pytest.approx(np.exp(-1 / (2 * 0.18**2)))


def test_an_objects_weights_sum_to_one_and_point_at_its_box():
    """24 px are 6 cells, deviation 0.54: a cell away the Gaussian is 0.18, above 0.1, two away 0.001."""
    found = encoded((4, 8, 28, 12, 0, False))
    near = np.exp(-1 / (2 * 0.54**2))
    assert found["weights"].sum() == pytest.approx(1)
    assert found["weights"][2, 3:6] == pytest.approx(np.array([near, 1, near]) / (1 + 2 * near))
    assert (found["weights"] > 0).sum() == 3 and (found["boxes"][2, 3:6] == (4, 8, 28, 12)).all()


def test_the_smallest_object_owns_a_cell():
    large, small = (4, 8, 28, 12, 0, False), (18, 8, 22, 12, 1, False)  # the small one's cell is column 5
    for objects in ((large, small), (small, large)):
        found = encoded(*objects)
        assert (found["boxes"][2, 5] == small[:4]).all() and found["weights"][2, 5] == pytest.approx(1)
        assert (found["boxes"][2, 3:5] == large[:4]).all() and found["weights"][2, 3:5].sum() == pytest.approx(1)
        assert found["heat"][2, 4, 0] == found["heat"][2, 5, 1] == 1


def test_an_object_whose_only_cell_is_owned_by_another_has_no_weight():
    found = encoded((8, 8, 16, 16, 0, False), (10, 10, 14, 14, 1, False))
    assert found["weights"].sum() == pytest.approx(1) and (found["boxes"][3, 3] == (10, 10, 14, 14)).all()
    assert found["heat"][3, 3].tolist() == [1, 1]


def test_empty_rows_change_nothing():
    objects = ((4, 8, 28, 12, 0, False), (18, 8, 22, 12, 1, False))
    for name, one in encoded(*objects, rows=7).items():
        np.testing.assert_array_equal(one, encoded(*objects)[name], err_msg=name)


def test_without_objects_all_is_background():
    found = encoded(rows=3)
    assert not found["heat"].any() and not found["weights"].any() and not found["objects"].any()
    assert found["open"].all()


def test_of_crowds_nothing_is_learnt():
    crowd = (8, 8, 16, 16, 0, True)
    found = encoded(crowd)
    assert not found["heat"].any() and not found["weights"].any() and not found["objects"].any()
    # 8 px by 1.25 about (12, 12): the centres of cells 1 (6 px) to 4 (18 px) lie 6 px away and further, 2 and 3 inside.
    closed = np.ones(GRID)
    closed[2:4, 2:4] = 0
    np.testing.assert_array_equal(found["open"], closed)
    beside = encoded(crowd, (24, 4, 32, 12, 1, False))
    np.testing.assert_array_equal(beside["open"], closed)
    assert beside["weights"].sum() == pytest.approx(1) and beside["heat"][2, 7, 1] == 1


def test_objects_are_inside_and_around_boxes():
    around = encoded((8, 4, 24, 12, 0, False))["objects"][..., 0]
    # 16 x 8 px by 1.25 about (16, 8): 6..26 px across, with the edges themselves, and 3..13 px down.
    expected = np.zeros(GRID)
    expected[1:3, 1:7] = 1
    np.testing.assert_array_equal(around, expected)


def test_the_thinnest_object_is_somewhere():
    assert encoded((9, 9, 9.5, 9.5, 0, False))["objects"].sum() >= 1


@pytest.mark.parametrize(
    ("box", "cell"),
    [((24, 16, 32, 24), (5, 7)), ((0, 0, 6, 6), (0, 0)), ((30, 0, 32, 4), (0, 7)), ((32, 24, 32, 24), (5, 7))],
)
def test_objects_at_the_border_have_a_cell(box, cell):
    found = encoded((*box, 0, False))
    assert found["heat"][(*cell, 0)] == 1 and found["weights"][cell] == pytest.approx(1)
    assert np.isfinite(found["weights"]).all()


def test_focal_loss_by_hand():
    """Logit 0 is a score of 1/2: a centre costs (1/2)^2 log 2, a cell of heat h (1 - h)^4 as much."""
    half = 0.25 * np.log(2)
    heat, logits = np.zeros((1, 1, 3, 1), np.float32), np.zeros((1, 1, 3, 1), np.float32)
    heat[0, 0, :, 0] = 1, 0.5, 0
    open_ = np.ones((1, 1, 3), np.float32)
    assert float(focal(heat, logits, open_)) == pytest.approx(half * (1 + 0.5**4 + 1), rel=1e-5)
    open_[...] = 0  # what is in a crowd is no false alarm; a centre is still to be found
    assert float(focal(heat, logits, open_)) == pytest.approx(half, rel=1e-5)
    logits[0, 0, :, 0] = 2, -30, -30
    sure = 1 / (1 + np.exp(-2))
    assert float(focal(heat, logits, np.ones((1, 1, 3), np.float32))) == pytest.approx(
        (1 - sure) ** 2 * -np.log(sure), rel=1e-4
    )


def test_no_logit_makes_the_loss_infinite():
    heat = np.float32([0, 1]).reshape(1, 1, 2, 1)
    for logits in ([200, -200], [-200, 200]):
        with tf.GradientTape() as tape:
            asked = tf.Variable(np.float32(logits).reshape(1, 1, 2, 1))
            loss = focal(heat, asked, np.ones((1, 1, 2), np.float32))
        assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, asked)).all()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7 - 2 / 9),  # 1 of 7 in common, 2 of the hull's 9 in neither
        ((0, 0, 1, 1), (2, 0, 3, 1), -1 / 3),  # nothing in common, 1 of 3 between them
        ((0, 0, 4, 4), (1, 1, 3, 3), 4 / 16),  # inside: the hull is the larger one
    ],
)
def test_generalised_overlap_by_hand(one, other, expected):
    for pair in ((one, other), (other, one)):
        assert float(generalised_iou(*(tf.constant(box, tf.float32) for box in pair))) == pytest.approx(expected)


SIDES = st.floats(0.25, 100, width=32)
BOXES = st.tuples(SIDES, SIDES, SIDES, SIDES).map(lambda s: np.float32([s[0], s[1], s[0] + s[2], s[1] + s[3]]))


@settings(max_examples=30, deadline=None)
@given(BOXES, BOXES)
def test_generalised_overlap_is_above_minus_one_and_one_of_equal_boxes(one, other):
    found = float(generalised_iou(tf.constant(one), tf.constant(other)))
    assert -1 < found <= 1 + 1e-5
    assert float(generalised_iou(tf.constant(one), tf.constant(one))) == pytest.approx(1)


def test_boxes_lie_about_their_cells_centres():
    exponents = np.zeros((1, 2, 2, 4), np.float32)
    exponents[0, 1, 0] = np.log([1, 2, 3, 4])  # left, top, right, bottom of (2, 6)
    found = decoded(tf.constant(exponents)).numpy()
    np.testing.assert_allclose(found[0, 1, 0], [1, 4, 5, 10], rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 1], [5, 1, 7, 3], rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_boxes_are_decoded_alike_in_the_graph_and_behind_it(seed):
    exponents = np.random.default_rng(seed).uniform(0, centres.LARGEST, (2, 3, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(
        decoded(tf.constant(exponents)).numpy(), detections.decoded(exponents), rtol=1e-5, atol=1e-4
    )


def test_the_loss_is_the_scores_and_five_times_the_boxes_for_every_object():
    targets = encode(truth((4, 4, 12, 12, 0, False), (20, 8, 28, 16, 1, False), rows=4), GRID, 2)
    outputs = {"scores": tf.zeros((1, *GRID, 2)), "boxes": tf.zeros((1, *GRID, 4))}
    score = float(focal(targets["heat"], outputs["scores"], targets["open"])) / 2
    # Each box is 8 x 8 px, and 2 x 2 px are said inside it.
    assert float(centres.loss(targets, outputs)) == pytest.approx(score + 5 * (1 - 4 / 64), rel=1e-4)
    none = encode(truth(rows=4), GRID, 2)
    assert np.isfinite(centres.loss(none, outputs))


def test_at_first_every_cell_scores_a_tenth_and_says_ten_pixels():
    inputs = keras.Input((32, 64, 3))
    features = keras.layers.Conv2D(4, 3, 4, padding="same")(inputs)
    model = keras.Model(inputs, centres.heads(keras.Model(inputs, features), 3, 8))
    assert model.output_names == ["scores", "boxes"]
    scores, boxes = model(tf.random.stateless_uniform((1, 32, 64, 3), [0, 1]), training=False)
    assert scores.shape == (1, 8, 16, 3) and boxes.shape == (1, 8, 16, 4)
    np.testing.assert_allclose(tf.sigmoid(scores), 0.1, atol=0.02)
    np.testing.assert_allclose(tf.exp(boxes), 10, rtol=0.2)
