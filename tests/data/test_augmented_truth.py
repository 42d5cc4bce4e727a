"""Boxes and masks move with their pixels, whatever the augmentation does."""

from __future__ import annotations

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.boxes import VISIBLE
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training.teacher import cached_logits

HEIGHT, WIDTH = 48, 64
STILL = {"brightness": 0, "contrast": 0}
"""Only places change."""


def strengths(turning: bool):
    found = {"shift": st.floats(0, 0.3), "zoom": st.floats(0, 0.4), "flip": st.booleans()}
    found |= {"shear_degrees": st.floats(0, 20), "rotation_degrees": st.floats(0, 40)} if turning else {}
    fixed = {} if turning else {"shear_degrees": 0.0}
    return st.fixed_dictionaries(found).map(lambda drawn: Augmentation(**STILL, **fixed, **drawn))


NUMBERS = st.lists(st.floats(0, 1, exclude_max=True, width=32), min_size=16, max_size=16).map(
    lambda row: np.float32([row])
)
BOXES = st.tuples(st.integers(2, 40), st.integers(2, 30), st.integers(8, 20), st.integers(8, 14)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])  # black is left all around, which is what the border repeats
)


def filled(box):
    """An image [1, h, w, 3] that is white inside the box, and black."""
    left, top, right, bottom = box
    image = np.zeros((1, HEIGHT, WIDTH, 3), np.float32)
    image[0, top:bottom, left:right] = 255
    return image


def moved(augmentation, boxes, numbers, kinds=None):
    boxes = np.float32(boxes).reshape(1, -1, 4)
    kinds = np.zeros(boxes.shape[:2], np.int64) if kinds is None else np.int64(kinds).reshape(1, -1)
    found = augmentation.move_boxes(tf.constant(boxes), tf.constant(kinds), (HEIGHT, WIDTH), tf.constant(numbers))
    return found[0].numpy()[0], found[1].numpy()[0]


def bounds(white):
    """Of the pixels [h, w] that are true: x0, y0, x1, y1."""
    rows, columns = (np.flatnonzero(white.any(axis=axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@settings(max_examples=20, deadline=None)
@given(BOXES, strengths(turning=False), NUMBERS)
def test_a_box_bounds_its_pixels(box, augmentation, numbers):
    white = augmentation.apply(tf.constant(filled(box)), tf.constant(numbers)).numpy()[0, ..., 0] > 127
    (found,), _ = moved(augmentation, box, numbers)
    if white.any():
        np.testing.assert_allclose(found, bounds(white), atol=1.01)
    else:
        assert np.prod(found[2:] - found[:2]) < 4, "no pixel is left, or half a row"


@settings(max_examples=20, deadline=None)
@given(BOXES, strengths(turning=True), NUMBERS)
def test_a_turned_box_bounds_its_pixels(box, augmentation, numbers):
    """Sharp corners are less than half of their pixels, so the box may reach further than these."""
    white = augmentation.apply(tf.constant(filled(box)), tf.constant(numbers)).numpy()[0, ..., 0] > 127
    (found,), _ = moved(augmentation, box, numbers)
    if white.any():
        low, high = found[:2] - bounds(white)[:2], found[2:] - bounds(white)[2:]
        assert (low < 1.01).all() and (high > -1.01).all(), "white outside the box"
        inside = (bounds(white)[:2] > 2).all() and (bounds(white)[2:] < (WIDTH - 2, HEIGHT - 2)).all()
        if inside:
            assert (low > -2.5).all() and (high < 2.5).all(), "the box is too large"


@settings(max_examples=20, deadline=None)
@given(BOXES, strengths(turning=True), NUMBERS)
def test_a_mask_is_that_of_its_pixels(box, augmentation, numbers):
    """The nearest pixel is white where more than 3/4 of the blend of four is, and black where less than 1/4 is."""
    image = filled(box)
    share = augmentation.apply(tf.constant(image), tf.constant(numbers)).numpy()[0, ..., 0] / 255
    mask = augmentation.move_masks(tf.constant((image[..., 0] > 0).astype(np.uint8)), tf.constant(numbers)).numpy()
    assert mask.dtype == np.uint8 and mask.shape == (1, HEIGHT, WIDTH)
    assert (mask[0][share > 0.76] == 1).all() and (mask[0][share < 0.24] == 0).all()


def centred(**columns):
    numbers = np.full((1, 16), 0.5, np.float32)
    for column, value in columns.items():
        numbers[:, int(column[1:])] = value
    return numbers


FLAT = Augmentation(shift=0, zoom=0, shear_degrees=0, **STILL)


def test_nothing_moves_where_nothing_changes_its_place():
    box = tf.constant([[[1.0, 2.0, 30.0, 40.0]]])
    kinds = tf.constant([[3]], tf.int64)
    mask = tf.constant(np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(1, HEIGHT, WIDTH))
    found = FLAT.move_boxes(box, kinds, (HEIGHT, WIDTH), tf.constant(centred()))
    assert found[0] is box and found[1] is kinds and FLAT.move_masks(mask, tf.constant(centred())) is mask
    assert not FLAT.moves


def test_a_flip_mirrors_boxes_and_masks_exactly():
    flip = Augmentation(flip=True, shift=0, zoom=0, shear_degrees=0)
    numbers = np.concatenate([centred(_5=0.49), centred(_5=0.5)])
    assert flip.mirrored(tf.constant(numbers)).numpy().tolist() == [True, False]
    assert not FLAT.mirrored(tf.constant(numbers)).numpy().any()
    (found,), _ = moved(flip, (3, 5, 20, 40), numbers[:1])
    np.testing.assert_allclose(found, [WIDTH - 20, 5, WIDTH - 3, 40], atol=1e-4)
    mask = np.random.default_rng(0).integers(0, 5, (2, HEIGHT, WIDTH), np.uint8)
    turned = flip.move_masks(tf.constant(mask), tf.constant(numbers)).numpy()
    np.testing.assert_array_equal(turned, [mask[0, :, ::-1], mask[1]])


def test_a_shift_moves_boxes_by_its_fraction_and_those_that_leave_are_no_objects():
    """A quarter of 64 px to the right; of a box 10 px wide, 4 px, 3 px and nothing are left."""
    shift = Augmentation(shift=0.25, zoom=0, shear_degrees=0, **STILL)
    boxes = [(10, 4, 20, 14), (44, 4, 54, 14), (45, 4, 55, 14), (46, 4, 56, 14), (50, 4, 60, 14)]
    found, kinds = moved(shift, boxes, centred(_0=1.0), kinds=[2, 2, 2, 2, 2])
    np.testing.assert_allclose(found[:2], [(26, 4, 36, 14), (60, 4, 64, 14)], atol=1e-3)
    assert VISIBLE == 0.3 and kinds[[0, 1, 3, 4]].tolist() == [2, 2, -1, -1]
    assert (found[:, 2] <= WIDTH).all() and (found >= 0).all()


def test_empty_rows_stay_empty():
    found, kinds = moved(Augmentation(**STILL), [(0, 0, 0, 0), (4, 4, 20, 20)], centred(_0=0.9), kinds=[-1, 1])
    assert kinds.tolist() == [-1, 1] and np.isfinite(found).all()


@pytest.mark.parametrize("column", range(6))
def test_each_example_moves_by_its_own_numbers(column):
    augmentation = Augmentation(flip=True, rotation_degrees=10, **STILL)
    numbers = np.concatenate([centred(), centred(**{f"_{column}": 0.1}), centred()])
    boxes = tf.constant(np.tile(np.float32([[[10, 10, 30, 30]]]), (3, 1, 1)))
    kinds = tf.zeros((3, 1), tf.int64)
    found = augmentation.move_boxes(boxes, kinds, (HEIGHT, WIDTH), tf.constant(numbers))[0].numpy()
    np.testing.assert_allclose(found[0], found[2])
    assert np.abs(found[0] - found[1]).max() > 0.1


@pytest.mark.parametrize("side", [48, 47])
def test_of_a_mosaic_every_box_bounds_its_pixels_and_its_mask(side):
    """Four images, each with a white box of its own: where tiled, each box bounds white, in images and masks."""
    count, corners = 4, np.float32([[4, 6, 20, 18], [10, 2, 40, 30], [0, 0, 8, 8], [20, 20, 44, 40]])
    images, masks = np.zeros((count, side, 64, 3), np.float32), np.zeros((count, side, 64), np.uint8)
    for number, (left, top, right, bottom) in enumerate(corners.astype(int)):
        images[number, top:bottom, left:right] = 255
        masks[number, top:bottom, left:right] = number + 1
    truths = {"boxes": corners[:, None], "classes": np.arange(count)[:, None], "crowd": np.zeros((count, 1), bool)}
    numbers = np.full((count, 16), 0.5, np.float32)
    numbers[:, 9] = 0.2, 0.2, 0.9, 0.2
    strength = Augmentation(**STILL, shift=0, zoom=0, shear_degrees=0, mosaic=0.5)
    numbers, truths = tf.constant(numbers), {name: tf.constant(values) for name, values in truths.items()}
    seen = strength.apply(tf.constant(images), numbers).numpy()
    shown = strength.move_masks(tf.constant(masks), numbers).numpy()
    told = {name: values.numpy() for name, values in strength.tile_truths(truths, (side, 64), numbers).items()}
    assert told["crowd"].shape == (count, 4) and (told["classes"][2] >= 0).tolist() == [True, False, False, False]
    np.testing.assert_array_equal(seen[2], images[2])
    for number in (0, 1, 3):
        assert sorted(told["classes"][number]) == [0, 1, 2, 3]
        for box, kind in zip(told["boxes"][number], told["classes"][number], strict=True):
            np.testing.assert_array_equal(bounds(shown[number] == kind + 1), np.round(box))
            left, top, right, bottom = np.round(box).astype(int)
            assert (seen[number, top:bottom, left:right] == 255).all()
        white = sum(np.prod(box[2:] - box[:2]) for box in told["boxes"][number])
        assert (seen[number, ..., 0] == 255).sum() == white


def test_colours_change_by_a_factor_each_and_grey_and_alpha_are_kept_whole():
    numbers = tf.constant(np.float32([[0.5] * 10 + [1, 0.5, 0] + [0.5] * 3]))
    strength = Augmentation(**STILL, shift=0, zoom=0, shear_degrees=0, colour=0.5)
    for channels, expected in ((1, [150]), (3, [150, 100, 50]), (4, [150, 100, 50, 100])):
        found = strength.apply(tf.fill((1, 2, 2, channels), 100.0), numbers).numpy()
        np.testing.assert_allclose(found[0, 0, 0], expected)


@pytest.mark.parametrize("task", [Classification, LaneKeeping, lambda **settings: MultiTask(
    parts=(Segmentation(), LaneKeeping()), **settings)])  # fmt: skip
def test_a_mosaic_is_refused_where_four_images_have_no_answer_together(task):
    with pytest.raises(BadInput, match="augmentation.mosaic must be 0: what four images show together"):
        task(augmentation=Augmentation(mosaic=0.5, shear_degrees=0, shift=0))
    assert Detection(augmentation=Augmentation(mosaic=0.5)).augmentation.mosaic == 0.5


def test_a_teacher_whose_logits_are_kept_refuses_a_mosaic():
    context = types.SimpleNamespace(task=Segmentation(augmentation=Augmentation(mosaic=0.5)))
    with pytest.raises(BadInput, match="Leave one out: --set=task.augmentation.mosaic=0"):
        cached_logits(keras.Sequential([keras.layers.Dense(1, input_shape=(1,))]), 1, context)
