"""Detection: what training sees, what is judged, and what is acted upon."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tfmo_drive.base.keras2 import tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import detections
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.tasks.detection.detection import Detection


@pytest.fixture(scope="module")
def task(streets):
    return Detection(channels=8, **streets)


def targets(*objects):
    """Of one image: objects (x0, y0, x1, y1, class, crowd)."""
    columns = [[one[:4] for one in objects], [one[4] for one in objects], [one[5] for one in objects]]
    boxes, classes, crowd = (np.array([one], kind) for one, kind in zip(columns, (np.float32, np.int64, bool),
                                                                        strict=True))  # fmt: skip
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
    return {"boxes": boxes, "classes": classes, "crowd": crowd, "areas": areas}


def said(*found, classes=6):
    """A naive export's output for 64 x 96 px: (x0, y0, x1, y1, class, score), each in a cell of its own."""
    cells = np.zeros((1, 16, 24, 4 + classes), np.float32)
    for place, (*box, kind, score) in enumerate(found):
        cells[0, 2, 3 * place, :4], cells[0, 2, 3 * place, 4 + kind] = box, score
    return cells.reshape(1, 384, -1)


CAR, WALKER = (10, 10, 30, 30, 0, False), (40, 10, 50, 40, 2, False)


def test_what_training_sees_moves_with_the_image(task):
    flip = Augmentation(flip=True, shift=0, zoom=0, shear_degrees=0, brightness=0, contrast=0)
    mirrored = dataclasses.replace(task, augmentation=flip)
    raw = np.zeros((1, 64, 96, 3), np.float32)
    _, moved = mirrored.augment(raw, outputs_of(targets(CAR)), tf.zeros((1, 16)))
    np.testing.assert_allclose(moved["boxes"][0, 0], [66, 10, 86, 30], atol=1e-3)
    goal = mirrored.encode(moved)
    assert goal["heat"].shape == (1, 16, 24, 6)
    assert goal["heat"][0, 5, 19, 0] == 1  # the middle, (76, 20) px
    assert task.object_mask(goal).shape == (1, 16, 24, 1)


def outputs_of(arrays):
    return {name: tf.constant(array) for name, array in arrays.items()}


def test_the_score_looks_at_all_detections_and_values_at_those_acted_upon(task):
    truth = targets(CAR, WALKER)
    found = said((10, 10, 30, 30, 0, 0.9), (40, 10, 50, 40, 2, 0.2))
    judged = task.evaluate(found, truth)
    assert judged.score == pytest.approx(1) and judged.values == pytest.approx([2 / 3])  # one hit, one not found
    assert judged.decisions.tolist() == [[1, 0, 0, 0, 0, 0]]
    assert judged.captions == {"truth": ["1 car, 1 pedestrian"], "says": ["1 car"]}
    low = dataclasses.replace(task, threshold=0.1).evaluate(found, truth)
    assert low.values == pytest.approx([1]) and low.score == judged.score
    blind = dataclasses.replace(task, decoding=detections.Decoding(least_score=0.5)).evaluate(found, truth)
    assert blind.score == pytest.approx(0.5)


def test_pedestrians_missed_stand_beside_the_score(task):
    judged = task.evaluate(said((40, 10, 50, 40, 2, 0.9)), targets(CAR, WALKER))
    assert judged.more["pedestrians"] == 1
    assert judged.more["miss_rate_at_0.1"] == judged.more["miss_rate_at_1"] == 0
    missed = task.evaluate(said((10, 10, 30, 30, 0, 0.9)), targets(CAR, WALKER))
    assert missed.more["miss_rate_at_1"] == missed.more["log_average_miss_rate"] == 1


def test_crowds_are_neither_found_nor_missed_nor_drawn(task):
    crowd = (40, 10, 90, 60, 0, True)
    judged = task.evaluate(said((10, 10, 30, 30, 0, 0.9), (45, 15, 85, 55, 0, 0.95)), targets(CAR, crowd))
    assert judged.score == pytest.approx(1) and judged.captions["truth"] == ["1 car"]
    grey = np.full((64, 96, 3), 90, np.uint8)
    one = {name: array[0] for name, array in targets(CAR, crowd).items()}
    alone = {name: array[0] for name, array in targets(CAR).items()}
    np.testing.assert_array_equal(task.rendered_truth(grey, one), task.rendered_truth(grey, alone))


def test_what_is_acted_upon_is_drawn_in_either_form(task):
    grey = np.full((64, 96, 3), 90, np.uint8)
    truth = {name: array[0] for name, array in targets(CAR).items()}
    rendered = task.rendered(grey, said((10, 10, 30, 30, 0, 0.9), (40, 10, 50, 40, 2, 0.2))[0])
    np.testing.assert_array_equal(rendered, task.rendered_truth(grey, truth))
    maps = {"scores": np.full((16, 24, 6), -9, np.float32), "boxes": np.full((16, 24, 4), np.log(10), np.float32)}
    maps["scores"][4, 4, 0] = 3  # about (18, 18) px
    maps["boxes"][4, 4] = np.log([8, 8, 12, 12])
    np.testing.assert_array_equal(task.rendered(grey, maps), rendered)


def test_a_board_is_told_how_to_decode(task):
    decode = task.metadata(task.build())["decode"]
    assert decode["stride"] == 4 and decode["threshold"] == 0.3 and "0.5) * stride" in decode["rule"]
    assert {name: decode[name] for name in ("least_score", "iou", "limit", "candidates")} == {
        "least_score": 0.02, "iou": 0.6, "limit": 100, "candidates": 300,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A COCO JSON of 60 images, cars and buses in turn."""
    from PIL import Image

    images = [{"id": i, "file_name": f"a_{i:04}.png", "height": 64, "width": 96} for i in range(60)]
    boxes = [{"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": [8, 8, 40, 20]} for i in range(60)]
    names = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    (tmp_path / "train.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": names}))
    for image in images:
        Image.new("RGB", (96, 64), (image["id"], 0, 0)).save(tmp_path / image["file_name"])
    return tmp_path


def test_a_model_of_ones_own_must_say_its_classes_as_files_beside_the_data_do_not(folder, streets):
    shapes = {"network": streets["network"], "image_size": (32, 64), "channels": 8}
    Detection(**shapes).build().save(folder / "mine.h5", include_optimizer=False)
    (folder / "classes.json").write_text('["bus", "car"]')
    mine = Detection(data=str(folder), baseline=str(folder / "mine.h5"), preprocessing_name="unit", **shapes)
    with pytest.raises(BadInput, match="say the order of its outputs, with --set=task.classes=classes.txt"):
        mine.build()


def test_classes_of_ones_own_choice_and_order(folder):
    (folder / "order.txt").write_text("bus\n")
    task = Detection(data=str(folder), image_size=(32, 64), classes=str(folder / "order.txt"))
    assert task.class_names == ("bus",) and task.identity()["classes"] == ["bus"]
    pixels, truth = task.examples("train").read(np.arange(4))
    for image, boxes, classes in zip(pixels, truth["boxes"], truth["classes"], strict=True):
        odd = image[0, 0, 0] % 2  # category 2, the bus
        assert classes.tolist() == [0 if odd else -1]
        if odd:
            np.testing.assert_allclose(boxes[0], [8 / 1.5, 4, 32, 14], rtol=1e-5)


@pytest.mark.real
def test_camvid(shared):
    task = Detection(data=str(shared / "data/camvid"), image_size=(64, 96))
    assert task.class_names == ("car", "pedestrian", "bicyclist")
    counts = [len(task.examples(split)) for split in ("train", "val", "test")]
    assert counts == [316, 51, 101]
    found = [task.examples(split).read(np.arange(count))[1] for split, count in
             zip(("train", "val", "test"), counts, strict=True)]  # fmt: skip
    assert [int((one["classes"] >= 0).sum()) for one in found[:2]][0] + int((found[1]["classes"] >= 0).sum()) == 2357
    assert (found[2]["classes"] >= 0).sum() == 543
    boxes = found[2]["boxes"][found[2]["classes"] >= 0]
    assert boxes.min() >= 0 and (boxes[:, 2:] <= (96, 64)).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    nothing = {"scores": np.full((101, 16, 24, 3), -9, np.float32), "boxes": np.ones((101, 16, 24, 4), np.float32)}
    judged = task.evaluate(nothing, found[2])
    assert judged.score == 0 and judged.more["miss_rate_at_1"] == 1
