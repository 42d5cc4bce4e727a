"""Several tasks on one image: what they share, what each keeps, and that they see the same images."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base import outputs
from tfmo_drive.base.keras2 import tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.distance import DistanceToObject
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

PARTS = (Segmentation(channels=8), LaneKeeping(curve_degrees=2.0), Detection(channels=4, threshold=0.4))


@pytest.fixture(scope="module")
def task(streets):
    return MultiTask(parts=PARTS, **streets)


@pytest.fixture(scope="module")
def answers(task):
    """(outputs of an untrained model by name, targets) of the test split."""
    raw, targets = task.examples("test").read(np.arange(16))
    model = task.build()
    said = outputs.named(model, model(task.preprocessing(raw), training=False))
    return outputs.each(lambda tensor: tensor.numpy(), said), targets


def test_parts_take_over_what_is_shared_and_keep_what_is_theirs(task, streets):
    segmentation, lane, detection = task.parts
    for part in task.parts:
        assert part.scenes == streets["scenes"] and part.image_size == (64, 96) and part.network == streets["network"]
        assert part.augmentation == task.augmentation
    assert segmentation.channels == 8 and lane.curve_degrees == 2.0
    assert detection.channels == 4 and detection.threshold == 0.4
    assert task.output_names == ("mask", "steering", "scores", "boxes")
    assert "segmentation road" in task.class_names and "detection car" in task.class_names


def test_parts_see_images_of_one_size_where_no_setting_says_which():
    whole = MultiTask(parts=PARTS)
    assert {part.size for part in (whole, *whole.parts)} == {(96, 128)}


def test_targets_are_those_of_the_parts_on_the_same_pixels(task):
    indices = np.array([5, 0, 7])
    pixels, targets = task.examples("val").read(indices)
    assert list(targets) == ["segmentation", "lane_keeping", "detection"] and len(task.examples("val")) == 16
    for part in task.parts:
        theirs, truth = part.examples("val").read(indices)
        np.testing.assert_array_equal(pixels, theirs)
        for one, other in zip(tf.nest.flatten(targets[part.name]), tf.nest.flatten(truth), strict=True):
            np.testing.assert_array_equal(one, other)
    assert "weather" in task.examples("val").attributes


def test_a_flip_turns_all_truth_at_once(task):
    flip = Augmentation(flip=True, shift=0, zoom=0, shear_degrees=0, brightness=0, contrast=0)
    raw, targets = task.examples("train").read(np.arange(1))
    mirrored = dataclasses.replace(task, augmentation=flip)
    image, moved = mirrored.augment(tf.cast(raw, tf.float32), targets, tf.zeros((1, 16)))
    np.testing.assert_allclose(image, raw[:, :, ::-1], atol=1e-3)
    np.testing.assert_array_equal(moved["segmentation"], targets["segmentation"][:, :, ::-1])
    np.testing.assert_array_equal(moved["lane_keeping"]["steering"], -targets["lane_keeping"]["steering"])
    there = targets["detection"]["classes"][0] >= 0
    turned = targets["detection"]["boxes"][0][:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [96, 0, 96, 0]
    np.testing.assert_allclose(np.asarray(moved["detection"]["boxes"][0])[there], turned[there], atol=1e-2)


@pytest.mark.parametrize("weights", [(), (2.0, 0.5, 3.0)])
def test_the_loss_is_the_weighted_sum_of_the_parts(task, answers, weights):
    said, targets = answers
    weighted = dataclasses.replace(task, loss_weights=weights)
    goal = weighted.encode(tf.nest.map_structure(tf.constant, targets))
    said = outputs.each(tf.constant, said)
    model = task.build()

    def of(part, answers):
        return outputs.by_name(part.output_names, [answers[name] for name in part.output_names])

    parts = [part.loss(model)(goal[part.name], of(part, said)) for part in task.parts]
    expected = sum(weight * float(loss) for weight, loss in zip(weights or (1, 1, 1), parts, strict=True))
    assert float(weighted.loss(model)(goal, said)) == pytest.approx(expected, rel=1e-5)
    changed = outputs.each(lambda tensor: tensor + 0.1, said)
    soft = [part.distillation_loss(of(part, changed), of(part, said), 2) for part in task.parts]
    expected = sum(weight * float(loss) for weight, loss in zip(weights or (1, 1, 1), soft, strict=True))
    assert float(weighted.distillation_loss(changed, said, 2)) == pytest.approx(expected, rel=1e-5)
    assert weighted.object_mask(goal) is goal["detection"]["objects"]


def test_the_score_is_the_mean_of_the_parts_which_stand_beside_it(task, answers):
    said, targets = answers
    judged = task.evaluate(said, targets)
    alone = {part.name: part.evaluate(one, targets[part.name]) for part, one in task._each(said)}
    for name, one in alone.items():
        assert judged.more[f"part_{name}"] == one.score
        assert all(judged.more[f"{name}_{key}"] == number for key, number in one.more.items())
        assert {f"{name}: {key}" for key in one.per_class} <= set(judged.per_class)
        np.testing.assert_array_equal(
            outputs.flat(judged.decisions[name])[0], outputs.flat(one.decisions)[0], err_msg=name
        )
    assert judged.score == pytest.approx(np.mean([one.score for one in alone.values()]))
    assert judged.values == pytest.approx(np.mean([one.values for one in alone.values()], axis=0))
    assert judged.captions["says"][0].count(";") == 2


def test_an_error_is_the_wholes_where_one_part_alone_has_one(streets, task, answers):
    said, targets = answers
    judged = task.evaluate(said, targets)
    assert judged.unit == "degrees" and judged.errors.mean() == judged.more["lane_keeping_error_degrees"]
    two = MultiTask(parts=(LaneKeeping(), DistanceToObject()), **streets)
    _, truth = two.examples("test").read(np.arange(16))
    both = two.evaluate({"steering": said["steering"], "distance": np.zeros((16, 1))}, truth)
    assert both.errors is None, "degrees and metres have no mean"
    assert {"lane_keeping_error_degrees", "distance_mean_absolute_error"} <= set(both.more)


def test_the_selection_score_is_the_mean_of_the_parts(task, answers):
    said, targets = answers
    said = said | {"steering": targets["lane_keeping"]["steering"] * 0.6}
    selection_scores = [part.selection_score(one, targets[part.name]) for part, one in task._each(said)]
    assert (
        task.selection_score(said, targets)
        == pytest.approx(np.mean(selection_scores))
        != pytest.approx(task.score(said, targets))
    )


def test_training_shows_the_order_that_one_of_the_parts_asks_for(task, streets):
    np.testing.assert_array_equal(task.order(1, 2), task.parts[1].order(1, 2))
    assert MultiTask(parts=(PARTS[0], PARTS[2]), **streets).order(1, 2) is None


def test_pictures_of_all_parts_stand_side_by_side(task, answers):
    said, targets = answers
    raw, _ = task.examples("test").read(np.arange(1))
    for picture in (task.rendered(raw[0], outputs.at(said, 0)), task.rendered_truth(raw[0], outputs.at(targets, 0))):
        assert picture.shape == (64 * 4, 3 * 96 * 4, 3)


def test_a_board_finds_every_parts_outputs(task):
    described = task.metadata(task.build())
    assert {name: part["outputs"] for name, part in described["parts"].items()} == {
        "segmentation": ["mask"], "lane_keeping": ["steering"], "detection": ["scores", "boxes"],
    }  # fmt: skip


@pytest.fixture
def drive(tmp_path):
    """drive(names of the images in the JSON) -> a folder of 60 frames, with masks and with boxes."""
    generator = np.random.default_rng(0)
    for place in ("images", "masks"):
        (tmp_path / place).mkdir()
    for number in range(60):
        pixels = generator.integers(0, 255, (64, 96, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/a_{number:04}.png")
        Image.fromarray(np.uint8(pixels[..., 0] > 99)).save(tmp_path / f"masks/a_{number:04}.png")
    (tmp_path / "classes.txt").write_text("road\ncar\n")

    def written(numbers):
        images = [{"id": i, "file_name": f"a_{i:04}.png", "height": 64, "width": 96} for i in numbers]
        boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [8, 8, 40, 20]} for i in numbers]
        facts = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}
        (tmp_path / "boxes.json").write_text(json.dumps(facts))
        return str(tmp_path)

    return written


BOTH = (Segmentation(channels=8), Detection(channels=8))


def test_lists_of_one_drive_are_split_alike_whatever_their_order(drive):
    task = MultiTask(parts=BOTH, data=drive(np.random.default_rng(1).permutation(60).tolist()), image_size=(32, 64))
    segmentation, detection = (part.listing for part in task.parts)
    for split in SPLITS:
        assert segmentation[split].files == detection[split].files and len(task.examples(split)) >= 9
    pixels, targets = task.examples("train").read(np.arange(2))
    assert targets["segmentation"].shape == (2, 32, 64) and targets["detection"]["boxes"].shape == (2, 1, 4)


def test_parts_that_see_other_images_are_refused(drive):
    task = MultiTask(parts=BOTH, data=drive(range(50)), image_size=(32, 64))
    with pytest.raises(BadInput, match="^MultiTask: train has .* images for segmentation, .* for detection; they must"):
        task.examples("train")


@pytest.mark.real
def test_both_truths_of_camvid_are_of_the_same_images(shared):
    task = MultiTask(parts=BOTH, data=str(shared / "data/camvid"), image_size=(32, 64))
    segmentation, detection = (part.listing for part in task.parts)
    for split, count in zip(SPLITS, (316, 51, 101), strict=True):
        assert segmentation[split].files == detection[split].files and len(task.examples(split)) == count
        groups = [np.unique(one[split].groups, return_inverse=True)[1] for one in (segmentation, detection)]
        np.testing.assert_array_equal(*groups)
    masks, boxes = task.examples("test").read(np.arange(101))[1].values()
    car = task.parts[0].class_names.index("car")
    with_cars = (boxes["classes"] == 0).any(axis=1)
    assert ((masks == car).any(axis=(1, 2)) | ~with_cars).mean() > 0.95, "where there is a box there are pixels"
