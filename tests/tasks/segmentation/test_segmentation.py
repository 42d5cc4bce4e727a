"""Masks: what nobody labelled teaches nothing, and what a driver asks of stands by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.overrides import override
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.mask_files import IGNORE
from tfmo_drive.scenes.frames import LANES
from tfmo_drive.tasks.segmentation.segmentation import Segmentation


@pytest.fixture(scope="module")
def task(streets):
    return Segmentation(channels=8, **streets)


def test_the_loss_is_the_mean_cross_entropy_of_what_is_known(task):
    """Two classes at logits 0 and log 3: the second is three times as likely."""
    masks = np.uint8([[[0, 1], [IGNORE, 1]]])
    logits = np.tile(np.float32([0, np.log(3)]), (1, 2, 2, 1))
    expected = (np.log(4) + 2 * np.log(4 / 3)) / 3
    loss = dataclasses.replace(task, balance=False).loss(task.build())
    assert float(loss(tf.constant(masks), tf.constant(logits))) == pytest.approx(expected, rel=1e-5)
    logits[0, 1, 0] = 77, -77
    assert float(loss(tf.constant(masks), tf.constant(logits))) == pytest.approx(expected, rel=1e-5)


def test_rare_classes_count_more_in_the_mean(task):
    """Weights of the whole train split, hand-made from its masks."""
    masks = task.examples("train").read(np.arange(len(task.examples("train"))))[1]
    counts = np.bincount(masks[masks != IGNORE], minlength=len(task.class_names))
    there = np.flatnonzero(counts)
    common, rare = there[np.argmax(counts[there])], there[np.argmin(counts[there])]
    ratio = np.sqrt(counts[common] / counts[rare])
    logits = np.zeros((1, 1, 2, len(task.class_names)), np.float32)
    logits[..., common] = 1.0
    apart = -tf.nn.log_softmax(logits[0, 0, 0]).numpy()
    found = float(task.loss(task.build())(tf.constant(np.uint8([[[common, rare]]])), tf.constant(logits)))
    assert ratio > 1
    assert found == pytest.approx((apart[common] + ratio * apart[rare]) / (1 + ratio), rel=1e-4)


def test_an_image_that_nobody_labelled_teaches_nothing(task):
    logits = tf.Variable(tf.ones((1, 2, 2, 3)))
    with tf.GradientTape() as tape:
        loss = task.loss(task.build())(tf.fill((1, 2, 2), tf.constant(IGNORE, tf.uint8)), logits)
    assert float(loss) == 0 and not np.abs(tape.gradient(loss, logits)).any()


def test_masks_move_with_their_images(task):
    flip = Augmentation(flip=True, shift=0, zoom=0, shear_degrees=0, brightness=0, contrast=0)
    raw, masks = task.examples("train").read(np.arange(2))
    numbers = np.float32([[0.4] * 16, [0.6] * 16])
    images, moved = dataclasses.replace(task, augmentation=flip).augment(tf.cast(raw, tf.float32), masks, numbers)
    np.testing.assert_array_equal(moved, [masks[0, :, ::-1], masks[1]])
    np.testing.assert_allclose(images[0], raw[0, :, ::-1], atol=1e-3)
    assert moved.dtype == tf.uint8


def test_logits_are_up_sampled_in_the_graph_to_every_pixel(task):
    model = task.build()
    assert model.output_shape == (None, 64, 96, len(task.class_names))
    last = model.get_layer("mask")
    assert isinstance(last, keras.layers.UpSampling2D) and last.interpolation == "bilinear" and last.size == (4, 4)
    assert model.get_layer("mask_logits").output_shape == (None, 16, 24, len(task.class_names))


def test_road_and_pedestrians_stand_by_name_where_they_are_shown(task):
    names = task.class_names
    masks = np.zeros((1, 64, 96), np.uint8)
    masks[:, 32:] = names.index("road")
    judged = task.evaluate(np.eye(len(names), dtype=np.float32)[masks], masks)
    assert judged.more == {"pixel_accuracy": 1.0, "iou_road": 1.0}
    masks[:, :8] = names.index("pedestrian")
    judged = task.evaluate(
        np.eye(len(names), dtype=np.float32)[np.where(masks == names.index("road"), masks, 0)], masks
    )
    assert judged.more["iou_road"] == 1 and judged.more["iou_pedestrian"] == 0
    assert judged.more["pixel_accuracy"] == pytest.approx(56 / 64)


def test_lanes_are_two_classes_of_the_same_frames(task):
    lanes = dataclasses.replace(task, shown="lanes")
    assert lanes.class_names == LANES and lanes.identity() != task.identity()
    pixels, masks = lanes.examples("val").read(np.arange(4))
    assert np.array_equal(pixels, task.examples("val").read(np.arange(4))[0]) and masks.max() == 1
    assert lanes.build().output_shape[-1] == 2


def test_a_mask_and_logits_that_say_the_same_are_drawn_alike(task):
    raw, masks = task.examples("val").read(np.arange(1))
    said = np.eye(len(task.class_names), dtype=np.float32)[masks[0]]
    np.testing.assert_array_equal(task.rendered_truth(raw[0], masks[0]), task.rendered(raw[0], said))


@pytest.fixture
def street(tmp_path):
    """street(train=ids, ...) -> a Segmentation of road, car and tree, whose masks show these ids in stripes."""

    def made(names=("road", "car", "tree"), **ids):
        (tmp_path / "classes.txt").write_text("\n".join(names))
        for split, shown in ({"train": (0, 1, 2), "val": (0, 1), "test": (0, 1)} | ids).items():
            for folder in (tmp_path / split, tmp_path / f"{split}annot"):
                folder.mkdir()
            for number in range(4):
                Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(tmp_path / split / f"{number}.png")
                mask = Image.fromarray(np.resize(np.uint8(shown), (32, 32)))
                mask.save(tmp_path / f"{split}annot" / f"{number}.png")
        return Segmentation(data=str(tmp_path), image_size=(32, 32))

    return made


@pytest.mark.parametrize(("ids", "seen"), [((0, 255), '"road"'), ((255,), "none")])
def test_masks_that_show_one_class_are_refused_before_anything_is_trained(street, ids, seen):
    """Else 0 and 255 of binary masks would score 100 %: everything that is known is road."""
    task = street(names=("road", "car"), train=ids)
    with pytest.raises(BadInput, match=f"train must show two classes or more, got {seen}. 255 means ignored: .* 0 and"):
        task.fingerprint()


def test_a_class_that_no_training_mask_shows_is_named_once(street, caplog):
    task = street(train=(0, 1, 255))
    assert len(task.examples("train")) == 4
    weights = task.loss(task.build()).args[0].numpy()
    assert weights[2] == 0 and (weights[:2] > 0).all()
    assert caplog.text.count('no training pixel of class "tree", so it cannot be learned') == 1


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_without_a_known_pixel_is_named(street, split):
    with pytest.raises(BadInput, match=f"the masks of {split} must show a class, got only ignored pixels"):
        street(**{split: (255,)}).examples("train")


def test_an_id_that_is_no_class_can_be_named(street):
    task = street()
    ignoring = override(task, ["ignore=0"])
    assert ignoring.ignore == 0 and override(ignoring, ["ignore=none"]) == task
    assert ignoring.class_names == ("car", "tree")
    read = [one.examples("train").read(np.arange(4))[1].ravel()[:3].tolist() for one in (task, ignoring)]
    assert read == [[0, 1, 2], [IGNORE, 0, 1]]
    assert ignoring.fingerprint() != task.fingerprint() and ignoring.identity() != task.identity()


@pytest.mark.real
def test_camvid(shared):
    task = Segmentation(data=str(shared / "data/camvid"), image_size=(64, 96))
    assert task.class_names[3] == "road" and len(task.class_names) == 11
    assert [len(task.examples(split)) for split in ("train", "val", "test")] == [316, 51, 101]
    _, masks = task.examples("test").read(np.arange(101))
    assert set(np.unique(masks).tolist()) == {*range(11), IGNORE}
    judged = task.evaluate(masks % IGNORE, masks)  # ids are as good as logits; unlabelled pixels count nowhere
    assert judged.score == 1 and judged.more["iou_road"] == judged.more["iou_pedestrian"] == 1
