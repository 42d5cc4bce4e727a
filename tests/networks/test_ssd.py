"""A single-shot detector's default boxes, what its outputs should be, and the loss between the two, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data import default_boxes
from tfmo_drive.data.detections import BOXES, SCORES, Decoding
from tfmo_drive.networks.backbones import MobileNetV2, ResNet, UNet
from tfmo_drive.networks.detectors import SSD
from tfmo_drive.steps.spoilers.decode_inside import DecodeInside
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection

SIZE = (64, 96)
STEPS = 120
HEAD = SSD(strides=(8, 16), scale=2.0, ratios=(1.0, 4.0))


def truth(*objects, crowd=()):
    """(class, x0, y0, x1, y1) of the objects of one image, as a batch; crowd holds the numbers of those that are."""
    boxes = np.float32([one[1:] for one in objects]).reshape(1, -1, 4)
    kinds = np.int64([one[0] for one in objects]).reshape(1, -1)
    flags = np.array([number in crowd for number in range(len(objects))]).reshape(1, -1)
    return {"boxes": tf.constant(boxes), "classes": tf.constant(kinds), "crowd": tf.constant(flags)}


def perfect(targets):
    """What a network says that has learnt everything."""
    return {SCORES: tf.where(targets["classes"] > 0, 9.0, -9.0), BOXES: targets["offsets"]}


def test_default_boxes_stand_map_by_map_cell_by_cell_shape_by_shape():
    boxes = default_boxes.placed((16, 24), (8, 16), 2.0, (1.0, 4.0))
    assert boxes.shape == ((2 * 3 + 1 * 2) * 3, 4) and boxes.dtype == np.float32
    square = 16 * 2**0.5
    first = [[4, 4, 16, 16], [4, 4, 32, 8], [4, 4, square, square]]
    np.testing.assert_allclose(boxes[:3], first, rtol=1e-6)
    assert boxes[3, :2].tolist() == [12, 4] and boxes[9, :2].tolist() == [4, 12], "columns first, then rows"
    np.testing.assert_allclose(boxes[18], [6, 8, 32, 32], err_msg="two columns of a padded map are 12 pixels each")


def test_what_encode_says_is_decoded_to_the_objects():
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, (60, 30), (6, 2))
    sides = generator.uniform(6, 34, (6, 2))
    kinds = generator.integers(0, 3, 6)
    objects = [(kind, *low, *(low + side)) for kind, low, side in zip(kinds, corners, sides, strict=True)]
    targets = HEAD.encode(truth(*objects), SIZE, 3)
    (found,) = HEAD.found({name: one.numpy() for name, one in perfect(targets).items()}, SIZE, Decoding(iou=0.95))
    for kind, *box in objects:
        off = np.abs(found.boxes[found.classes == kind] - np.clip(box, 0, [96, 64] * 2)).max(axis=1)
        assert off.min() < 1e-3, f"class {kind} at {box}"
    assert found.scores.min() > 0.99


def test_an_object_that_overlaps_no_default_box_by_half_has_the_nearest():
    targets = HEAD.encode(truth((1, 30, 30, 33, 33)), SIZE, 3)
    assert targets["matched"].numpy().sum() == 1
    box = HEAD.default_boxes(SIZE)[int(tf.argmax(targets["matched"][0]))]
    assert np.abs(box[:2] - 31.5).max() <= 4 and tf.reduce_max(targets["classes"][..., 1]) == 1


def test_nothing_is_learnt_from_crowds():
    targets = HEAD.encode(truth((1, 0, 0, 40, 40), (0, 60, 20, 80, 40), crowd=(0,)), SIZE, 3)
    centres, shut = HEAD.default_boxes(SIZE), targets["open"].numpy()[0] == 0
    assert 0 < shut.sum() and (centres[shut, :2] < 48).all()
    assert targets["matched"].numpy()[0][shut].sum() == 0 and targets["classes"][..., 1].numpy().max() == 0
    assert targets["objects"].shape == (1, 16, 24, 1) and targets["objects"].numpy()[0, 0, 0, 0] == 0


def test_loss_counts_three_of_the_worst_negatives_for_each_match_and_eight_without_any():
    nothing = HEAD.encode(truth((-1, 0, 0, 0, 0)), SIZE, 1)
    count = len(HEAD.default_boxes(SIZE))
    flat = {SCORES: tf.zeros((1, count, 1)), BOXES: tf.zeros((1, count, 4))}
    assert float(HEAD.loss(nothing, flat)) == pytest.approx(8 * np.log(2), rel=1e-5)
    one = HEAD.encode(truth((0, 30, 30, 33, 33)), SIZE, 1)
    assert float(HEAD.loss(one, {SCORES: flat[SCORES], BOXES: one["offsets"]})) == pytest.approx(
        (1 + 8) * np.log(2), rel=1e-5
    )
    several = HEAD.encode(truth((0, 8, 8, 40, 40)), SIZE, 1)
    matched = float(tf.reduce_sum(several["matched"]))
    assert matched > 2
    half = {SCORES: flat[SCORES], BOXES: several["offsets"] + 0.5}
    assert float(HEAD.loss(several, half)) == pytest.approx(4 * np.log(2) + 4 * 0.125, rel=1e-5)
    assert float(HEAD.loss(several, perfect(several))) < 0.001


def test_a_student_of_equal_outputs_has_nothing_to_learn():
    targets = HEAD.encode(truth((0, 8, 8, 40, 40)), SIZE, 2)
    teacher = perfect(targets)
    assert float(HEAD.distillation_loss(teacher, teacher, 2.0)) == pytest.approx(0, abs=1e-5)
    off = {SCORES: -teacher[SCORES], BOXES: teacher[BOXES] + 3}
    assert float(HEAD.distillation_loss(off, teacher, 2.0)) > 1


def test_who_says_nothing_finds_nothing():
    assert [len(one) for one in HEAD.found(HEAD.silent(3, SIZE, 2), SIZE, Decoding())] == [0, 0, 0]


@pytest.fixture(scope="module")
def built():
    """A detector on a ResNet of two stages, whose map of stride 16 is the detector's own."""
    task = Detection(
        network=ResNet(blocks=(1, 1), width=0.125), detector=dataclasses.replace(HEAD, strides=(4, 8, 16)),
        image_size=SIZE, channels=8,
    )  # fmt: skip
    return task, task.build()


def test_outputs_stand_in_the_order_of_the_default_boxes(built):
    task, model = built
    rows = len(task.detector.default_boxes(SIZE))
    assert model.output_names == [SCORES, BOXES]
    assert model.output_shape == [(None, rows, len(task.class_names)), (None, rows, 4)]
    place = 0
    for stride in task.detector.strides:  # each shape says its number, at every cell
        for name, values in ((SCORES, 6), (BOXES, 4)):
            last = model.get_layer(f"ssd_{name}{stride}_conv")
            last.set_weights([np.zeros(last.kernel.shape), np.arange(3 * values) + 100 * stride])
    scores, boxes = (one.numpy() for one in model(np.zeros((1, *SIZE, 3), np.float32)))
    for stride in task.detector.strides:
        cells = (SIZE[0] // stride) * (SIZE[1] // stride)
        for found, values in ((scores, 6), (boxes, 4)):
            wanted = np.tile(np.arange(3 * values).reshape(3, values), (cells, 1)) + 100 * stride
            np.testing.assert_array_equal(found[0, place : place + 3 * cells], wanted)
        place += 3 * cells


def test_its_metadata_say_all_that_decodes_it(built):
    task, model = built
    decode = task.metadata(model)["decode"]
    assert (
        decode["strides"] == (4, 8, 16)
        and "overlap" not in decode
        and decode["ratios"] == (1.0, 4.0)
        and decode["scale"] == 2.0
    )
    assert "default boxes" in decode["rule"] and decode["iou"] == task.decoding.iou and "stride" not in decode


def test_a_decoder_of_maps_is_refused(built):
    with pytest.raises(BadInput, match="DecodeInside needs maps, as task.detector=Centres has them"):
        DecodeInside().outline(built[1])


def test_a_network_that_decodes_by_itself_carries_no_detector():
    with pytest.raises(BadInput, match="^task.network must be one that a detector can be put on, .* got UNet, which"):
        Detection(network=UNet()).build()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strides", ()), ("strides", (8,)), ("strides", (8, 24)), ("strides", (2, 4)), ("strides", (16, 8)),
        ("scale", 0.0), ("scale", np.nan), ("overlap", 0.0), ("overlap", 1.0),
        ("ratios", ()), ("ratios", (1.0, 0.0)), ("ratios", (11.0,)),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(BadInput, match=rf"^SSD\.{field} must be .* got ") as refused:
        SSD(**{field: value})
    assert "\n" not in str(refused.value)


def test_the_published_maps_are_the_backbones_and_the_detectors_own():
    """Sandler et al. 2018, section 6.2: the expansion of the block of stride 16, the last map, and coarser ones."""
    task = Detection(network=MobileNetV2(width=0.35), detector=SSD(strides=(16, 32, 64)), image_size=SIZE)
    model = task.build()
    read = [model.get_layer(f"ssd_scores{stride}_depthwise").input.name.split("/")[0] for stride in (16, 32, 64)]
    assert read == ["block_13_expand_relu", "out_relu", "ssd_map64_out_relu"]
    assert all(isinstance(model.get_layer(f"ssd_boxes{stride}_conv"), keras.layers.Conv2D) for stride in (16, 32, 64))
    assert SSD(strides=(8, 16, 32, 64)).default_boxes((96, 128)).shape == (1280, 4)


@pytest.mark.slow
def test_frames_are_learnt_by_heart_and_found_in_the_int8_file(streets, tmp_path):
    """Targets, loss, decoding and the order of the default boxes must agree, and int8 must not round them away."""
    keras.utils.set_random_seed(0)
    task = Detection(channels=16, detector=SSD(strides=(4, 8, 16), overlap=0.4), **streets)
    model, adam = task.build(), keras.optimizers.Adam(0.01)
    raw, truths = task.examples("train").read(np.arange(8))
    pixels = tf.constant(task.preprocessing(raw))
    targets = task.encode({name: tf.constant(one) for name, one in truths.items()})
    weights = model.trainable_variables

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = task.loss(model)(targets, dict(zip(model.output_names, model(pixels, training=True), strict=True)))
        adam.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for number in range(STEPS):
        adam.learning_rate.assign(0.005 * (1 + np.cos(np.pi * number / STEPS)))
        step()
    outputs = dict(zip(model.output_names, (one.numpy() for one in model(pixels)), strict=True))
    by_heart = task.score(outputs, truths)
    assert by_heart > 0.9, "overlaps of 0.95 count, and half of the objects are a few pixels high"
    file = LiteRTInt8()(model, tmp_path, Context(task, model, (), tmp_path, 0))
    assert task.score(file.predict(raw), truths) > by_heart - 0.05
